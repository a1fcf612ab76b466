-- Credits: an entry for the learner, course and cycle before it.
SELECT 'charged twice' AS what, CAST(c.consumption AS text) AS id, 'paid with entry ' || (
    SELECT min(e.consumption) FROM consumptions e
    WHERE e.organisation = c.organisation AND e.learner = c.learner AND e.course = c.course AND e.cycle = c.cycle
      AND e.unit = 'credit') || ' already' AS detail
FROM consumptions c
WHERE c.organisation = :organisation AND c.unit = 'credit' AND EXISTS (
    SELECT FROM consumptions e WHERE e.organisation = c.organisation AND e.learner = c.learner AND e.course = c.course
      AND e.cycle = c.cycle AND e.unit = 'credit' AND e.consumption < c.consumption)
UNION ALL
SELECT 'charged twice', CAST(c.consumption AS text), 'the learner had a seat in this period already'
FROM consumptions c
LEFT JOIN balances b ON b.organisation = c.organisation AND b.unit = c.unit AND b.period = c.period
WHERE c.organisation = :organisation AND c.unit = 'seat' AND EXISTS (
    SELECT FROM consumptions e WHERE e.organisation = c.organisation AND e.learner = c.learner AND e.unit = 'seat'
      AND e.consumption < c.consumption
      AND (e.period = c.period OR c.consumption > b.through AND in_period(e.period, e.occurred_at, c.period, b.ends)))
ORDER BY 2 LIMIT :listed
