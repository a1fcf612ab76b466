-- Each entry has one event out that says the same, and each such event its entry. An entry and its event are written by
-- one transaction: so of an entry that is older than what the outbox keeps, there is none. If the organisation lived in
-- another cell before, that is what the other cell kept: its places are below zero.
WITH told AS (
    SELECT CAST(outbox.id AS text) AS event, said.consumption AS id, said.learner, said.course, said.cycle, said.unit,
           said.amount, said.overdrawn, regexp_replace(said.occurred_at, '([.]0+)?(Z|[+]00:00)$', 'Z') AS occurred_at
    FROM outbox
    CROSS JOIN LATERAL json_to_record(data) AS said (
        consumption text, learner text, course text, cycle text, unit text, amount text, overdrawn text,
        occurred_at text)
    WHERE outbox.organisation = :organisation AND type = 'rollcall.seat.consumed'
), entries AS (
    SELECT CAST(c.consumption AS text) AS id, l.id AS learner, course.id AS course, CAST(c.cycle AS text) AS cycle,
           c.unit, CAST(c.amount AS text) AS amount, CAST(c.overdrawn AS text) AS overdrawn,
           replace(rfc3339(c.occurred_at), '.000000Z', 'Z') AS occurred_at, c.recorded_at
    FROM consumptions c
    LEFT JOIN learners l ON l.organisation = c.organisation AND l.learner = c.learner
    LEFT JOIN courses course ON course.organisation = c.organisation AND course.course = c.course
    WHERE c.organisation = :organisation
)
SELECT CASE WHEN t.event IS NULL THEN 'not announced' WHEN e.id IS NULL THEN 'no entry'
            ELSE 'announced otherwise' END AS what,
       coalesce(e.id, t.event) AS id,
       CASE WHEN t.event IS NULL THEN 'no rollcall.seat.consumed tells of it'
            WHEN e.id IS NULL THEN 'this event tells of entry ' || coalesce(t.id, 'none') || ', which is not there'
            ELSE 'event ' || t.event || ' says ' || concat_ws(
                ' ', t.learner, t.course, t.cycle, t.unit, t.amount, t.overdrawn, t.occurred_at) || ', the ledger '
                || concat_ws(' ', e.learner, e.course, e.cycle, e.unit, e.amount, e.overdrawn, e.occurred_at)
       END AS detail
FROM entries e FULL JOIN told t ON t.id = e.id
WHERE (t.event IS NOT NULL OR e.recorded_at >= greatest((SELECT kept_since('outbox')), (
           SELECT min(o.time) FROM outbox o WHERE o.organisation = :organisation HAVING min(o.position) < 0)))
  AND (e.id IS NULL OR (e.id, e.learner, e.course, e.cycle, e.unit, e.amount, e.overdrawn, e.occurred_at)
                   IS DISTINCT FROM (t.id, t.learner, t.course, t.cycle, t.unit, t.amount, t.overdrawn, t.occurred_at))
ORDER BY 1, 2 LIMIT :listed
