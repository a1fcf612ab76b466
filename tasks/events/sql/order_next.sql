-- Give what was committed since the last time its place in the one order, if the stream ends where it may; and the
-- events that are next after a position, at most limit and of at most about BATCH_BYTES, but at least one.
WITH state AS (
    SELECT ordered, published, :end BETWEEN published AND ordered AS whole FROM publication WHERE single
), new AS (
    SELECT organisation, seq, time FROM outbox WHERE position IS NULL AND (SELECT whole FROM state)
    ORDER BY seq LIMIT :limit
), again AS (
    SELECT organisation, replay FROM replays WHERE position IS NULL AND (SELECT whole FROM state)
    ORDER BY replay LIMIT :limit
), counted AS (
    UPDATE publication SET ordered = state.ordered + (SELECT count(*) FROM new) + (SELECT count(*) FROM again)
    FROM state
    WHERE single AND publication.ordered = state.ordered
      AND (EXISTS (SELECT FROM new) OR EXISTS (SELECT FROM again))
    RETURNING publication.ordered, state.ordered AS before, pg_notify('rollcall_webhooks', '')
), new_places AS (
    SELECT organisation, seq, time, (SELECT before FROM counted) + row_number() OVER (ORDER BY seq) AS place FROM new
), placed_new AS (
    UPDATE outbox SET position = place FROM new_places
    WHERE outbox.organisation = new_places.organisation AND outbox.seq = new_places.seq
      AND outbox.time = new_places.time AND place IS NOT NULL
    RETURNING outbox.organisation, position, id, type, outbox.time, data, false AS replayed, traceparent
), places_again AS (
    SELECT organisation, replay, (SELECT before FROM counted) + (SELECT count(*) FROM new)
               + row_number() OVER (ORDER BY replay) AS place
    FROM again
), placed_again AS (
    UPDATE replays SET position = place FROM places_again
    WHERE replays.organisation = places_again.organisation AND replays.replay = places_again.replay
      AND place IS NOT NULL
    RETURNING replays.organisation, replays.seq, position
), repeated AS (
    (SELECT organisation, seq, position FROM replays WHERE position > :after ORDER BY position LIMIT :limit)
    UNION ALL
    SELECT organisation, seq, position FROM placed_again
), placed AS (
    (SELECT organisation, position, id, type, time, data, false AS replayed, traceparent
     FROM outbox WHERE position > :after ORDER BY position LIMIT :limit)
    UNION ALL
    SELECT * FROM placed_new
    UNION ALL
    SELECT r.organisation, r.position, e.id, e.type, e.time, e.data, true, e.traceparent
    FROM repeated r JOIN outbox e ON e.organisation = r.organisation AND e.seq = r.seq
), next AS (
    SELECT *, sum(pg_column_size(data)) OVER (ORDER BY position) - pg_column_size(data) AS bytes_before
    FROM placed ORDER BY position LIMIT :limit
), events AS (
    SELECT position, next.id, type, time, coalesce(o.id, (SELECT d.id FROM departed d WHERE d.number = next.organisation),
                                           data ->> '_organisation') AS organisation,
           CASE WHEN type IN ('rollcall.event.quarantined', 'rollcall.webhook.disabled')
                THEN CAST(CAST(data AS jsonb) - '_organisation' AS text) ELSE CAST(data AS text) END AS data,
           replayed, traceparent
    FROM next LEFT JOIN organisations o USING (organisation) WHERE bytes_before < :most
)
SELECT events.*, coalesce((SELECT ordered FROM counted), state.ordered) AS ordered, published
FROM state LEFT JOIN events ON true ORDER BY position
