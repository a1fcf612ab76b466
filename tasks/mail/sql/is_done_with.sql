-- Whether no mailing gets a number between two any more, and each that has one ended so many days ago, and is counted, or
-- was never launched. Organisations that have mailings are found by their index, one by one.
WITH RECURSIVE having_some AS (
    SELECT min(organisation) AS organisation FROM mailings
    UNION ALL
    SELECT (SELECT min(m.organisation) FROM mailings m WHERE m.organisation > h.organisation)
    FROM having_some h WHERE h.organisation IS NOT NULL
)
SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence('mailings', 'mailing') AS regclass)) >= :below
   AND NOT EXISTS (
    SELECT FROM having_some h CROSS JOIN LATERAL (
        SELECT FROM mailings m
        WHERE m.organisation = h.organisation AND m.mailing >= :lowest AND m.mailing < :below
          AND m.launched_at IS NOT NULL
          AND (m.finished_at IS NULL OR m.finished_at > now() - make_interval(days => :days)
               OR m.kind = 'announcement' AND m.counted_at IS DISTINCT FROM m.finished_at)
        LIMIT 1) one)
