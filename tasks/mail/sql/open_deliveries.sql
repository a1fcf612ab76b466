-- The deliveries of an organisation that are pending or uncertain, after one of them, in order.
SELECT d.mailing, d.recipient, m.kind, m.source, m.id, m.state AS mailing_state,
       coalesce(l.id, 'admin ' || -d.recipient) AS learner, CAST(d.state AS text) AS state
FROM deliveries d
JOIN mailings m USING (organisation, mailing)
LEFT JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
WHERE d.organisation = :organisation AND d.state IN ('pending', 'uncertain')
  AND d.mailing >= :after_mailing AND (d.mailing, d.recipient) > (:after_mailing, :after_recipient)
ORDER BY d.mailing, d.recipient LIMIT :limit
