-- The delivery that a token names, if there is still somebody it was for.
SELECT m.kind = 'announcement' AS announcement,
       CASE WHEN is_admin(d.recipient) THEN d.address ELSE l.email END AS address,
       NOT EXISTS (
           SELECT FROM lifted_suppressions f
           WHERE f.organisation = d.organisation
             AND f.address = mail_key(CASE WHEN is_admin(d.recipient) THEN d.address ELSE l.email END)
             AND f.lifted_at >= d.settled_at) AS counts
FROM deliveries d
JOIN mailings m USING (organisation, mailing)
JOIN organisations o USING (organisation)
LEFT JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing)
  AND d.recipient = :recipient
  AND CASE WHEN is_admin(d.recipient) THEN d.address ELSE l.email END IS NOT NULL
