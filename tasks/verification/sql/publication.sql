-- The one order of events out: nothing has a place beyond the last that was given, nor was more published than has one (R33).
SELECT 'order' AS what, 'published' AS id, 'published through ' || published || ', and only ' || ordered || ' places were given' AS detail
FROM publication WHERE published > ordered
UNION ALL
SELECT 'order', 'outbox', 'an event has place ' || o.position || ', and only ' || p.ordered || ' were given'
FROM publication p CROSS JOIN LATERAL (SELECT max(position) AS position FROM outbox WHERE position IS NOT NULL) o
WHERE o.position > p.ordered
UNION ALL
SELECT 'order', 'outbox', n || ' events have place ' || position
FROM (SELECT position, count(*) AS n FROM outbox WHERE position > 0 GROUP BY position HAVING count(*) > 1) twice
UNION ALL
SELECT 'order', 'webhook ' || w.organisation || ' ' || w.id, 'it was sent events through place ' || w.position
       || ', and only ' || p.ordered || ' were given'
FROM publication p JOIN webhooks w ON w.position > p.ordered
UNION ALL
SELECT 'order', 'publication', 'there are ' || n || ' rows, and there is one order'
FROM (SELECT count(*) AS n FROM publication) rows WHERE n <> 1
LIMIT :listed
