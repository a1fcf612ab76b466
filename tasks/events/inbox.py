"""What came in, and what could not be taken, as SQL."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from msgspec import Struct
from sqlalchemy import Connection

from config.database import column, execute, integer, is_true, rows, say, soon
from config.sql import query
from tasks.chores import one_by_one
from tasks.events.awaited import Awaited, Kind
from tasks.events.rules import Deferred
from tasks.events.schemas import Event, Identity, Malformed, Reason

#: Octets of events that waited after which no other is read to be applied with them: a long one may take long to judge.
FREED_OCTETS = 200_000


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that was deferred, as the inbox stores it; how many were `found` with it, those left out included."""

    seq: int
    awaits: Kind
    body: bytes
    found: int = 1


@dataclass(frozen=True, slots=True)
class StoredEvents:
    """What comes first of the events that were asked for, by their number and octets, and whether there are more."""

    stored: list[StoredEvent]
    more: bool


class _Claimed(Struct, frozen=True):
    seq: int
    organisation: str
    source: str
    id: str


def claim_new(connection: Connection, events: Sequence[Event]) -> Callable[[], dict[Identity, int]]:
    """Make these events ours, if nobody took them before (R32). What this returns gives their numbers, as `soon`
    does; of several that an organisation calls the same, the first is meant.

    Sorted, so that two processes that read the same events wait for each other instead of blocking each other.
    """
    ordered = sorted({event.identity: event for event in reversed(events)}.items())
    claimed = soon(
        connection,
        _Claimed,
        """
        SELECT seq, organisation, source, id
        FROM claim_events(CAST(:sources AS text[]), CAST(:ids AS text[]), CAST(:organisations AS text[]))
        """,
        sources=[event.source for _, event in ordered],
        ids=[event.id for _, event in ordered],
        organisations=[event.organisation for _, event in ordered],
    )
    return lambda: {(row.organisation, row.source, row.id): row.seq for row in claimed()}


def defer(connection: Connection, deferred: Iterable[tuple[int, Event, Deferred]], *, waiting: timedelta) -> None:
    """Store what could not be applied, with its reason; what waits for something, waits `waiting` from its arrival
    (R6).

    One that was quarantined already stays so: its hour is over.
    """
    events = list(deferred)
    if not events:
        return
    awaited = [why.awaited for _, _, why in events]
    quarantined = column(
        connection,
        query("events.defer"),
        seqs=[seq for seq, _, _ in events],
        sources=[event.source for _, event, _ in events],
        names=[event.id for _, event, _ in events],
        types=[event.type for _, event, _ in events],
        whose=[event.organisation for _, event, _ in events],
        reasons=[why.reason.value for _, _, why in events],
        details=[why.detail for _, _, why in events],
        kinds=[key and key.kind for key in awaited],
        organisations=[key and key.organisation for key in awaited],
        ids=[key and key.id for key in awaited],
        courses=[key and key.course for key in awaited],
        cycles=[key and key.cycle for key in awaited],
        learners=[key and key.learner for key in awaited],
        waits=[why.awaited is not None and not why.at_once for _, _, why in events],
        bodies=[event.body for _, event, _ in events],
        waiting=waiting,
    )
    announce_quarantine(connection, quarantined)


def settle(connection: Connection, seqs: list[int]) -> None:
    """These events were taken after all: nothing of them is kept but that they were, and what people decided."""
    if seqs:
        execute(connection, query("events.settle"), seqs=seqs)


def quarantine_malformed(connection: Connection, malformed: Sequence[Malformed]) -> None:
    """Keep what is no event. It does not use up its id (S16); the same bytes again are the same entry (R32).

    Sorted, so that two processes that keep the same wait for each other instead of blocking each other.
    """
    ordered = [entry for _, entry in sorted({entry.body: entry for entry in malformed}.items())]
    seqs = column(
        connection,
        """
        INSERT INTO inbox (seq, source, id, type, organisation, state, reason, detail, body)
        SELECT nextval(pg_get_serial_sequence('arrivals', 'seq')), source, id, type, named, 'quarantined', 'malformed',
               detail, body
        FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[]), CAST(:types AS text[]), CAST(:named AS text[]),
                    CAST(:details AS text[]), CAST(:bodies AS bytea[])) AS new (source, id, type, named, detail, body)
        ON CONFLICT (sha256(body)) WHERE reason = 'malformed' DO NOTHING
        RETURNING seq
        """,
        sources=[entry.source for entry in ordered],
        ids=[entry.id for entry in ordered],
        types=[entry.type for entry in ordered],
        named=[entry.organisation for entry in ordered],
        details=[entry.detail[:1000] for entry in ordered],
        bodies=[entry.body for entry in ordered],
    )
    announce_quarantine(connection, seqs)


def has_overdue(connection: Connection) -> bool:
    """Whether any event waited its time (R6)."""
    return is_true(connection, "SELECT EXISTS (SELECT FROM inbox WHERE state = 'waiting' AND until <= now())")


def quarantine_overdue(connection: Connection, *, in_savepoints: bool = False) -> int:
    """Quarantine what waited its time (R6); it still is taken by itself when what it waits for comes."""
    if in_savepoints:
        overdue = column(connection, "SELECT seq FROM inbox WHERE state = 'waiting' AND until <= now() ORDER BY seq")
        return one_by_one(connection, "quarantine event", overdue, lambda seq: _quarantine_overdue(connection, seq))
    return _quarantine_overdue(connection, None)


def _quarantine_overdue(connection: Connection, seq: int | None) -> int:
    seqs = column(
        connection,
        """
        UPDATE inbox SET state = 'quarantined'
        WHERE state = 'waiting' AND until <= now() AND seq = coalesce(:seq, seq)
          AND NOT EXISTS (SELECT FROM departed d WHERE d.id = inbox.organisation)
        RETURNING seq
        """,
        seq=seq,
    )
    announce_quarantine(connection, seqs)
    return len(seqs)


def announce_quarantine(connection: Connection, seqs: list[int]) -> None:
    """Tell the platform what could not be taken, if anything. An event of an organisation nobody knows is told of under
    the name it gave: the outbox keeps it under number 0."""
    if not seqs:
        return
    reasons = column(
        connection,
        """
        INSERT INTO outbox (organisation, type, data)
        SELECT coalesce(o.organisation, 0), 'rollcall.event.quarantined', json_build_object(
            'event', i.id, 'type', i.type, 'reason', i.reason,
            'source', i.source, '_organisation', coalesce(i.organisation, ''))
        FROM inbox i LEFT JOIN organisations o ON o.id = i.organisation
        WHERE i.seq = ANY(:seqs) ORDER BY i.seq
        RETURNING data ->> 'reason'
        """,
        seqs=seqs,
    )
    say(connection, "events.quarantined", reasons=dict(Counter(reasons)))


def _page(found: list[StoredEvent], most: int) -> StoredEvents:
    return StoredEvents(found, bool(found) and (found[0].found == most or len(found) < found[0].found))


def waiting_for(
    connection: Connection, known: Collection[Awaited], enrolled: Collection[int], most: int
) -> StoredEvents:
    """What waits for any of these, and starts and completions that came before their enrolment, where organisations
    have `enrolled` meanwhile (R27): in the order in which it arrived, but so many at most."""
    found = rows(
        connection,
        StoredEvent,
        query("events.waiting_for"),
        kinds=[key.kind for key in known],
        organisations=[key.organisation for key in known],
        ids=[key.id for key in known],
        learners=[key.learner for key in known],
        enrolled=list(enrolled),
        most=most,
        octets=FREED_OCTETS,
    )
    return _page(found, most)


def waiting_in_vain(connection: Connection, organisation: int, id_: str, after: int, most: int) -> StoredEvents:
    """What waits though what it waits for is known, but so many at most of those that arrived after a number."""
    found = rows(
        connection,
        StoredEvent,
        query("events.waiting_in_vain"),
        organisation=organisation,
        id=id_,
        after=after,
        most=most,
        octets=FREED_OCTETS,
    )
    return _page(found, most)


def any_waiting_for_enrolment(connection: Connection, organisation: int, courses: Sequence[int] | None) -> bool:
    """Whether a start or completion waits for an enrolment in one of these courses, or in any where none is named."""
    return is_true(
        connection,
        """
        SELECT EXISTS (
            SELECT FROM inbox i
            WHERE i.awaits_organisation = :organisation AND i.awaits = 'enrolment' AND i.awaits_learner IS NOT NULL
              AND (CAST(:courses AS int[]) IS NULL OR i.awaits_course = ANY(CAST(:courses AS int[]))))
        """,
        organisation=organisation,
        courses=courses,
    )


#: A malformed event does not use up its id (S16), and so is in `inbox` alone.
_STORED = "SELECT (SELECT count(*) FROM arrivals) + (SELECT count(*) FROM inbox WHERE reason = 'malformed')"


def stored(connection: Connection) -> int:
    """How many events were ever stored, those that could not be taken included."""
    return integer(connection, _STORED)


def quarantine(connection: Connection, event: Event, reason: Reason, detail: str) -> None:
    """Set one event aside that could not be applied, so that those behind it go on."""
    seqs = list(claim_new(connection, [event])().values())
    defer(connection, [(seq, event, Deferred(reason, detail)) for seq in seqs], waiting=timedelta())
