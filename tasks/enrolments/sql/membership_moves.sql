-- When learners joined and left the segments that rules name, of those that they ever were in.
SELECT asked.learner, ever.segment, m.occurred_at, m.member
FROM (SELECT DISTINCT CAST(:organisation AS int) AS organisation,
                      unnest(CAST(:learners AS int[])) AS learner) asked
CROSS JOIN LATERAL (
    SELECT segment FROM memberships
    WHERE organisation = asked.organisation AND learner = asked.learner OFFSET 0) ever
CROSS JOIN LATERAL (
    SELECT occurred_at, member FROM membership_changes
    WHERE organisation = asked.organisation AND segment = ever.segment AND learner = asked.learner
    OFFSET 0) m
WHERE ever.segment = ANY(CAST(:segments AS int[]))
