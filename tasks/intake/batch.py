"""A batch of events, from bytes to everything that follows from them, in one transaction.

A batch is stored and applied together, so an event about one learner takes effect without a hop through a queue. What
is large (a fan-out over more than a chunk, mail) is written down as work in the same transaction; so is what one
organisation sent beyond a bound, which waits for its turn. If a batch cannot be applied, its events are applied in
ever smaller parts, and the one at fault is set aside with its reason.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config import clock
from config.counting import counts
from config.database import (
    autocommit,
    is_connection_problem,
    is_locked,
    is_retryable,
    keep_plans,
    retrying,
    scoped,
    trace_as,
    transaction,
)
from config.log import without_data
from config.pipeline import savepoint
from config.settings import Settings
from config.tracing import TRACE, tracing
from tasks import announcements, organisations
from tasks.cells import Elsewhere
from tasks.events import (
    AnnouncementRequested,
    Awaited,
    Deferred,
    Event,
    Identity,
    Malformed,
    OrganisationSaved,
    Reason,
    StoredEvent,
    TurnState,
    claim_new_events,
    decode,
    defer_events,
    in_turn,
    park_events,
    portions,
    quarantine_event,
    quarantine_malformed,
    read_malformed,
    settle_events,
    turns_of,
    waves,
)
from tasks.intake import handlers
from tasks.intake.context import Effects, EventContext
from tasks.intake.following import mail_admins
from tasks.intake.waiting import freed, is_recorded

log = structlog.get_logger()


#: Tries of a transaction after which an event that was deferred is set aside for what looks like a lost race: one that
#: loses it every time would be laid at the door of the event that freed it.
RACES = 3

#: Seconds for which whoever is changing an organisation is waited for, after everybody else had their turn, before what
#: it sent waits for its own. Longer than a chunk of a fan-out takes.
PATIENCE_SECONDS = 0.5

#: What a person is told of one that is set aside.
NOT_APPLIED = "it could not be applied; the log of the ingress says why"
KILLED = "whoever tried to apply it never came back, several times; release it once it is known why"
UNREADABLE = "whoever tried to read it never came back, several times"
NOT_STORED = "what could be read of it could not be stored"

#: What is said of an event of another organisation than its sender's.
NOT_THEIRS = "the key that signed it is for another organisation"


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of so many `events`, or what came as such; `reasons`: of what is malformed or refused, its position
    and why."""

    events: int = 0
    new: int = 0
    repeated: int = 0
    deferred: int = 0
    malformed: int = 0
    refused: int = 0
    reasons: tuple[tuple[int, str], ...] = ()

    def __add__(self, other: "BatchResult") -> "BatchResult":
        """What became of both, the other's being behind."""
        return BatchResult(
            self.events + other.events,
            self.new + other.new,
            self.repeated + other.repeated,
            self.deferred + other.deferred,
            self.malformed + other.malformed,
            self.refused + other.refused,
            self.reasons + tuple((self.events + at, reason) for at, reason in other.reasons),
        )


def process_batch(
    engine: Engine,
    settings: Settings,
    bodies: Sequence[bytes],
    *,
    only: Collection[str] | None = None,
    at_once: bool = False,
    known: Mapping[str, int] | None = None,
    few: bool = False,
    then: Callable[[Connection], None] | None = None,
) -> BatchResult:
    """Store and apply a batch, whatever is in it. When this returns, every one of them is applied, or stored with the
    reason why not; only a database that cannot be reached raises, and `Elsewhere` where an organisation has left this
    cell. `only`: organisations whose events alone their sender
    may send; another's are refused, and stored nowhere (R31). `at_once`: none of them waits for its turn; `known`: the
    numbers of organisations that the caller has read; `few`: each is about few rows, and they are few. `then`: what is
    done with the last of them, in its transaction; it is not done if that fails, and is to raise nothing.

    Nobody waits for what another organisation sent beyond a bound, nor for longer than a moment for whoever is changing
    another (R31).
    """
    now, skew = clock.now(), timedelta(seconds=settings.rollcall_skew_seconds)
    decoded = [decode(body, now=now, skew=skew) for body in bodies]
    theirs = [entry for entry in decoded if _may_send(entry, only)]
    events = [entry for entry in theirs if isinstance(entry, Event)]
    malformed = [entry for entry in theirs if isinstance(entry, Malformed)]
    standing = [] if at_once else _standing(engine, {event.organisation for event in events})
    known = {one.id: one.organisation for one in standing} | dict(known or {})
    busy = {one.id for one in standing if one.busy}
    first, rest = (events, {}) if at_once else in_turn(events, {one.id for one in standing if one.behind})
    parts = portions([event for event in first if event.organisation not in busy], settings.rollcall_chunk)
    done = [
        store_part(engine, settings, part, known, few=few, then=then if part is parts[-1] else None) for part in parts
    ]
    patience = PATIENCE_SECONDS
    for id_ in sorted(busy):
        parts = portions([event for event in first if event.organisation == id_], settings.rollcall_chunk)
        for n, part in enumerate(parts):
            try:
                done.append(store_part(engine, settings, part, known, patience=patience))
            except OperationalError as problem:
                if not is_locked(problem):
                    raise
                patience = 0
                rest[id_] = [*chain(*parts[n:]), *rest.get(id_, ())]
                break
    for id_, behind in rest.items():
        number = _number_of(engine, id_)  # of one that nobody knows, they wait for it
        parts = portions(behind, settings.rollcall_chunk) if number is None else [behind]
        done += [store_part(engine, settings, part, known, turn_of=number) for part in parts]
    _quarantine(engine, malformed)
    total = sum(done, BatchResult())
    result = replace(
        total,
        events=len(bodies),
        repeated=len(events) - total.new,
        malformed=len(malformed),
        refused=len(decoded) - len(theirs),
        reasons=tuple(
            (at, entry.detail if isinstance(entry, Malformed) and _may_send(entry, only) else NOT_THEIRS)
            for at, entry in enumerate(decoded)
            if isinstance(entry, Malformed) or not _may_send(entry, only)
        ),
    )
    for outcome in ("deferred", "repeated", "malformed", "refused"):
        counts.count("rollcall_events_taken_total", getattr(result, outcome), outcome=outcome)
    counts.count("rollcall_events_taken_total", result.new - result.deferred, outcome="applied")
    return result


def store_part(
    engine: Engine,
    settings: Settings,
    events: Sequence[Event],
    known: Mapping[str, int],
    *,
    patience: float | None = None,
    turn_of: int | None = None,
    few: bool = False,
    then: Callable[[Connection], None] | None = None,
) -> BatchResult:
    """Store the new ones of these events and apply them, in a transaction, or store them until it is the turn of their
    organisation, if its number is given; if that cannot be, in ever smaller parts, until the one at fault is by itself
    and set aside. `known`: the numbers of organisations; whoever is changing one is waited for with so much `patience`,
    in seconds. `few`: see `process_batch`; `then`: what is done with all of them, unless it is in parts."""
    if turn_of is None:
        judge_messages(engine, events)
    try:
        for attempt in retrying():
            with attempt, transaction(engine, turn_of, pipelined=True) as connection:
                if turn_of is not None:
                    stored = park_events(connection, turn_of, events)
                    return BatchResult(new=stored, deferred=stored)
                if few:
                    keep_plans(connection)
                batch = Batch(connection, settings, last=attempt.retry_state.attempt_number > RACES)
                new = batch.claim(events, known, patience, few)
                result = BatchResult(new=len(new), deferred=batch.finish(new, batch.apply(new)))
                if then is not None:
                    then(connection)
                return result
    except Exception as problem:  # whatever it was, one event harms no other
        if is_away(problem) or isinstance(problem, Elsewhere):
            raise
        say_why("events.not_applied", events, problem)
    if len(events) > 1:
        half = len(events) // 2
        parts = (events[:half], events[half:])
        done = (store_part(engine, settings, part, known, patience=patience, turn_of=turn_of) for part in parts)
        return sum(done, BatchResult())
    with transaction(engine) as connection:
        quarantine_event(connection, events[0], Reason.INTERNAL_ERROR, NOT_APPLIED)
    return BatchResult(new=1, deferred=1)


def _standing(engine: Engine, ids: Collection[str]) -> list[TurnState]:
    """How these organisations stand, as far as they are known."""
    if not ids:
        return []
    for attempt in retrying():
        with attempt, autocommit(engine) as connection:
            return turns_of(connection, ids)
    raise AssertionError("retrying either returns or raises")


def _number_of(engine: Engine, id_: str) -> int | None:
    with transaction(engine) as connection:
        found = organisations.find(connection, [id_]).get(id_)
    return found.organisation if found else None


def _may_send(entry: Event | Malformed, only: Collection[str] | None) -> bool:
    """Whether it is of one of these organisations; what names none harms none, and is stored as malformed."""
    return only is None or entry.organisation in only or (isinstance(entry, Malformed) and entry.organisation is None)


def set_aside(engine: Engine, entries: Iterable[tuple[bytes, str]], *, only: Collection[str] | None = None) -> None:
    """Store what came in and cannot be an event, whatever stands in it, each with what is wrong with it (R32); `only`
    of these organisations, and what names none."""
    malformed = [read_malformed(body, detail) for body, detail in entries]
    _quarantine(engine, [entry for entry in malformed if _may_send(entry, only)])


def give_up(engine: Engine, settings: Settings, body: bytes, *, readable: bool = True) -> None:
    """Set aside, without trying it, what took down whoever tried it before; as no event unless it is `readable`."""
    event: Event | Malformed = Malformed("", "", None, None, UNREADABLE, body)
    if readable:
        event = decode(body, now=clock.now(), skew=timedelta(seconds=settings.rollcall_skew_seconds))
    log.error("events.given_up", type=event.type)
    if isinstance(event, Malformed):
        _quarantine(engine, [event])
        return
    with transaction(engine) as connection:
        quarantine_event(connection, event, Reason.INTERNAL_ERROR, KILLED)


def _quarantine(engine: Engine, malformed: Sequence[Malformed]) -> None:
    if not malformed:
        return
    try:
        for attempt in retrying():
            with attempt, transaction(engine) as connection:
                quarantine_malformed(connection, malformed)
    except Exception as problem:  # whatever it was, one entry harms no other
        if is_away(problem) or malformed[0].detail == NOT_STORED:
            raise
        log.error("events.not_set_aside", events=len(malformed), **without_data(problem))  # noqa: TRY400
        for entry in malformed:
            alone = entry if len(malformed) > 1 else Malformed("", "", None, None, NOT_STORED, entry.body)
            _quarantine(engine, [alone])


def is_away(problem: Exception) -> bool:
    """Whether the database is away, or every connection to it is in use: no event is to blame."""
    return isinstance(problem, PoolTimeout) or is_connection_problem(problem)


def judge_messages(engine: Engine, events: Sequence[Event]) -> None:
    """Judge what announcements say, which takes long, while nobody waits for a lock of ours (R31). One that cannot be
    judged is set aside when it is applied; one of an organisation that nobody knows waits for it, whatever it says."""
    said = [(event.organisation, event.data) for event in events if isinstance(event.data, AnnouncementRequested)]
    if not said:
        return
    for attempt in retrying():
        with attempt, transaction(engine) as connection:
            found = organisations.find(connection, {organisation for organisation, _ in said})
    for organisation, data in said:
        if organisation in found:
            with suppress(Exception):
                announcements.fault_of(data, organisation, found[organisation].name)


def say_why(what: str, events: Sequence[Event], problem: Exception) -> None:
    """Log why events could not be applied."""
    log.error(what, events=len(events), types=sorted({event.type for event in events}), **without_data(problem))


@dataclass(slots=True)
class Batch:
    """A transaction that applies events. `last`: of those that were deferred, one that loses a race again is set aside.

    `found`: organisations as they were read under their lock, until events of theirs may have changed that; `unknown`:
    those that nobody can save meanwhile. `deferred`: the events that are deferred by now.
    """

    connection: Connection
    settings: Settings
    last: bool = False
    numbers: dict[Identity, int] = field(default_factory=dict)
    found: dict[str, organisations.Organisation] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    deferred: set[Identity] = field(default_factory=set)

    def claim(
        self, events: Sequence[Event], known: Mapping[str, int], patience: float | None, few: bool
    ) -> list[Event]:
        """Make events ours that nobody took before (R32), and lock their organisations; if they are `few`, without
        waiting in between, though all may be known already."""
        claimed = claim_new_events(self.connection, events)
        if few:
            self.lock(events, known, patience)
        self.numbers = claimed()
        new: dict[Identity, Event] = {}
        for event in events:
            if event.identity in self.numbers:
                new.setdefault(event.identity, event)
        if not few:
            self.lock(new.values(), known, patience)
        return list(new.values())

    def lock(self, events: Iterable[Event], known: Mapping[str, int], patience: float | None = None) -> None:
        """Be the only one to change what is known of the organisations of these events, until the transaction ends."""
        ids = {event.organisation for event in events}
        if not ids:
            return
        numbers = [known[id_] for id_ in ids if id_ in known]
        found = organisations.lock(self.connection, ids, known=numbers, patience=patience)
        if unknown := ids - found.keys():
            organisations.reserve(self.connection, unknown)
            found |= organisations.lock(self.connection, unknown)
        self.unknown |= ids - found.keys()
        self.found |= found

    def apply(self, events: Sequence[Event], *, released: bool = False) -> Effects:
        """Have events applied by the handlers of their types; what came of them."""
        effects = Effects()
        outside = TRACE.get()
        traced = any(event.traceparent is not None for event in events)
        for wave in waves(events):
            first = wave[0]
            trace = _trace_of(wave)
            if traced:
                trace_as(self.connection, trace)
            before = organisation = self._organisation(first.organisation)
            if isinstance(first.data, OrganisationSaved):
                organisation = organisations.save(self.connection, first)
                self.unknown.discard(first.organisation)
            if organisation is None:
                why = Deferred(
                    Reason.UNKNOWN_ORGANISATION,
                    f"the organisation {first.organisation} is not known",
                    Awaited.saved_organisation(first.organisation),
                )
                effects.deferred += [(event, why) for event in wave]
                continue
            context = EventContext(self.connection, self.settings, organisation, effects, before, released)
            with tracing(trace), scoped(self.connection, organisation.organisation):
                handlers.HANDLERS[type(first.data)](context, wave)
        if traced:
            trace_as(self.connection, outside)
        return effects

    def _organisation(self, id_: str) -> organisations.Organisation | None:
        if id_ in self.unknown:
            return None
        return self.found.pop(id_, None) or organisations.find(self.connection, [id_]).get(id_)

    def apply_stored(self, events: Sequence[Event], *, released: bool = False) -> Effects:
        """Apply what was deferred; if one of them cannot be applied, it is set aside and harms neither the others nor
        what it waited for."""
        try:
            with savepoint(self.connection):
                return self.apply(events, released=released)
        except Exception as problem:  # whatever it was, one event harms no other
            if is_connection_problem(problem) or (is_retryable(problem) and not self.last):
                raise
            say_why("events.stored_not_applied", events, problem)
        if len(events) == 1:
            return Effects(deferred=[(events[0], Deferred(Reason.INTERNAL_ERROR, NOT_APPLIED))])
        half = len(events) // 2
        effects = self.apply_stored(events[:half], released=released)
        effects.add(self.apply_stored(events[half:], released=released))
        return effects

    def finish(self, events: Sequence[Event], effects: Effects, *, stored: bool = False) -> int:
        """Record what became of events; then, as long as there is any, apply what waited for what they made known.
        `stored`: they were deferred before. How many of them are deferred now; of what waited before, more may be."""
        waiting, void = timedelta(seconds=self.settings.rollcall_waiting_seconds), Effects()
        ours = {event.identity for event in events}
        while events:
            deferred = {event.identity for event, _ in effects.deferred}
            defer_events(
                self.connection,
                ((self.numbers[event.identity], event, why) for event, why in effects.deferred),
                waiting=waiting,
            )
            self.deferred = (self.deferred - {event.identity for event in events}) | deferred
            if stored:
                applied = [self.numbers[event.identity] for event in events if event.identity not in deferred]
                settle_events(self.connection, applied)
            void.add(Effects(void=effects.void))
            events = self.unrecorded(freed(self.connection, effects.known, effects.enrolled))
            effects, stored = self.apply_stored(events) if events else Effects(), True
        mail_admins(self.connection, void)
        return len(self.deferred & ours)

    def unrecorded(self, stored: Sequence[tuple[StoredEvent, Event]]) -> list[Event]:
        """Of what waited, what is to be applied now; what is in the history already is settled."""
        recorded = {event.identity: one.seq for one, event in stored if is_recorded(one, event)}
        settle_events(self.connection, list(recorded.values()))
        self.deferred -= recorded.keys()
        self.numbers |= {event.identity: one.seq for one, event in stored}
        return [event for _, event in stored if event.identity not in recorded]

    def finish_stored(self, stored: Sequence[tuple[StoredEvent, Event]]) -> None:
        """Apply these that were deferred, and what waited for them. The caller holds the lock of their organisation."""
        events = self.unrecorded(stored)
        self.finish(events, self.apply_stored(events), stored=True)


def _trace_of(events: Sequence[Event]) -> str | None:
    """The trace that events belong to. What several cause together belongs to that of none."""
    traces = {event.traceparent for event in events}
    return traces.pop() if len(traces) == 1 else None


def apply_waiting(connection: Connection, settings: Settings, effects: Effects) -> None:
    """Apply what waited for what is known now (R6). The caller holds the lock of the organisation."""
    Batch(connection, settings).finish_stored(freed(connection, effects.known, effects.enrolled))
