-- Every balance is the sum of what counts in its period, and there is one for each period there are entries of.
WITH summed AS (
    SELECT b.unit, b.period, b.used, coalesce(sum(c.amount), 0) AS entries
    FROM balances b
    LEFT JOIN consumptions c ON c.organisation = b.organisation AND c.unit = b.unit AND counts_in(c, b)
    WHERE b.organisation = :organisation
    GROUP BY b.unit, b.period, b.used
    UNION ALL
    SELECT c.unit, c.period, NULL, sum(c.amount) FROM consumptions c
    WHERE c.organisation = :organisation AND NOT EXISTS (
        SELECT FROM balances b WHERE b.organisation = c.organisation AND b.unit = c.unit AND b.period = c.period)
    GROUP BY c.unit, c.period
)
SELECT 'balance' AS what, unit || ' ' || rfc3339(period) AS id,
       'the balance says ' || coalesce(CAST(used AS text), 'nothing') || ', its entries ' || entries AS detail
FROM summed WHERE used IS DISTINCT FROM entries ORDER BY unit, period LIMIT :listed
