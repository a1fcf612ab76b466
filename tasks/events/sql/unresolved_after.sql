-- The next page of what waits or is quarantined, of an organisation or of nobody knows which; it stays as it is until
-- the transaction ends.
SELECT seq, reason, body FROM inbox WHERE seq IN (
    SELECT seq FROM (
        SELECT seq, sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before
        FROM (SELECT seq, body FROM inbox
              WHERE state IN ('waiting', 'quarantined') AND seq > :seq
                AND (organisation = :named OR organisation IS NULL)
              ORDER BY seq LIMIT :page) held) page
    WHERE before < :octets)
ORDER BY seq FOR UPDATE
