-- What was used by day of what counts in a licence period (R25): its entries, and those in its bounds.
SELECT organisation, unit, CAST(:period AS timestamptz) AS period,
       CAST(occurred_at AT TIME ZONE 'UTC' AS date) AS day, CAST(sum(amount) AS bigint) AS used, count(*) AS entries,
       count(*) FILTER (WHERE overdrawn) AS overdrawn
FROM consumptions
WHERE organisation = :organisation AND unit = :unit AND in_period(period, occurred_at, :period, :ends)
GROUP BY organisation, unit, 4
