-- What an entry says of the pool is what the running sum says, since the terms of its period are what they are.
WITH running AS (
    SELECT c.consumption, c.amount, c.overdrawn, b.pool, c.period = b.period AND c.consumption > b.through AS known,
           sum(c.amount) OVER (PARTITION BY b.unit, b.period ORDER BY c.consumption) AS used
    FROM balances b
    JOIN consumptions c ON c.organisation = b.organisation AND c.unit = b.unit AND counts_in(c, b)
    WHERE b.organisation = :organisation
)
SELECT 'overdrawn' AS what, CAST(consumption AS text) AS id,
       used || ' of ' || coalesce(CAST(pool AS text), 'no limit') || ' were used with it, and it says '
           || CASE WHEN overdrawn THEN 'overdrawn' ELSE 'within the pool' END AS detail
FROM running
WHERE known AND overdrawn <> (amount > 0 AND used > coalesce(pool, used)) ORDER BY consumption LIMIT :listed
