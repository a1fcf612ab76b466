-- Make a piece ours for lease, or None where it is finished, resting, or someone else's; or is set aside now for a
-- while, because the workers that tried it alone never came back. Nobody begins any of a pool that is paused, or
-- of what is halted.
WITH claimed AS (
    UPDATE work SET fence = fence + 1, lost = lost + 1,
        state = CASE WHEN alone < :most THEN 'running' ELSE 'failing' END,
        due_at = now() + CASE WHEN alone < :most THEN CAST(:lease AS interval) ELSE pause END,
        since = CASE WHEN alone < :most THEN since ELSE now() + pause END,
        alone = least(alone, :most - 1),
        failures = failures + CAST(alone >= :most AS int)
    FROM (SELECT least(CAST(:first_aside AS interval) * 2 ^ least(w.failures, 20), :longest_aside) AS pause FROM work w
          WHERE w.organisation = :organisation AND w.work = :work) aside
    WHERE organisation = :organisation AND work = :work
      AND (state = 'offered' OR state IN ('due', 'running', 'scheduled') AND due_at <= now())
      AND NOT EXISTS (SELECT FROM pools p WHERE p.queue = work.queue AND p.paused_at IS NOT NULL)
      AND NOT halted(organisation, actor)
    RETURNING organisation, work, actor, queue, subject, low, high, fence, failures, begun, traceparent,
        CASE WHEN state = 'failing' THEN :failing ELSE lost END AS lost,
        CAST(extract(epoch FROM now() - since) AS float) AS waited
), noted AS (
    UPDATE pools SET claimed_at = now() FROM claimed
    WHERE pools.queue = claimed.queue AND claimed_at < now() - interval '2 seconds'
)
SELECT * FROM claimed
