-- So many entries of the ledger that happened in a stretch, in the order in which they did, behind one of them: an index
-- has them by time, and whose each is is looked up (OFFSET 0 keeps that from becoming a join of all). Their columns are those of `seats.entries`.
SELECT CAST(c.consumption AS text) AS id, o.id AS organisation,
       CASE WHEN l.standing <> 'deleted' AND c.occurred_at >= coalesce(l.deleted_at, '-infinity') THEN l.id
       END AS learner, course.id AS course, c.cycle, c.unit, c.amount,
       c.occurred_at, c.event, c.overdrawn,
       (SELECT min(r.code) FROM reviews r
        WHERE r.organisation = c.organisation AND r.consumption = c.consumption AND NOT EXISTS (
            SELECT FROM settled_reviews d WHERE d.organisation = r.organisation
              AND d.consumption = r.consumption AND d.code = r.code)) AS review
FROM (
    SELECT * FROM consumptions
    WHERE organisation = :organisation AND occurred_at >= :since AND occurred_at < :until
      AND (occurred_at, consumption) > (:at, :after)
    ORDER BY occurred_at, consumption LIMIT :limit
) c
JOIN organisations o ON o.organisation = c.organisation
CROSS JOIN LATERAL (
    SELECT * FROM learners l WHERE l.organisation = c.organisation AND l.learner = c.learner OFFSET 0
) l
CROSS JOIN LATERAL (
    SELECT * FROM courses k WHERE k.organisation = c.organisation AND k.course = c.course OFFSET 0
) course
ORDER BY c.occurred_at, c.consumption
