-- The entries of the ledger that are wanted, oldest first. Who was deleted has none of their data in it (S15).
SELECT * FROM (
    SELECT CAST(c.consumption AS text) AS id, o.id AS organisation,
           CASE WHEN l.standing <> 'deleted' AND c.occurred_at >= coalesce(l.deleted_at, '-infinity') THEN l.id
           END AS learner, course.id AS course, c.cycle, c.unit, c.amount,
           c.occurred_at, c.event, c.overdrawn,
           (SELECT min(r.code) FROM reviews r
            WHERE r.organisation = c.organisation AND r.consumption = c.consumption AND NOT EXISTS (
                SELECT FROM settled_reviews d WHERE d.organisation = r.organisation
                  AND d.consumption = r.consumption AND d.code = r.code)) AS review
    FROM consumptions c
    JOIN organisations o ON o.organisation = c.organisation
    JOIN learners l ON l.organisation = c.organisation AND l.learner = c.learner
    JOIN courses course ON course.organisation = c.organisation AND course.course = c.course
    WHERE c.organisation = :organisation AND c.consumption > :after
      AND c.occurred_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
      AND c.occurred_at < coalesce(CAST(:until AS timestamptz), 'infinity')
      AND (NOT :review OR c.consumption IN (
          SELECT f.consumption FROM reviews f WHERE f.organisation = :organisation))
    ORDER BY c.consumption
) entries WHERE review IS NOT NULL OR NOT :review LIMIT CAST(:limit AS bigint)
