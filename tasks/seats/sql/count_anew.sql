-- Count what is used in the period as it is now, from the ledger; how much.
INSERT INTO balances (organisation, unit, period, used, pool, ends, through)
SELECT :organisation, :unit, :period, coalesce(sum(amount), 0), :pool, :ends, coalesce((
    SELECT max(last.consumption) FROM consumptions last WHERE last.organisation = :organisation), 0)
FROM consumptions
WHERE organisation = :organisation AND unit = :unit
  AND in_period(period, occurred_at, :period, :ends)
ON CONFLICT (organisation, unit, period) DO UPDATE SET
    used = excluded.used, pool = excluded.pool, ends = excluded.ends, through = excluded.through
RETURNING used
