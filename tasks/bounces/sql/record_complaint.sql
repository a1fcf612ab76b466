-- Write down that a learner complained of an announcement, if it is one that they got.
INSERT INTO bounces (organisation, mailing, recipient, kind, fingerprint)
SELECT d.organisation, d.mailing, d.recipient, 'complaint', ''
FROM mailings m JOIN deliveries d USING (organisation, mailing)
WHERE m.organisation = :organisation AND m.kind = 'announcement' AND m.source = '' AND m.id = :announcement
  AND d.organisation = :organisation AND d.recipient = :learner
ON CONFLICT (organisation, mailing, recipient) DO UPDATE
SET kind = excluded.kind, at = excluded.at, status = NULL, diagnostic = NULL
WHERE bounces.kind < excluded.kind
