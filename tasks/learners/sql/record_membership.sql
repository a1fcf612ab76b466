-- Bring memberships in line with what is newest; the learners of whom it changed what holds (R6).
INSERT INTO memberships AS known (organisation, segment, learner, member, since)
SELECT :organisation, :segment, l.learner, :member AND (l.deleted_at IS NULL OR l.deleted_at < :time), :time
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
ON CONFLICT (organisation, segment, learner)
DO UPDATE SET member = excluded.member, since = excluded.since
WHERE known.since < excluded.since OR known.since = excluded.since AND known.member AND NOT excluded.member
RETURNING learner
