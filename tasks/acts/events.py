"""Events that came and could not be taken, what was decided about them, and events out that are published again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Annotated, Literal

from msgspec import Meta

from config import clock
from config.database import transaction
from config.errors import BadField, Invalid, NotFound, UserError
from tasks import events, intake
from tasks.acts.acting import Doing, Nothing, act
from tasks.acts.paging import After, Limit, Page, PageAsked, keys_after, page

#: Why somebody decides so: kept with the event.
Why = Annotated[str, Meta(min_length=1, max_length=1000)]


class UnresolvedState(StrEnum):
    """What an event that was not taken may be in."""

    WAITING = "waiting"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class UnresolvedFilter:
    """Which events are listed that wait or are quarantined."""

    reason: events.Reason | None = None
    state: UnresolvedState | None = None
    limit: Limit = 100
    after: After | None = None


@dataclass(frozen=True, slots=True)
class AnybodysUnresolvedFilter(UnresolvedFilter):
    """The same; of those that name this organisation, though nobody may know it."""

    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class AnybodysDecidedFilter(PageAsked):
    """The same; of those that name this organisation, though nobody may know it."""

    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """One event, by the number that it is listed under, and why it is decided so."""

    seq: int
    why: Why = "released by hand"


@dataclass(frozen=True, slots=True)
class Discarding:
    """One event that is given up, and why."""

    seq: int
    why: Why


@dataclass(frozen=True, slots=True)
class Decisions:
    """Events, by their ids or the numbers that they are listed under, why it is decided so, and of which source."""

    ids: list[str]
    why: Why
    source: str | None = None
    by_number: bool = False


@dataclass(frozen=True, slots=True)
class AnybodysDecisions(Decisions):
    """The same; of those that name this organisation, though nobody may know it."""

    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class EventDecision:
    """What a person made of an event that could not be taken."""

    id: str
    state: str


@dataclass(frozen=True, slots=True)
class Replaying:
    """Which events are published once more: from a time or a position to another, both included; no `types`: all.
    `dry_run`: only how many."""

    since: datetime | int
    until: datetime | int | None = None
    types: list[str] = ()  # type: ignore[assignment]
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many events are published once more, or would be; and how many of all such are not on the stream yet."""

    replayed: int
    dry_run: bool
    left: int


@act("events.quarantined", "GET events/quarantined")
def quarantined(doing: Doing, asked: UnresolvedFilter) -> Page[events.Quarantined]:
    """The events that wait for something, or for a person: why, what came, and what to do."""
    return _quarantined(doing, asked, doing.organisation.id)


@act("system.events.quarantined", "GET /system/events/quarantined")
def quarantined_anywhere(doing: Doing, asked: AnybodysUnresolvedFilter) -> Page[events.Quarantined]:
    """The same of everybody, and of organisations that nobody knows."""
    return _quarantined(doing, asked, asked.organisation)


def _quarantined(doing: Doing, asked: UnresolvedFilter, named: str | None) -> Page[events.Quarantined]:
    listed = (doing.act, named, asked.reason, asked.state)
    (after,) = keys_after(asked.after, tuple[int], *listed) or (0,)
    with doing.transaction() as connection:
        found, more = events.quarantined_page(
            connection, named, after, asked.limit, reason=asked.reason, state=asked.state
        )
    return page([*found, *found[-1:]] if more else found, len(found), lambda entry: (entry.number,), *listed)


@act("events.decided", "GET events/decided")
def decided(doing: Doing, asked: PageAsked) -> Page[events.DecidedEvent]:
    """The events that were released or discarded: who decided it, when, and why."""
    return _decided(doing, asked, doing.organisation.id)


@act("system.events.decided", "GET /system/events/decided")
def decided_anywhere(doing: Doing, asked: AnybodysDecidedFilter) -> Page[events.DecidedEvent]:
    """The same of everybody, and of organisations that nobody knows."""
    return _decided(doing, asked, asked.organisation)


def _decided(doing: Doing, asked: PageAsked, named: str | None) -> Page[events.DecidedEvent]:
    listed = (doing.act, named)
    (after,) = keys_after(asked.after, tuple[int], *listed) or (0,)
    with doing.transaction() as connection:
        found = events.decided(connection, named, after, asked.limit + 1)
    return page(found, asked.limit, lambda entry: (entry.number,), *listed)


@act("events.release", "POST events/quarantined/{seq}/release")
def release(doing: Doing, asked: Decision) -> EventDecision:
    """Take an event as valid, because a person says so: a start by an inactive learner then counts, and is charged."""
    return release_many.does(doing, Decisions([str(asked.seq)], asked.why, by_number=True))[0]


@act("events.release_many", "POST events/release", each="ids")
def release_many(doing: Doing, asked: Decisions) -> list[EventDecision]:
    """Take events as valid, one after the other, because a person says so."""
    return _decide(doing, asked, doing.organisation.id, "released")


@act("system.events.release_many", "POST /system/events/release", each="ids")
def release_anywhere(doing: Doing, asked: AnybodysDecisions) -> list[EventDecision]:
    """The same, whoever's they are."""
    return _decide(doing, asked, asked.organisation, "released")


@act("events.discard", "POST events/quarantined/{seq}/discard")
def discard(doing: Doing, asked: Discarding) -> EventDecision:
    """Give an event up, for good; that it came is kept, with who decided and why."""
    return discard_many.does(doing, Decisions([str(asked.seq)], asked.why, by_number=True))[0]


@act("events.discard_many", "POST events/discard", each="ids")
def discard_many(doing: Doing, asked: Decisions) -> list[EventDecision]:
    """Give events up, one after the other, for good."""
    return _decide(doing, asked, doing.organisation.id, "discarded")


@act("system.events.discard_many", "POST /system/events/discard", each="ids")
def discard_anywhere(doing: Doing, asked: AnybodysDecisions) -> list[EventDecision]:
    """The same, whoever's they are."""
    return _decide(doing, asked, asked.organisation, "discarded")


def _decide(
    doing: Doing, asked: Decisions, named: str | None, state: Literal["released", "discarded"]
) -> list[EventDecision]:
    engine = doing.runtime.engine
    do: Callable[..., None] = (
        partial(intake.release, engine, doing.runtime.settings)
        if state == "released"
        else partial(intake.discard, engine)
    )
    for id_ in asked.ids:
        wanted = _named(doing, events.EventRef(id_, named, asked.source, asked.by_number))
        written = partial(doing.record, subject=id_, before={"state": "held"}, after={"state": state})
        do(wanted, by=doing.caller.who, why=asked.why, also=written)
    return [EventDecision(id_, state) for id_ in asked.ids]


def _named(doing: Doing, wanted: events.EventRef) -> events.EventRef:
    """The event that is meant: what no event was ever called is the number that `quarantined` shows it by. Who decides
    for an organisation decides on nothing that its people do not see (R31)."""
    number = wanted.id.removesuffix(".")
    with doing.transaction() as connection:
        if number.isdecimal() and not wanted.by_number and not events.is_called(connection, wanted.id):
            wanted = replace(wanted, id=number, by_number=True)
        if not events.unresolved(connection, wanted, decide=False):
            raise NotFound(f"no event {wanted.id} waits or is quarantined")
    return wanted


@act("events.replay", "POST events/replay")
def replay(doing: Doing, asked: Replaying) -> Replayed:
    """Publish what went out of an organisation once more, at the end of the stream, in the order it had."""
    return _replay(doing, asked)


@act("system.events.replay", "POST /system/events/replay")
def replay_all(doing: Doing, asked: Replaying) -> Replayed:
    """The same of everybody."""
    return _replay(doing, asked)


def _replay(doing: Doing, asked: Replaying) -> Replayed:
    if unknown := [one for one in asked.types if one not in events.TYPES_OUT]:
        known = f"it is none of {', '.join(events.TYPES_OUT)}"
        raise Invalid(f"There are no events out of type {unknown[0]}.", [BadField("/types", known)])
    if isinstance(asked.since, datetime) and asked.since > clock.now():
        raise UserError("since is in the future: nothing was published then.")
    if type(asked.since) is type(asked.until) and asked.until < asked.since:  # type: ignore[operator]
        raise UserError("until is before since.")
    wanted = events.ReplayRequest(asked.since, asked.until, tuple(asked.types), doing.number)
    with transaction(doing.runtime.engine) as connection:
        through = events.replay_published(connection)
    with doing.transaction() as connection:
        found = events.replay(connection, wanted, through, dry=asked.dry_run)
        if not asked.dry_run:
            doing.record(connection, after={"events": found})
    left = 0 if asked.dry_run or not found else _left(doing).waiting
    return Replayed(found, asked.dry_run, left)


@act("events.replays", "GET events/replay")
def replays(doing: Doing, asked: Nothing) -> events.ReplayLeft:  # noqa: ARG001
    """How many of an organisation's events are in line to be published once more, and whether a relay does it."""
    return _left(doing)


@act("system.events.replays", "GET /system/events/replay")
def replays_of_all(doing: Doing, asked: Nothing) -> events.ReplayLeft:  # noqa: ARG001
    """The same of everybody's."""
    return _left(doing)


def _left(doing: Doing) -> events.ReplayLeft:
    with transaction(doing.runtime.engine, doing.number) as connection:
        return events.replay_left(connection, doing.number)
