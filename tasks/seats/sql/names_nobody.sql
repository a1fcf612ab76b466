-- Entries of the ledger whose learner or course is not there.
SELECT CASE WHEN l.learner IS NULL THEN 'unknown learner' ELSE 'unknown course' END AS what,
       CAST(c.consumption AS text) AS id,
       CASE WHEN l.learner IS NULL THEN 'learner number ' || c.learner
            ELSE 'course number ' || c.course END || ' is not there' AS detail
FROM consumptions c
LEFT JOIN learners l ON l.organisation = c.organisation AND l.learner = c.learner
LEFT JOIN courses course ON course.organisation = c.organisation AND course.course = c.course
WHERE c.organisation = :organisation AND (l.learner IS NULL OR course.course IS NULL)
ORDER BY c.consumption LIMIT :listed
