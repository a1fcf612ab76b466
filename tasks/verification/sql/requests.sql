-- A request whose counts do not add up: selected = enrolled + silent + already + not eligible (R14), in its row and as announced.
SELECT 'request' AS what, f.id, 'it selected ' || f.selected || ' learners, and says what became of ' || f.counted AS detail
FROM (
    SELECT coalesce(request, CAST(fanout AS text)) AS id, selected,
           enrolled + silent + already + (
               SELECT coalesce(sum(CAST(n AS bigint)), 0) FROM jsonb_each_text(reasons) AS why (reason, n)) AS counted
    FROM fanouts WHERE organisation = :organisation AND cause = 'request' AND finished_at IS NOT NULL
) f WHERE f.counted > f.selected
UNION ALL
SELECT 'request', coalesce(said.request, CAST(o.id AS text)), 'its event ' || o.id || ' selected ' || said.selected
       || ' learners, and says what became of ' || said.counted
FROM outbox o
CROSS JOIN LATERAL (
    SELECT data ->> 'request' AS request, CAST(data ->> 'selected' AS bigint) AS selected,
           CAST(data ->> 'enrolled' AS bigint) + CAST(data ->> 'silent' AS bigint) + CAST(data ->> 'already' AS bigint)
               + (SELECT coalesce(sum(CAST(n AS bigint)), 0)
                  FROM json_each_text(data -> 'not_eligible') AS why (reason, n)) AS counted
) said
WHERE o.organisation = :organisation AND o.type = 'rollcall.enrolment.finished' AND said.counted <> said.selected
ORDER BY 2 LIMIT :listed
