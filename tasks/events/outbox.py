"""What goes out, in one order, as SQL."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from config.database import execute, integer, is_true, later, nobody_to_blame, rows, the_one, tuples
from config.sql import query
from config.words import as_json, rfc3339
from tasks.events.outgoing import MOST_IDS, OutgoingEvent

#: Bytes of events, as stored, published at once: a worker's memory does not grow with what a fan-out says.
BATCH_BYTES = 1_000_000

#: Seconds for which it is waited until nobody has anything published once more; then it is tried later.
PATIENCE = 0.2


class Outgoing(msgspec.Struct, frozen=True):
    """An event on its way out; `data` is its JSON, as it was written; `replayed` where it is published once more."""

    position: int
    id: UUID
    type: str
    time: datetime
    organisation: str
    data: str
    replayed: bool = False
    traceparent: str | None = None


class _CloudEvent(msgspec.Struct, kw_only=True):
    specversion: str = "1.0"
    id: UUID
    source: str = "rollcall"
    type: str
    time: str
    organisation: str
    replayed: bool | msgspec.UnsetType = msgspec.UNSET
    traceparent: str | msgspec.UnsetType = msgspec.UNSET
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
        traceparent=event.traceparent or msgspec.UNSET,
        data=msgspec.Raw(event.data.encode()),
    )
    return msgspec.json.encode(document)


@dataclass(frozen=True, slots=True)
class Publication:
    """How far the outbox was put in order, and published."""

    ordered: int
    published: int


#: The beginning of a statement that writes events in the transaction, and the reading, that makes them true.
EMIT = "INSERT INTO outbox (organisation, type, data)"

#: The same of a statement that says of each event which trace it belongs to.
EMIT_TRACED = "INSERT INTO outbox (organisation, type, data, traceparent)"


def emit(
    connection: Connection,
    organisation: int,
    type_: str,
    data: Iterable[OutgoingEvent | dict[str, object]],
    traces: Iterable[str | None] | None = None,
) -> None:
    """Write events of one type of `TYPES_OUT` into the outbox, in the transaction that makes them true. `traces`: of
    each the trace it belongs to; unless it is given, that of the transaction."""
    documents = [as_json(item).decode() for item in data]
    if documents:
        later(
            connection,
            """
            INSERT INTO outbox (organisation, type, data, traceparent)
            SELECT :organisation, :type, CAST(document AS json),
                   coalesce(trace, nullif(current_setting('rollcall.traceparent', true), ''))
            FROM unnest(CAST(:documents AS text[]), CAST(:traces AS text[])) WITH ORDINALITY AS new (document, trace, n)
            ORDER BY n
            """,
            organisation=organisation,
            type=type_,
            documents=documents,
            traces=[None] * len(documents) if traces is None else list(traces),
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


class _Next(Outgoing, frozen=True):
    """An event that is next, and how far publishing has come; that alone, and no position, where there is none."""

    ordered: int = 0
    published: int = 0


def order_next(connection: Connection, end: int, after: int, limit: int) -> tuple[Publication, Sequence[Outgoing]]:
    """Give what was committed since the last time its place in the one order, if the stream ends where it may; and the
    events that are next after a position, at most `limit` and of at most about `BATCH_BYTES`, but at least one.

    A sequence's numbers become visible out of order, so the order is given here, by one statement: of two relays at
    once, of which one has lost its lead without knowing it, the later finds that the order has moved on, and gives no
    place. Of what is new and what is published once more, at most `limit` of each get one.
    """
    found = rows(
        connection,
        _Next,
        query("events.order_next"),
        end=end,
        after=after,
        limit=limit,
        most=BATCH_BYTES,
    )
    return Publication(found[0].ordered, found[0].published), [each for each in found if each.position is not None]


def publication(connection: Connection) -> Publication:
    """How far publishing has come."""
    return the_one(connection, Publication, "SELECT ordered, published FROM publication")


@dataclass(frozen=True, slots=True)
class Unpublished:
    """An event of which it is not known that it is on the stream, by its key, and its id."""

    organisation: int
    seq: int
    time: datetime
    id: UUID


def not_known_published(connection: Connection) -> Sequence[Unpublished]:
    """The events of which it is not known that they are on the stream."""
    return rows(
        connection,
        Unpublished,
        """
        SELECT organisation, seq, time, id FROM outbox WHERE position IS NULL
        UNION ALL
        SELECT organisation, seq, time, id FROM outbox WHERE position > (SELECT published FROM publication)
        """,
    )


def order_after_stream(connection: Connection, end: int, there: Sequence[tuple[Unpublished, int]]) -> None:
    """The stream is ahead of us: this database is younger than it (a restored backup, another database before). What is
    `there` by now keeps its position; what is not published yet is put in order anew, after the stream's end, so that
    none of it is taken for published."""
    execute(
        connection,
        query("events.order_after_stream"),
        end=end,
        organisations=[event.organisation for event, _ in there],
        seqs=[event.seq for event, _ in there],
        times=[event.time for event, _ in there],
        positions=[position for _, position in there],
    )


def published_through(connection: Connection, position: int) -> None:
    """Remember how far the stream has been written; should that be lost, the stream says it."""
    execute(
        connection,
        """
        UPDATE publication SET published = :position, published_at = now()
        WHERE (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
        """,
        position=position,
    )


def is_stalled(connection: Connection, after: timedelta) -> bool:
    """Whether an event has waited so long to be published, and none was published for as long. The planner thinks that
    a third of all events are beyond `published`, and would read all to find none: the highest is looked at first."""
    return is_true(
        connection,
        """
        SELECT published_at < now() - CAST(:after AS interval) AND (
            EXISTS (SELECT FROM outbox WHERE position IS NULL AND time < now() - CAST(:after AS interval))
            OR (SELECT max(position) FROM outbox) > published
                AND EXISTS (SELECT FROM outbox
                            WHERE position > published AND time < now() - CAST(:after AS interval))
            OR EXISTS (SELECT FROM replays WHERE position IS NULL AND at < now() - CAST(:after AS interval))
            OR EXISTS (SELECT FROM replays WHERE position > published AND at < now() - CAST(:after AS interval)))
        FROM publication
        """,
        after=after,
    )


def unpublished(connection: Connection) -> int:
    """How many events are written but not on the stream yet. Counted: not every position is an event's (one that was
    published once more is forgotten, others belong to a database before)."""
    state = publication(connection)
    return integer(
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


def is_done_with(connection: Connection, until: datetime) -> bool:
    """Whether every event that was written before a time is published, and none is in line to be published once more;
    none gets in line until the transaction ends. Raises what `is_locked` knows."""
    with nobody_to_blame(connection, PATIENCE):
        execute(connection, "LOCK TABLE replays IN SHARE MODE")
    return is_true(
        connection,
        """
        SELECT NOT EXISTS (SELECT FROM outbox WHERE time < :until AND position IS NULL)
           AND NOT (coalesce((SELECT max(position) FROM outbox) > published, false)
                    AND EXISTS (SELECT FROM outbox WHERE time < :until AND position > published))
           AND NOT EXISTS (SELECT FROM replays WHERE position IS NULL)
           AND NOT EXISTS (SELECT FROM replays WHERE position > published)
        FROM publication
        """,
        until=until,
    )


def written(connection: Connection, organisation: int) -> dict[str, int]:
    """How many events out were written, by type."""
    found = tuples(
        connection,
        "SELECT type, count(*) AS n FROM outbox WHERE organisation = :organisation GROUP BY type",
        organisation=organisation,
    )
    return dict(found)
