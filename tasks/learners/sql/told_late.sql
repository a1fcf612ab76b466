-- Those of these learners of whose status something newer was heard, or who were enrolled or started anything, at these
-- times or later (R6). What became active by the change itself, and at its moment, is no reason: it is as told.
SELECT DISTINCT a.learner
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
             unnest(CAST(:times AS timestamptz[])) AS at) a
JOIN learners l ON l.organisation = a.organisation AND l.learner = a.learner AND l.standing <> 'unsaved'
WHERE EXISTS (SELECT FROM status_changes s WHERE s.organisation = a.organisation AND s.learner = a.learner
                AND s.occurred_at >= a.at HAVING count(*) > 1)
   OR EXISTS (SELECT FROM deletions d WHERE d.organisation = a.organisation AND d.learner = a.learner)
   OR EXISTS (SELECT FROM enrolments e WHERE e.organisation = a.organisation AND e.learner = a.learner
                AND (greatest(e.enrolled_at, e.withdrawn_at) >= a.at OR e.activated_at > a.at
                  OR (e.activated_at = a.at AND EXISTS (
                        SELECT FROM status_changes s WHERE s.organisation = a.organisation AND s.learner = a.learner
                          AND s.occurred_at = a.at AND NOT s.active))))
   OR EXISTS (SELECT FROM starts t WHERE t.organisation = a.organisation AND t.learner = a.learner
                AND t.occurred_at >= a.at)
