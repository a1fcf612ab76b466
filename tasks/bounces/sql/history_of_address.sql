-- What became of the deliveries to an address of one recipient, in the order of time, from the first that bounced
-- softly to the last, since a person lifted its suppression; None is one that did not bounce.
WITH bounced AS MATERIALIZED (
    SELECT b.mailing, b.kind, coalesce(d.settled_at, b.at) AS at
    FROM bounces b JOIN deliveries d USING (organisation, mailing, recipient)
    WHERE b.organisation = :organisation AND b.recipient = :recipient AND b.fingerprint = :fingerprint
      AND coalesce(d.settled_at, b.at) > coalesce((
          SELECT f.lifted_at FROM lifted_suppressions f
          WHERE f.organisation = :organisation AND f.address = mail_key(:address)), '-infinity')
), span AS (
    SELECT min(at) AS first, max(at) AS last FROM bounced HAVING count(*) >= :enough
)
SELECT kind FROM (
    SELECT CAST(b.kind AS text) AS kind, b.at, b.mailing FROM span JOIN bounced b ON true
    UNION ALL
    SELECT NULL, d.settled_at, d.mailing
    FROM span
    JOIN mailings m ON m.organisation = :organisation
    JOIN deliveries d ON d.organisation = m.organisation AND d.mailing = m.mailing AND d.recipient = :recipient
    WHERE d.state = 'accepted' AND d.settled_at BETWEEN span.first AND span.last AND NOT EXISTS (
        SELECT FROM bounces b WHERE b.organisation = d.organisation AND b.mailing = d.mailing
          AND b.recipient = d.recipient)
) past ORDER BY at, mailing
