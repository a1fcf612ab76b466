-- Why a learner has access to a course, or not (R3): by the cycle that gives it, else the last; None where the course
-- is not known.
SELECT c.id AS course, coalesce(a.granted, false) AS access,
       array_remove(ARRAY[CASE WHEN l.standing <> 'active' THEN 'active' END,
                          CASE WHEN a.course IS NULL THEN 'enrolled' END,
                          CASE WHEN NOT a.not_withdrawn THEN 'not withdrawn' END,
                          CASE WHEN c.on_hold THEN 'not on hold' END], NULL) AS missing
FROM courses c
JOIN learners l ON l.organisation = :organisation AND l.learner = :learner
LEFT JOIN access a ON a.organisation = :organisation AND a.course = c.course AND a.learner = l.learner
WHERE c.organisation = :organisation AND c.id = :course
ORDER BY a.granted DESC NULLS LAST, a.cycle DESC LIMIT 1
