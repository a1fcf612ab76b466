-- The webhooks of an organisation, or one of them, and since when the oldest event waits that it is to be sent.
SELECT id, url, types, state, reason, since, failing_since, failures, due_at, delivered, failed, delivered_at, (
           SELECT o.time FROM outbox o WHERE o.position > w.position AND is_for(o, w) ORDER BY o.position LIMIT 1
       ) AS waits_since, position, CASE WHEN old_key_until > now() THEN old_key_until END AS old_key_until
FROM webhooks w
WHERE w.organisation = :organisation AND (CAST(:id AS text) IS NULL OR w.id = :id) AND w.id COLLATE "C" > :after
ORDER BY w.id COLLATE "C" LIMIT CAST(:limit AS int)
