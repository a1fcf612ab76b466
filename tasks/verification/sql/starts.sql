-- A start that counts and was not charged, and an entry of the ledger of a start that was never taken (R23, R25).
SELECT 'not charged' AS what, l.id || ' ' || c.id || ' ' || s.cycle AS id,
       'the start of ' || rfc3339(s.occurred_at) || ' counts, and no entry of the ledger is of it' AS detail
FROM starts s
JOIN learners l ON l.organisation = s.organisation AND l.learner = s.learner
JOIN courses c ON c.organisation = s.organisation AND c.course = s.course
WHERE s.organisation = :organisation
  AND NOT EXISTS (
      SELECT FROM consumptions e WHERE e.organisation = s.organisation AND e.learner = s.learner
        AND e.course = s.course AND e.cycle = s.cycle AND e.unit = 'credit')
  AND NOT EXISTS (
      SELECT FROM consumptions e WHERE e.organisation = s.organisation AND e.learner = s.learner AND e.unit = 'seat')
UNION ALL
SELECT 'no start', CAST(e.consumption AS text), 'it was charged for a course that the learner never started'
FROM consumptions e
WHERE e.organisation = :organisation AND NOT EXISTS (
    SELECT FROM starts s WHERE s.organisation = e.organisation AND s.learner = e.learner AND s.course = e.course
      AND s.cycle = e.cycle)
ORDER BY 2 LIMIT :listed
