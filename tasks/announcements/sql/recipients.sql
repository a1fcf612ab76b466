-- The recipients of an announcement, or those who stand so, or for this reason, each with every attempt (R18). In the
-- order of the ledger, so that nothing is sorted: learners and attempts are merged in. The attempt that settled a
-- delivery is the delivery itself; here it is the last of the attempts.
SELECT l.id AS learner, l.first_name, l.last_name, l.username,
       CASE WHEN d.state IN ('accepted', 'failed', 'uncertain') THEN d.address ELSE l.email END AS address,
       d.state, d.reason, d.code, d.reply, rfc3339(d.settled_at) AS settled_at,
       rfc3339(d.due_at) AS next_try_at,
       coalesce(tried.attempts, '[]') || CASE WHEN d.state IN ('accepted', 'failed', 'uncertain')
           THEN jsonb_build_array(jsonb_build_object(
               'at', rfc3339(d.settled_at), 'answer', coalesce(d.reason, 'accepted'), 'code', d.code, 'reply', d.reply,
               'address', d.address))
           ELSE '[]' END AS attempts,
       CAST(b.kind AS text) AS bounced, rfc3339(b.at) AS bounced_at, b.status AS bounce_status
FROM deliveries d
JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
LEFT JOIN (
    SELECT a.recipient, jsonb_agg(jsonb_build_object(
        'at', rfc3339(a.attempted_at), 'answer', a.reason, 'code', a.code, 'reply', a.reply, 'address', a.address)
        ORDER BY a.attempted_at) AS attempts
    FROM attempts a WHERE a.organisation = :organisation AND a.mailing = :mailing GROUP BY a.recipient
) tried ON tried.recipient = d.recipient
LEFT JOIN bounces b ON b.organisation = d.organisation AND b.mailing = d.mailing AND b.recipient = d.recipient
WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing)
  AND (CAST(:state AS text) IS NULL OR d.state = CAST(:state AS delivery_state))
  AND (CAST(:reason AS text) IS NULL OR d.reason = :reason)
ORDER BY d.recipient
