-- The oldest of what was decided on or quarantined, and of what came before there were arrivals, if it arrived so long
-- ago that nobody sends it again (R32). Reads so many rows at most, from the first on: they lie nearly in the order in
-- which they arrived.
DELETE FROM inbox WHERE seq IN (
    SELECT seq FROM (SELECT seq, state, arrived_at FROM inbox ORDER BY seq LIMIT :most) AS first
    WHERE arrived_at < now() - CAST(:kept AS interval) AND state <> 'waiting')
