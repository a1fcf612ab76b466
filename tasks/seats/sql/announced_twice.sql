-- Entries that more than one event out tells of.
SELECT 'announced twice' AS what, coalesce(data ->> 'consumption', 'none') AS id,
       count(*) || ' events tell of it' AS detail
FROM outbox WHERE organisation = :organisation AND type = 'rollcall.seat.consumed'
GROUP BY data ->> 'consumption' HAVING count(*) > 1 ORDER BY 2 LIMIT :listed
