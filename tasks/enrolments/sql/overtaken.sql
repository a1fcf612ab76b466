-- Those of these learners of whom, or of whose courses, something is known that happened when they arrived or later
-- (R6).
WITH everyones AS MATERIALIZED (
    SELECT course FROM courses WHERE organisation = :organisation AND method = 'everyone'
)
SELECT DISTINCT a.learner
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
             unnest(CAST(:times AS timestamptz[])) AS at) a
WHERE a.at <= (SELECT max(r.occurred_at) FROM course_rules r WHERE r.organisation = :organisation)
   OR EXISTS (SELECT FROM memberships m
              WHERE m.organisation = a.organisation AND m.learner = a.learner AND m.since >= a.at)
   OR EXISTS (SELECT FROM status_changes s
              WHERE s.organisation = a.organisation AND s.learner = a.learner AND s.occurred_at > a.at)
   OR EXISTS (SELECT FROM deletions d WHERE d.organisation = a.organisation AND d.learner = a.learner)
   OR EXISTS (SELECT FROM (
                  SELECT course FROM everyones
                  UNION ALL
                  SELECT k.course FROM linked k
                  JOIN courses c ON c.organisation = k.organisation AND c.course = k.course AND c.method = 'segments'
                  WHERE k.organisation = a.organisation AND k.learner = a.learner) ruled
              CROSS JOIN LATERAL (
                  SELECT FROM withdrawn_by_name(1) n
                  WHERE n.organisation = a.organisation AND n.course = ruled.course AND n.learner = a.learner
                    AND n.occurred_at >= a.at OFFSET 0) withdrawn)
