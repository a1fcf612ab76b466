-- How the pool stands in this period, summed from the ledger itself.
SELECT CAST(:unit AS text) AS unit, CAST(:pool AS bigint) AS pool,
       CAST(coalesce(sum(amount), 0) AS bigint) AS used, count(*) AS entries,
       count(*) FILTER (WHERE overdrawn) AS overdrawn,
       count(*) FILTER (WHERE EXISTS (
           SELECT FROM reviews r
           WHERE r.organisation = c.organisation AND r.consumption = c.consumption AND NOT EXISTS (
               SELECT FROM settled_reviews d WHERE d.organisation = r.organisation
                 AND d.consumption = r.consumption AND d.code = r.code))) AS review
FROM consumptions c
WHERE organisation = :organisation AND unit = :unit
  AND in_period(period, occurred_at, :period, :ends)
