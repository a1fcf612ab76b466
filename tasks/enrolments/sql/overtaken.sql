-- Those of these learners of whom, or of whose courses, something is known that happened when they arrived or later
-- (R6).
SELECT DISTINCT a.learner
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
             unnest(CAST(:times AS timestamptz[])) AS at) a
WHERE a.at <= (SELECT max(r.occurred_at) FROM course_rules r WHERE r.organisation = :organisation)
   OR EXISTS (SELECT FROM memberships m
              WHERE m.organisation = a.organisation AND m.learner = a.learner AND m.since >= a.at)
   OR EXISTS (SELECT FROM status_changes s
              WHERE s.organisation = a.organisation AND s.learner = a.learner AND s.occurred_at > a.at)
   OR EXISTS (SELECT FROM deletions d WHERE d.organisation = a.organisation AND d.learner = a.learner)
