-- A page of the recipients of an announcement, after one by their number, or :only some (R18); what belongs to each is
-- looked up.
SELECT d.recipient, l.id AS learner, l.first_name, l.last_name, l.username,
       CASE WHEN d.state IN ('accepted', 'failed', 'uncertain') THEN d.address ELSE l.email END AS address,
       d.state, d.reason, d.code, d.reply, rfc3339(d.settled_at) AS settled_at,
       rfc3339(d.due_at) AS next_try_at,
       coalesce(tried.attempts, '[]') || CASE WHEN d.state IN ('accepted', 'failed', 'uncertain')
           THEN jsonb_build_array(jsonb_build_object(
               'at', rfc3339(d.settled_at), 'answer', coalesce(d.reason, 'accepted'), 'code', d.code, 'reply', d.reply,
               'address', d.address))
           ELSE '[]' END AS attempts,
       CAST(b.kind AS text) AS bounced, rfc3339(b.at) AS bounced_at, b.status AS bounce_status
FROM (
    (SELECT * FROM deliveries
     WHERE CAST(:only AS int[]) IS NULL
       AND organisation = :organisation AND mailing = :mailing AND same_month(mailing, :mailing)
       AND recipient > :after AND recipient <= :last
       AND (CAST(:state AS text) IS NULL OR state = CAST(:state AS delivery_state))
       AND (CAST(:reason AS text) IS NULL OR reason = :reason)
     ORDER BY recipient LIMIT :limit)
    UNION ALL
    (SELECT named.* FROM unnest(CAST(:only AS int[])) AS wanted (recipient) CROSS JOIN LATERAL (
         SELECT * FROM deliveries one
         WHERE one.organisation = :organisation AND one.mailing = :mailing AND same_month(one.mailing, :mailing)
           AND one.recipient = wanted.recipient
           AND (CAST(:state AS text) IS NULL OR one.state = CAST(:state AS delivery_state))
           AND (CAST(:reason AS text) IS NULL OR one.reason = :reason) OFFSET 0) named)
) d
JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
        'at', rfc3339(a.attempted_at), 'answer', a.reason, 'code', a.code, 'reply', a.reply, 'address', a.address)
        ORDER BY a.attempted_at) AS attempts FROM attempts a
    WHERE a.organisation = d.organisation AND a.mailing = d.mailing AND a.recipient = d.recipient
) tried ON true
LEFT JOIN bounces b ON b.organisation = d.organisation AND b.mailing = d.mailing AND b.recipient = d.recipient
ORDER BY d.recipient
