-- Put in order anew, after the end of a stream that is ahead of the database, what is not published yet; what is there
-- already keeps its position.
WITH moved AS (
    UPDATE publication SET ordered = :end, published = :end FROM (SELECT published FROM publication) before
    WHERE ordered < :end RETURNING before.published AS last
), there AS (
    SELECT * FROM unnest(CAST(:organisations AS int[]), CAST(:seqs AS bigint[]), CAST(:times AS timestamptz[]),
                         CAST(:positions AS bigint[])) AS there (organisation, seq, time, position)
), known AS (
    UPDATE outbox SET position = there.position FROM moved, there
    WHERE outbox.organisation = there.organisation AND outbox.seq = there.seq AND outbox.time = there.time
), unordered AS (
    UPDATE outbox SET position = NULL FROM moved WHERE position > last AND seq NOT IN (SELECT seq FROM there)
)
UPDATE replays SET position = NULL FROM moved WHERE position > last
