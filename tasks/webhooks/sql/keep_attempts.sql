-- Keep the last attempts; those that delivered and those that failed are numbered apart, each up to its count.
INSERT INTO webhook_attempts (organisation, webhook, delivered, number, event, type, position, at, status,
                              problem, milliseconds, said)
SELECT :organisation, :id, problem IS NULL,
       CASE WHEN problem IS NULL THEN CAST(:delivered AS bigint) ELSE :failed END + 1
       - row_number() OVER (PARTITION BY problem IS NULL ORDER BY n DESC),
       event, type, position, at, status, problem, milliseconds, said
FROM unnest(CAST(:events AS uuid[]), CAST(:types AS text[]), CAST(:positions AS bigint[]),
            CAST(:times AS timestamptz[]), CAST(:statuses AS smallint[]), CAST(:problems AS text[]),
            CAST(:milliseconds AS int[]), CAST(:said AS text[])) WITH ORDINALITY
     AS new (event, type, position, at, status, problem, milliseconds, said, n)
