-- How the queues stand. One whose pool is paused waits for a person, and not for its pool; what is halted rests: asked
-- once for each kind of an organisation, as to ask for each piece takes seconds where there are a hundred thousand.
WITH kinds AS MATERIALIZED (
    SELECT organisation, actor, halted(organisation, actor) AS halts
    FROM (SELECT DISTINCT organisation, actor FROM work) each
), pieces AS (
    SELECT queue, since, state = 'running' AND due_at > now() AS in_flight, state = 'failing' AS failing,
           (state = 'offered' OR state <> 'held' AND due_at <= now()) AND NOT rests AS due,
           state = 'offered' AND NOT rests AND due_at > now() - CAST(:after AS interval) AS offered
    FROM (SELECT work.*, state <> 'running' AND halts AS rests FROM work JOIN kinds USING (organisation, actor)) work
), queues AS (
    SELECT queue, count(*) FILTER (WHERE due) AS due,
           CAST(extract(epoch FROM now() - min(since) FILTER (WHERE due)) AS float) AS oldest_due_seconds,
           count(*) FILTER (WHERE in_flight) AS in_flight,
           count(*) FILTER (WHERE NOT due AND NOT in_flight AND NOT failing) AS resting,
           count(*) FILTER (WHERE failing) AS failing, bool_or(offered) AS offered
    FROM pieces GROUP BY queue
)
SELECT queue, due, oldest_due_seconds, in_flight, resting, failing, waits AND offered AS stalled,
       waits AND NOT offered AS unoffered
FROM queues LEFT JOIN pools USING (queue) CROSS JOIN LATERAL (
    SELECT due > 0 AND in_flight = 0 AND oldest_due_seconds >= extract(epoch FROM CAST(:after AS interval))
        AND paused_at IS NULL AND coalesce(claimed_at < now() - CAST(:after AS interval), true) AS waits
) long
ORDER BY queue
