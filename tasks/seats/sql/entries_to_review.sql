-- The entries of the ledger that are still to be reviewed, oldest first, found by their flags, of which there are few
-- (OFFSET 0 keeps the look-ups from becoming joins of all). Their columns are those of `seats.entries`.
SELECT CAST(c.consumption AS text) AS id, o.id AS organisation,
       CASE WHEN l.standing <> 'deleted' AND c.occurred_at >= coalesce(l.deleted_at, '-infinity') THEN l.id
       END AS learner, course.id AS course, c.cycle, c.unit, c.amount,
       c.occurred_at, c.event, c.overdrawn, flagged.review
FROM (
    SELECT r.consumption, min(r.code) AS review FROM reviews r
    WHERE r.organisation = :organisation AND r.consumption > :after AND NOT EXISTS (
        SELECT FROM settled_reviews d
        WHERE d.organisation = r.organisation AND d.consumption = r.consumption AND d.code = r.code)
    GROUP BY r.consumption
) flagged
CROSS JOIN LATERAL (
    SELECT * FROM consumptions e
    WHERE e.organisation = :organisation AND e.consumption = flagged.consumption
      AND e.occurred_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
      AND e.occurred_at < coalesce(CAST(:until AS timestamptz), 'infinity') OFFSET 0
) c
JOIN organisations o ON o.organisation = c.organisation
CROSS JOIN LATERAL (
    SELECT * FROM learners l WHERE l.organisation = c.organisation AND l.learner = c.learner OFFSET 0
) l
CROSS JOIN LATERAL (
    SELECT * FROM courses k WHERE k.organisation = c.organisation AND k.course = c.course OFFSET 0
) course
ORDER BY c.consumption LIMIT CAST(:limit AS bigint)
