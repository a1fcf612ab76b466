-- What could not be taken, of everybody or of those named so, oldest first; read in pages, however many.
SELECT seq, id, source, type, organisation, state, reason, detail, awaits, awaits_id, since, body, found
FROM (SELECT seq, id, source, type, organisation, state, reason, detail, awaits, awaits_id,
             arrived_at AS since, body, count(*) OVER () AS found,
             sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before
      FROM (SELECT * FROM inbox
            WHERE state IN ('waiting', 'quarantined') AND seq > :last
              AND (CAST(:named AS text) IS NULL OR organisation = :named)
              AND (CAST(:reason AS text) IS NULL OR reason = :reason)
              AND (CAST(:state AS text) IS NULL OR state = :state)
            ORDER BY seq LIMIT :page + 1) held) page
WHERE before < :octets ORDER BY seq LIMIT :page
