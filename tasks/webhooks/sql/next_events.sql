-- The next events for a webhook after a position, in order; of at most about so many bytes, but at least one.
WITH next AS (
    SELECT organisation, position, id, type, time, data, traceparent,
           sum(pg_column_size(data)) OVER (ORDER BY position) - pg_column_size(data) AS bytes_before
    FROM outbox
    WHERE position > :position AND (:organisation = 0 OR organisation = :organisation)
      AND (CAST(:types AS text[]) IS NULL OR type = ANY(:types))
    ORDER BY position LIMIT :limit
)
SELECT position, next.id, type, time, coalesce(o.id, (SELECT d.id FROM departed d WHERE d.number = next.organisation),
                                           data ->> '_organisation') AS organisation,
       CASE WHEN type IN ('rollcall.event.quarantined', 'rollcall.webhook.disabled')
            THEN CAST(CAST(data AS jsonb) - '_organisation' AS text) ELSE CAST(data AS text) END AS data,
       traceparent
FROM next LEFT JOIN organisations o USING (organisation)
WHERE bytes_before < :most ORDER BY position
