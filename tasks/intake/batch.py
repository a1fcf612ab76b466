"""Taking events: from bytes to everything that follows from them, in one transaction.

A batch is stored and applied together, so an event about one learner takes effect without a hop through a queue. What
is large (a fan-out over more than a chunk, mail) is written down as work in the same transaction; so is what one
organisation sent beyond a bound, which waits for its turn. Where a batch cannot be applied, its events are taken in
ever smaller parts, and the one at fault is set aside with its reason.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate, chain, takewhile

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config.database import (
    is_connection_problem,
    is_locked,
    is_retryable,
    lock_organisations,
    retrying,
    scoped,
    statement_by_statement,
    transaction,
)
from config.errors import UserError
from config.log import without_data
from config.settings import Settings
from tasks import announcements, organisations, seats, work
from tasks.events import Event, Held, Malformed, Reason, decode, inbox, portions, turns, waves
from tasks.events.rules import affordable, in_turn
from tasks.events.schemas import AnnouncementRequested, Identity, OrganisationSaved, StatusChanged, read_malformed
from tasks.intake import following as effects

log = structlog.get_logger()


#: Tries of a transaction after which an event that was held back is set aside for what looks like a lost race: one that
#: loses it every time would be laid at the door of the event that freed it.
RACES = 3

#: Seconds for which whoever is changing an organisation is waited for, after everybody else had their turn, before what
#: it sent waits for its own. Longer than a chunk of a fan-out takes.
PATIENCE_SECONDS = 0.5

#: Events that waited which are taken in the transaction that makes known what they waited for; the rest is work.
MOST_FREED = 500

#: Octets of events that waited after which no other is taken with them: a long one may take long to judge.
FREED_OCTETS = 200_000

#: About how many rows they may cost, unless it is one event.
FREED_ROWS = 5_000

#: Why a status is only kept, and not in any history: nobody knows whose it would be, or it was not looked at yet.
NOT_IN_HISTORY = {Reason.UNKNOWN_ORGANISATION.value, Reason.ITS_TURN.value}

#: What a person is told of one that is set aside.
NOT_APPLIED = "it could not be applied; the log of the ingress says why"
KILLED = "whoever tried to apply it never came back, several times; release it once it is known why"
UNREADABLE = "whoever tried to read it never came back, several times"
NOT_KEPT = "what could be read of it could not be stored"


#: What is said of an event of another organisation than its sender's.
NOT_THEIRS = "the key that signed it is for another organisation"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch; `reasons`: of what is malformed or refused, its position and why."""

    new: int
    repeated: int
    held: int
    malformed: int
    reasons: tuple[tuple[int, str], ...] = ()
    refused: int = 0


def take(
    engine: Engine,
    settings: Settings,
    bodies: Sequence[bytes],
    *,
    only: Collection[str] | None = None,
    at_once: bool = False,
) -> Taken:
    """Store and apply a batch, whatever is in it. When this returns, every one of them is taken, or kept with the
    reason why not; only a database that cannot be reached raises. `only`: organisations whose events alone their sender
    may send; another's are refused, and kept nowhere (R31). `at_once`: none of them waits for its turn."""
    now = datetime.now(UTC)
    skew = timedelta(seconds=settings.rollcall_skew_seconds)
    decoded = [decode(body, now=now, skew=skew) for body in bodies]
    theirs = [entry for entry in decoded if _may_send(entry, only)]
    events = [entry for entry in theirs if isinstance(entry, Event)]
    malformed = [entry for entry in theirs if isinstance(entry, Malformed)]
    _quarantine(engine, malformed)
    counts = _take_at_once(engine, settings, events, {}) if at_once else _take_in_turn(engine, settings, events)
    new, held = sum(new for new, _ in counts), sum(held for _, held in counts)
    reasons = tuple(
        (at, entry.detail if isinstance(entry, Malformed) and _may_send(entry, only) else NOT_THEIRS)
        for at, entry in enumerate(decoded)
        if isinstance(entry, Malformed) or not _may_send(entry, only)
    )
    return Taken(new, len(events) - new, held, len(malformed), reasons, len(decoded) - len(theirs))


def read_kept(body: bytes) -> Event | Malformed:
    """Read an event that was taken as one before."""
    return decode(body, now=datetime.max.replace(tzinfo=UTC), skew=timedelta())


def _may_send(entry: Event | Malformed, only: Collection[str] | None) -> bool:
    """Whether it is of one of these organisations; what names none harms none, and is kept as malformed."""
    return only is None or entry.organisation in only or (isinstance(entry, Malformed) and entry.organisation is None)


def _take_in_turn(engine: Engine, settings: Settings, events: Sequence[Event]) -> list[tuple[int, int]]:
    """Take what is to be taken at once, and keep the rest until it is its turn: nobody waits for what another
    organisation sent beyond a bound, nor for longer than a moment for whoever is changing another (R31)."""
    standing = _standing(engine, {event.organisation for event in events})
    busy = {one.id for one in standing if one.busy}
    known = {one.id: one.organisation for one in standing}
    first, later = in_turn(events, {one.id for one in standing if one.behind})
    counts = _take_at_once(engine, settings, [event for event in first if event.organisation not in busy], known)
    patience = PATIENCE_SECONDS
    for organisation in sorted(busy):
        parts = portions([event for event in first if event.organisation == organisation], settings.rollcall_chunk)
        for n, part in enumerate(parts):
            try:
                counts.append(_take_events(engine, settings, part, known, patience=patience))
            except OperationalError as problem:
                if not is_locked(problem):
                    raise
                patience = 0
                later[organisation] = [*chain(*parts[n:]), *later.get(organisation, ())]
                break
    return counts + [_take_later(engine, settings, organisation, rest) for organisation, rest in later.items()]


def _take_at_once(
    engine: Engine, settings: Settings, events: Sequence[Event], known: Mapping[str, int]
) -> list[tuple[int, int]]:
    return [_take_events(engine, settings, part, known) for part in portions(events, settings.rollcall_chunk)]


def _standing(engine: Engine, named: Collection[str]) -> list[turns.Standing]:
    """How these organisations stand, as far as they are known."""
    if not named:
        return []
    for attempt in retrying():
        with attempt, statement_by_statement(engine) as connection:
            return turns.standing(connection, named)
    raise AssertionError("retrying either returns or raises")


def set_aside(engine: Engine, entries: Iterable[tuple[bytes, str]], *, only: Collection[str] | None = None) -> None:
    """Keep what came in and cannot be an event, whatever stands in it, each with what is wrong with it (R32); `only` of
    these organisations, and what names none."""
    malformed = [read_malformed(body, detail) for body, detail in entries]
    _quarantine(engine, [entry for entry in malformed if _may_send(entry, only)])


def give_up(engine: Engine, settings: Settings, body: bytes, *, readable: bool = True) -> None:
    """Set aside, without trying it, what took down whoever tried it before; as no event unless it is `readable`."""
    event: Event | Malformed = Malformed("", "", None, None, UNREADABLE, body)
    if readable:
        event = decode(body, now=datetime.now(UTC), skew=timedelta(seconds=settings.rollcall_skew_seconds))
    log.error("events.given_up", type=event.type)
    if isinstance(event, Malformed):
        _quarantine(engine, [event])
        return
    with transaction(engine) as connection:
        inbox.quarantine(connection, event, Reason.INTERNAL_ERROR, KILLED)


def _quarantine(engine: Engine, malformed: Sequence[Malformed]) -> None:
    if not malformed:
        return
    try:
        for attempt in retrying():
            with attempt, transaction(engine) as connection:
                inbox.quarantine_malformed(connection, malformed)
    except Exception as problem:  # whatever it was, one entry harms no other
        if is_away(problem) or malformed[0].detail == NOT_KEPT:
            raise
        log.error("events.not_set_aside", events=len(malformed), **without_data(problem))  # noqa: TRY400
        for entry in malformed:
            alone = entry if len(malformed) > 1 else Malformed("", "", None, None, NOT_KEPT, entry.body)
            _quarantine(engine, [alone])


def is_away(problem: Exception) -> bool:
    """Whether the database is away, or every connection to it is in use: no event is to blame."""
    return isinstance(problem, PoolTimeout) or is_connection_problem(problem)


def _take_events(
    engine: Engine,
    settings: Settings,
    events: Sequence[Event],
    known: Mapping[str, int],
    *,
    patience: float | None = None,
) -> tuple[int, int]:
    judge_messages(engine, events)

    def apply(connection: Connection, some: Sequence[Event], last: bool) -> tuple[int, int]:
        return _apply_new(connection, settings, some, known, last=last, patience=patience)

    return _store(engine, events, apply)


def _take_later(engine: Engine, settings: Settings, organisation: str, events: Sequence[Event]) -> tuple[int, int]:
    """Keep events of an organisation until it is their turn; where nobody knows it, they wait for it."""
    with transaction(engine) as connection:
        found = organisations.find(connection, [organisation]).get(organisation)
    if found is None:
        counts = _take_at_once(engine, settings, events, {})
        return sum(new for new, _ in counts), sum(held for _, held in counts)
    number = found.organisation

    def park(connection: Connection, some: Sequence[Event], _last: bool) -> tuple[int, int]:
        with scoped(connection, number):
            return (new := turns.park(connection, number, some)), new

    return _store(engine, events, park)


def _store(
    engine: Engine, events: Sequence[Event], store: Callable[[Connection, Sequence[Event], bool], tuple[int, int]]
) -> tuple[int, int]:
    """Store events, in a transaction; where that cannot be, in ever smaller parts, until the one at fault is by itself
    and set aside. How many are new, and how many of them are held back."""
    if not events:
        return 0, 0
    try:
        for attempt in retrying():
            with attempt, transaction(engine, pipelined=True) as connection:
                return store(connection, events, attempt.retry_state.attempt_number > RACES)
    except Exception as problem:  # whatever it was, one event harms no other
        if is_away(problem):
            raise
        say_why("events.not_applied", events, problem)
    if len(events) > 1:
        half = len(events) // 2
        counts = [_store(engine, part, store) for part in (events[:half], events[half:])]
        return sum(new for new, _ in counts), sum(held for _, held in counts)
    with transaction(engine) as connection:
        inbox.quarantine(connection, events[0], Reason.INTERNAL_ERROR, NOT_APPLIED)
    return 1, 1


def judge_messages(engine: Engine, events: Sequence[Event]) -> None:
    """Judge what announcements say, which takes long, while nobody waits for a lock of ours (R31). One that cannot be
    judged is set aside where it is applied; one of an organisation that nobody knows waits for it, whatever it says."""
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


def _apply_new(
    connection: Connection,
    settings: Settings,
    events: Sequence[Event],
    known: Mapping[str, int],
    *,
    last: bool,
    patience: float | None,
) -> tuple[int, int]:
    """Apply those of the events that are new, then what was waiting for them."""
    numbers = inbox.claim_new(connection, events)
    fresh, seen = [], set()
    for event in events:
        if event.identity in numbers and event.identity not in seen:
            seen.add(event.identity)
            fresh.append(event)
    held = _apply(connection, settings, fresh, numbers, known, kept=False, last=last, patience=patience)
    return len(fresh), held


def _apply(
    connection: Connection,
    settings: Settings,
    events: Sequence[Event],
    numbers: dict[Identity, int],
    known: Mapping[str, int],
    *,
    kept: bool,
    released: bool = False,
    last: bool = False,
    patience: float | None = None,
) -> int:
    """Apply events, in waves; then, as long as there is any, what waited for what they made known. `kept`: the events
    were held back before; `released`: a person says they are valid; `last`: of those held back, one that loses a race
    again is set aside. How many are held back now."""
    waiting = timedelta(seconds=settings.rollcall_waiting_seconds)
    named = {event.organisation for event in events}
    numbers_of = [known[id_] for id_ in named if id_ in known]
    found = organisations.lock(connection, named, known=numbers_of, patience=patience) if named else {}
    if unknown := named - found.keys():
        organisations.reserve(connection, unknown)
        found |= organisations.lock(connection, unknown)
    locked = {organisation.organisation for organisation in found.values()}
    held_back: set[Identity] = set()
    void: dict[int, list[tuple[int, tuple[str, str]]]] = {}
    pending = list(events)
    while pending:
        if kept:
            done = _apply_kept(connection, settings, pending, found, locked, released=released, last=last)
        else:
            done = _apply_round(connection, settings, pending, found, locked, released=released)
        known, held = done.known, done.held
        for number, back in done.void.items():
            void.setdefault(number, []).extend(back)
        inbox.hold(connection, ((numbers[event.identity], event, why) for event, why in held), waiting=waiting)
        refused = {event.identity for event, _ in held}
        held_back -= {event.identity for event in pending}
        held_back |= refused
        taken = [numbers[event.identity] for event in pending if event.identity not in refused]
        if kept:
            inbox.settle(connection, taken)
        pending = _freed(connection, known, numbers, held_back)
        kept, released = True, False
    for number, learners_back in void.items():
        with scoped(connection, number):
            effects.notify_admins(connection, number, learners_back)
    return len(held_back)


@dataclass(slots=True)
class _Round:
    """What became of events that were applied together."""

    known: set[str] = field(default_factory=set)
    held: list[tuple[Event, Held]] = field(default_factory=list)
    void: dict[int, list[tuple[int, tuple[str, str]]]] = field(default_factory=dict)


def _apply_round(
    connection: Connection,
    settings: Settings,
    events: Sequence[Event],
    found: dict[str, organisations.Organisation],
    locked: set[int],
    *,
    released: bool,
) -> _Round:
    done = _Round()
    for wave in waves(events):
        taking = _apply_wave(connection, settings, wave, found, locked, released=released)
        if taking is None:
            organisation = wave[0].organisation
            why = Held(
                Reason.UNKNOWN_ORGANISATION,
                f"the organisation {organisation} is not known",
                f"organisation:{organisation}",
            )
            done.held += [(event, why) for event in wave]
        else:
            done.known |= taking.known
            done.held += taking.held
            if taking.void:
                done.void.setdefault(taking.number, []).extend(taking.void)
    return done


def _apply_kept(
    connection: Connection,
    settings: Settings,
    events: Sequence[Event],
    found: dict[str, organisations.Organisation],
    locked: set[int],
    *,
    released: bool,
    last: bool,
) -> _Round:
    """Apply what was held back; where one of them cannot be applied, it is set aside and harms neither the others nor
    what it waited for."""
    try:
        with connection.begin_nested():
            return _apply_round(connection, settings, events, found, locked, released=released)
    except Exception as problem:  # whatever it was, one event harms no other
        if is_connection_problem(problem) or (is_retryable(problem) and not last):
            raise
        say_why("events.kept_not_applied", events, problem)
    if len(events) == 1:
        return _Round(held=[(events[0], Held(Reason.INTERNAL_ERROR, NOT_APPLIED))])
    done = _Round()
    half = len(events) // 2
    for part in (events[:half], events[half:]):
        one = _apply_kept(connection, settings, part, found, locked, released=released, last=last)
        done.known |= one.known
        done.held += one.held
        for number, back in one.void.items():
            done.void.setdefault(number, []).extend(back)
    return done


def _freed(
    connection: Connection,
    known: set[str],
    numbers: dict[Identity, int],
    held_back: set[Identity],
) -> list[Event]:
    """What waited for something that is known now, be it from before or from earlier in the same batch; what is too
    much for this transaction is left to the workers, and so are messages that nobody here has judged (R31).

    This ends: what makes something known is settled when it was applied, and what only waits makes nothing known.
    """
    kept = inbox.waiting_for(connection, known, MOST_FREED) if known else []
    if len(kept) == MOST_FREED:
        _leave_rest(connection, known)
    for key in known:
        kind, _, organisation = key.partition(":")
        if kind == "enrolled":
            with scoped(connection, int(organisation)):
                came = inbox.waiting_for_enrolment(connection, int(organisation), MOST_FREED)
                kept += came
            if len(came) == MOST_FREED:
                _leave_rest(connection, {key})
    few = list(takewhile(lambda one: _is_judged(one[1]), portion(kept)))
    if len(few) < len(kept):
        _leave_rest(connection, known)
    return _sorted_out(connection, few, numbers, held_back)


def _is_judged(event: Event) -> bool:
    return not isinstance(event.data, AnnouncementRequested) or announcements.is_judged(event.data, event.organisation)


def portion(kept: Sequence[inbox.Kept]) -> list[tuple[inbox.Kept, Event]]:
    """What of this, from the first on, may be taken in one transaction: one event at least, unless none is one."""
    ends = list(accumulate(len(entry.body) for entry in kept))
    few = [(entry, read_kept(entry.body)) for entry in kept[: 1 + bisect_right(ends, FREED_OCTETS)]]
    understood = [(entry, event) for entry, event in few if isinstance(event, Event)]
    return understood[: max(1, affordable([event for _, event in understood], FREED_ROWS))]


def _sorted_out(
    connection: Connection,
    kept: Sequence[tuple[inbox.Kept, Event]],
    numbers: dict[Identity, int],
    held_back: set[Identity],
) -> list[Event]:
    """Of what waited, what is to be applied now; what is in the history already is settled."""
    freed, recorded = [], []
    for entry, event in kept:
        if isinstance(event.data, StatusChanged) and entry.waits_for.startswith("learner:"):
            # in the history since it came; only its learner was missing
            recorded.append(entry.seq)
            held_back.discard(event.identity)
        else:
            numbers[event.identity] = entry.seq
            freed.append(event)
    inbox.settle(connection, recorded)
    return freed


def _leave_rest(connection: Connection, known: set[str]) -> None:
    """More waited than is taken in one transaction: the workers take the rest."""
    split = [key.split(":", 2) for key in known]
    numbers = {int(of) for kind, of, *_ in split if kind != "organisation"}
    ids = [key.partition(":")[2] for key in known if key.startswith("organisation:")]
    numbers |= {organisation.organisation for organisation in organisations.find(connection, ids).values()}
    for number in numbers:
        with scoped(connection, number):
            work.add(connection, number, "tasks", "events.retake", 0)


class NotResolved(UserError):
    """The event cannot be released or discarded; the message says why."""


def release(engine: Engine, settings: Settings, wanted: inbox.Wanted, *, by: str, why: str) -> None:
    """Take an event that waits or is quarantined as valid, because a person says so (R27, S12).

    Raises `NotResolved` where there is not exactly one, or it cannot be applied even so; it then stays as it was.
    """
    for attempt in retrying():
        with attempt, transaction(engine) as connection:
            entry = _unresolved(connection, wanted)
            if entry.reason == Reason.ITS_TURN:
                raise NotResolved(f"{wanted.id} waits for its turn, and is taken by itself")
            event = read_kept(entry.body)
            if isinstance(event, Malformed):
                raise NotResolved(f"{wanted.id} is malformed ({event.detail}): have it sent again, or discard it")
            numbers = {event.identity: entry.seq}
            if _apply(connection, settings, [event], numbers, {}, kept=True, released=True):
                raise NotResolved(f"{wanted.id} cannot be taken even so: {entry.reason}")
            inbox.resolve(connection, entry, "released", by=by, why=why)


def discard(engine: Engine, wanted: inbox.Wanted, *, by: str, why: str) -> None:
    """Give up an event that waits or is quarantined (R27). Raises `NotResolved` where there is not exactly one, or
    what it says is in the history already."""
    for attempt in retrying():
        with attempt, transaction(engine) as connection:
            entry = _unresolved(connection, wanted)
            event = read_kept(entry.body)
            if (
                isinstance(event, Event)
                and isinstance(event.data, StatusChanged)
                and entry.reason not in NOT_IN_HISTORY
            ):
                raise NotResolved(f"{wanted.id} is in the history already: send a newer status instead")
            inbox.resolve(connection, entry, "discarded", by=by, why=why)


def _unresolved(connection: Connection, wanted: inbox.Wanted) -> inbox.Unresolved:
    found = inbox.unresolved(connection, wanted)
    if not found:
        raise NotResolved(f"no event {wanted.id} waits or is quarantined")
    if len(found) > 1:
        raise NotResolved(f"{len(found)} events are called {wanted.id}: say of which --organisation, or --source")
    return found[0]


def take_waiting(connection: Connection, settings: Settings, known: set[str], *, last: bool = False) -> None:
    """Take what waited for what is known now (R6). The caller holds the lock of the organisation; where this is its
    `last` try, what loses a race again is set aside."""
    numbers: dict[Identity, int] = {}
    freed = _freed(connection, known, numbers, set())
    _apply(connection, settings, freed, numbers, {}, kept=True, last=last)


def take_kept(
    connection: Connection, settings: Settings, kept: Sequence[tuple[inbox.Kept, Event]], *, last: bool = False
) -> None:
    """Take these that were held back; as `take_waiting` does."""
    numbers: dict[Identity, int] = {}
    freed = _sorted_out(connection, kept, numbers, set())
    _apply(connection, settings, freed, numbers, {}, kept=True, last=last)


def _apply_wave(
    connection: Connection,
    settings: Settings,
    wave: Sequence[Event],
    found: dict[str, organisations.Organisation],
    locked: set[int],
    *,
    released: bool,
) -> effects.Taking | None:
    """Apply one wave, or None where its organisation is not known. What was `found` under the lock is good for the
    first: a wave may change what is known of its organisation."""
    first = wave[0]
    organisation = found.pop(first.organisation, None) or organisations.find(connection, [first.organisation]).get(
        first.organisation
    )
    if isinstance(first.data, OrganisationSaved):
        saved = organisations.save(connection, first)
        lock_organisations(connection, [n for n in [saved.organisation] if n not in locked])
        locked.add(saved.organisation)
        with scoped(connection, saved.organisation):
            seats.terms_changed(connection, organisation, saved, first.key)
        return effects.Taking(connection, settings, saved, known={f"organisation:{saved.id}"})
    if organisation is None:
        return None
    if organisation.organisation not in locked:
        lock_organisations(connection, [organisation.organisation])
        locked.add(organisation.organisation)
    taking = effects.Taking(connection, settings, organisation, released=released)
    with scoped(connection, taking.number):
        effects.apply(taking, wave)
    return taking
