"""What goes out, in one order, as SQL."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from config.database import execute, later, one, rows, value
from config.words import as_json, rfc3339
from tasks.events.outgoing import MOST_IDS, Told

#: Advisory lock of whoever puts the outbox in order.
ORDER_LOCK = 7404

#: Bytes of events, as stored, published at once: a worker's memory does not grow with what a fan-out says.
BATCH_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event on its way out; `data` is its JSON, as it was written; `replayed` where it is published once more."""

    position: int
    id: UUID
    type: str
    time: datetime
    organisation: str
    data: str
    replayed: bool = False


class _CloudEvent(msgspec.Struct, kw_only=True):
    specversion: str = "1.0"
    id: UUID
    source: str = "rollcall"
    type: str
    time: str
    organisation: str
    replayed: bool | msgspec.UnsetType = msgspec.UNSET
    datacontenttype: str = "application/json"
    data: msgspec.Raw


def cloud_event(event: Outgoing) -> bytes:
    """An event as it goes out: CloudEvents 1.0, structured JSON; `replayed` where a person had it published again."""
    document = _CloudEvent(
        id=event.id,
        type=event.type,
        time=rfc3339(event.time),
        organisation=event.organisation,
        replayed=event.replayed or msgspec.UNSET,
        data=msgspec.Raw(event.data.encode()),
    )
    return msgspec.json.encode(document)


@dataclass(frozen=True, slots=True)
class Publication:
    """How far the outbox was put in order, and published; whether anything has no place yet."""

    ordered: int
    published: int
    unordered: bool

    def rests(self, end: int) -> bool:
        """Whether there is nothing to put in order or to publish, and the stream ends where it should."""
        return self.ordered == self.published == end and not self.unordered


#: The beginning of a statement that writes events in the transaction, and the reading, that makes them true.
EMIT = "INSERT INTO outbox (organisation, type, data)"


def emit(connection: Connection, organisation: int, type_: str, data: Iterable[Told | dict[str, object]]) -> None:
    """Write events of one type of `TYPES_OUT` into the outbox, in the transaction that makes them true."""
    documents = [as_json(item).decode() for item in data]
    if documents:
        later(
            connection,
            f"""
            {EMIT}
            SELECT :organisation, :type, CAST(document AS json)
            FROM unnest(CAST(:documents AS text[])) WITH ORDINALITY AS new (document, n) ORDER BY n
            """,
            organisation=organisation,
            type=type_,
            documents=documents,
        )


#: Announces enrolments that `{changed}`, a relation that a statement knows: their course and cycle, the learner's id,
#: what it became (enrolled, silent or withdrawn), and the part it goes in where there are more than `MOST_IDS`.
ENROLMENTS_CHANGED = (
    EMIT
    + """
SELECT :organisation, 'rollcall.enrolment.changed', json_build_object(
    'course', (SELECT c.id FROM courses c WHERE c.organisation = :organisation AND c.course = changed.course),
    'cycle', cycle, 'cause', CAST(:cause AS text),
    'enrolled', coalesce(json_agg(id) FILTER (WHERE became = 'enrolled'), '[]'),
    'silent', coalesce(json_agg(id) FILTER (WHERE became = 'silent'), '[]'),
    'withdrawn', coalesce(json_agg(id) FILTER (WHERE became = 'withdrawn'), '[]'))
FROM {changed} changed GROUP BY course, cycle, part ORDER BY course, cycle, part
"""
)

_THESE_CHANGED = ENROLMENTS_CHANGED.format(
    changed=f"""(
    SELECT course, cycle, l.id, became,
           (row_number() OVER (PARTITION BY course, cycle ORDER BY new.learner) - 1) / {MOST_IDS} AS part
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:courses AS int[])) AS course,
                 unnest(CAST(:cycles AS int[])) AS cycle, unnest(CAST(:learners AS int[])) AS learner,
                 unnest(CAST(:became AS text[])) AS became) new
    JOIN learners l ON l.organisation = new.organisation AND l.learner = new.learner
    ORDER BY course, cycle, part, new.learner)"""
)


def emit_changed(
    connection: Connection, organisation: int, cause: str, changed: Sequence[tuple[int, int, int, str]]
) -> None:
    """Write which enrolments changed, (course, cycle, learner, what it became) each, into the outbox."""
    if changed:
        courses, cycles, learners, became = map(list, zip(*changed, strict=True))
        execute(
            connection,
            _THESE_CHANGED,
            organisation=organisation,
            cause=cause,
            courses=courses,
            cycles=cycles,
            learners=learners,
            became=became,
        )


def put_in_order(connection: Connection, limit: int) -> None:
    """Give what was committed since the last time its place in the one order, and wake who sends it to webhooks; so
    many at most of each kind, what is new and what is published once more. For the leader alone: a sequence's numbers
    become visible out of order, so the order is given here, by one writer."""
    later(
        connection,
        """
        WITH unordered AS (
            (SELECT organisation, seq, false AS again FROM outbox WHERE position IS NULL ORDER BY seq LIMIT :limit)
            UNION ALL
            (SELECT organisation, replay, true FROM replays WHERE position IS NULL ORDER BY replay LIMIT :limit)
        ), numbered AS (
            SELECT organisation, seq, again,
                   (SELECT ordered FROM publication) + row_number() OVER (ORDER BY again, seq) AS place
            FROM unordered
        ), counted AS (
            UPDATE publication SET ordered = ordered + (SELECT count(*) FROM unordered)
            WHERE EXISTS (SELECT FROM unordered)
        ), repeated AS (
            UPDATE replays SET position = place FROM numbered
            WHERE again AND replays.organisation = numbered.organisation AND replays.replay = numbered.seq
        ), new AS (
            UPDATE outbox SET position = place FROM numbered
            WHERE NOT again AND outbox.organisation = numbered.organisation AND outbox.seq = numbered.seq
        )
        SELECT pg_notify('rollcall_webhooks', '') WHERE EXISTS (SELECT FROM unordered)
        """,
        limit=limit,
    )


def ordered_after(connection: Connection, position: int, limit: int) -> list[Outgoing]:
    """The next events to publish, in order: at most `limit`, and of at most about `BATCH_BYTES`, but at least one."""
    return rows(
        connection,
        Outgoing,
        """
        WITH placed AS (
            (SELECT organisation, position, id, type, time, data, false AS replayed
             FROM outbox WHERE position > :position ORDER BY position LIMIT :limit)
            UNION ALL
            (SELECT r.organisation, r.position, e.id, e.type, e.time, e.data, true
             FROM replays r JOIN outbox e ON e.organisation = r.organisation AND e.seq = r.seq
             WHERE r.position > :position ORDER BY r.position LIMIT :limit)
        ), next AS (
            SELECT *, sum(pg_column_size(data)) OVER (ORDER BY position) - pg_column_size(data) AS bytes_before
            FROM placed ORDER BY position LIMIT :limit
        )
        SELECT position, next.id, type, time, coalesce(o.id, data ->> '_organisation') AS organisation,
               CASE WHEN type IN ('rollcall.event.quarantined', 'rollcall.webhook.disabled')
                    THEN CAST(CAST(data AS jsonb) - '_organisation' AS text) ELSE CAST(data AS text) END AS data,
               replayed
        FROM next LEFT JOIN organisations o USING (organisation)
        WHERE bytes_before < :most ORDER BY position
        """,
        position=position,
        limit=limit,
        most=BATCH_BYTES,
    )


def alone(connection: Connection) -> None:
    """Be the only one to put the outbox in order until the transaction ends: a relay that lost its lead without knowing
    it yet would give the same places again."""
    later(connection, "SELECT pg_advisory_xact_lock(:lock)", lock=ORDER_LOCK)


def publication(connection: Connection) -> Publication:
    """How far publishing has come."""
    state = one(
        connection,
        Publication,
        """
        SELECT ordered, published, EXISTS (SELECT FROM outbox WHERE position IS NULL)
                                OR EXISTS (SELECT FROM replays WHERE position IS NULL) AS unordered
        FROM publication
        """,
    )
    assert state is not None  # noqa: S101 - the migration wrote the one row
    return state


def order_after_stream(connection: Connection, end: int) -> None:
    """The stream is ahead of us: this database is younger than it (a restored backup, another database before). What is
    not published yet is put in order anew, after the stream's end, so that none of it is taken for published."""
    execute(connection, "UPDATE outbox SET position = NULL WHERE position > (SELECT published FROM publication)")
    execute(connection, "UPDATE replays SET position = NULL WHERE position > (SELECT published FROM publication)")
    execute(connection, "UPDATE publication SET ordered = :end, published = :end", end=end)


def published_through(connection: Connection, position: int) -> bool:
    """Remember how far the stream has been written; whether there is more to publish."""
    return bool(
        value(
            connection,
            """
            UPDATE publication SET published = :position, published_at = now()
            RETURNING ordered > :position OR EXISTS (SELECT FROM outbox o WHERE o.position IS NULL)
                                          OR EXISTS (SELECT FROM replays r WHERE r.position IS NULL)
            """,
            position=position,
        )
    )


def is_stalled(connection: Connection, after: timedelta) -> bool:
    """Whether an event has waited so long to be published, and none was published for as long."""
    return bool(
        value(
            connection,
            """
            SELECT published_at < now() - :after AND (
                EXISTS (SELECT FROM outbox WHERE position IS NULL AND time < now() - :after)
                OR EXISTS (SELECT FROM outbox WHERE position > published AND time < now() - :after)
                OR EXISTS (SELECT FROM replays WHERE position IS NULL AND at < now() - :after)
                OR EXISTS (SELECT FROM replays WHERE position > published AND at < now() - :after))
            FROM publication
            """,
            after=after,
        )
    )


def unpublished(connection: Connection) -> int:
    """How many events are written but not on the stream yet. Counted: not every position is an event's (one that was
    published once more is forgotten, others belong to a database before)."""
    state = publication(connection)
    return int(
        value(
            connection,
            """
            SELECT (SELECT count(*) FROM outbox WHERE position IS NULL)
                 + (SELECT count(*) FROM outbox WHERE :behind AND position > :published)
                 + (SELECT count(*) FROM replays WHERE position IS NULL)
                 + (SELECT count(*) FROM replays WHERE :behind AND position > :published)
            """,
            behind=state.published < state.ordered,
            published=state.published,
        )
        or 0
    )


@dataclass(frozen=True, slots=True)
class _Written:
    type: str
    n: int


def written(connection: Connection, organisation: int) -> dict[str, int]:
    """How many events out were written, by type."""
    found = rows(
        connection,
        _Written,
        "SELECT type, count(*) AS n FROM outbox WHERE organisation = :organisation GROUP BY type",
        organisation=organisation,
    )
    return {row.type: row.n for row in found}
