-- What was used of the pool in this period so far; nobody else adds to it until the transaction ends.
INSERT INTO balances AS known (organisation, unit, period, used, pool, ends, through)
SELECT :organisation, :unit, :period, coalesce(sum(amount), 0), :pool, :ends, coalesce((
    SELECT max(last.consumption) FROM consumptions last WHERE last.organisation = :organisation), 0)
FROM consumptions
WHERE organisation = :organisation AND unit = :unit
  AND in_period(period, occurred_at, :period, :ends)
  AND NOT EXISTS (
      SELECT FROM balances WHERE organisation = :organisation AND unit = :unit AND period = :period)
ON CONFLICT (organisation, unit, period) DO UPDATE SET used = known.used RETURNING used
