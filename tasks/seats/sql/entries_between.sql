-- So many entries of the ledger that happened in a stretch, in the order in which they did, behind one of them: an index
-- has them by time. Their columns are those of `seats.entries`.
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
JOIN learners l ON l.organisation = c.organisation AND l.learner = c.learner
JOIN courses course ON course.organisation = c.organisation AND course.course = c.course
ORDER BY c.occurred_at, c.consumption
