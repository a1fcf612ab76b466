-- Choose what to wake workers for: at most bound pieces of each queue in flight, organisations in turns (R31).
-- Of what is due at one time, the lowest range comes first: rows that are written in the order of an index cost it least.
-- Nobody is woken for a pool that is paused, or for what is halted. What somebody begins, or rests, meanwhile is left alone: at the end it is due no more.
WITH chosen AS (
    SELECT chosen.organisation, chosen.work, again
    FROM (SELECT queue FROM unnest(CAST(:queues AS text[])) AS asked (queue)
          WHERE NOT EXISTS (SELECT FROM pools p WHERE p.queue = asked.queue AND p.paused_at IS NOT NULL)
    ) queues CROSS JOIN LATERAL (
        WITH RECURSIVE waiting AS (
            (SELECT organisation FROM work
             WHERE work.queue = queues.queue AND due_at <= now() AND state IN ('due', 'scheduled', 'failing')
             ORDER BY organisation LIMIT 1)
            UNION ALL
            SELECT (SELECT w.organisation FROM work w
                    WHERE w.queue = queues.queue AND w.organisation > waiting.organisation
                      AND w.due_at <= now() AND w.state IN ('due', 'scheduled', 'failing')
                    ORDER BY w.organisation LIMIT 1)
            FROM waiting WHERE waiting.organisation IS NOT NULL
        ), in_flight AS (
            SELECT organisation, work, due_at FROM work
            WHERE work.queue = queues.queue
              AND (state = 'running' OR state = 'offered' AND NOT halted(organisation, actor))
        ), busy AS (
            SELECT organisation, count(*) AS pieces FROM in_flight GROUP BY organisation
        ), turns AS (
            SELECT next.organisation, next.work, next.since,
                   coalesce(busy.pieces, 0)
                       + row_number() OVER (PARTITION BY next.organisation ORDER BY next.due_at, next.low, next.work)
                       AS turn
            FROM (SELECT organisation FROM waiting WHERE NOT halted(organisation, '')) waiting
            CROSS JOIN LATERAL (
                SELECT w.organisation, w.work, w.low, w.due_at, w.since FROM work w
                WHERE w.queue = queues.queue AND w.organisation = waiting.organisation AND w.due_at <= now()
                  AND w.state IN ('due', 'scheduled', 'failing') AND NOT halted(w.organisation, w.actor)
                ORDER BY w.due_at, w.low, w.work LIMIT :bound
            ) next
            LEFT JOIN busy ON busy.organisation = next.organisation
        )
        SELECT organisation, work, true AS again FROM in_flight WHERE due_at <= now()
        UNION ALL
        (SELECT organisation, work, false FROM turns ORDER BY turn, since
         LIMIT (SELECT greatest(:bound - count(*), 0) FROM in_flight))
    ) chosen
)
UPDATE work SET state = 'offered', due_at = now() + CAST(:repeat AS interval)
FROM chosen WHERE work.organisation = chosen.organisation AND work.work = chosen.work AND due_at <= now()
    AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
RETURNING work.organisation, work.work, work.actor, work.queue, again
