"""What decides about course starts: whether one counts, and what it costs."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from tasks.events import Awaited, Deferred, Reason
from tasks.organisations import Organisation


class Unit(StrEnum):
    """What an organisation buys."""

    SEAT = "seat"
    CREDIT = "credit"


class Review(StrEnum):
    """Why a person should look at an entry."""

    INACTIVE = "learner inactive"
    NOT_ENROLLED = "not enrolled"
    ON_HOLD = "course on hold"
    OUTSIDE_PERIOD = "outside licence period"


#: The period of a licence that has no beginning.
ALWAYS = "1970-01-01T00:00:00+00:00"


class Facts(Struct, frozen=True):
    """What is known when a start or completion is judged; `beaten`: its learner was deleted at that moment. A struct,
    as one is made for each of thousands a second."""

    n: int
    learner: int | None
    course: int | None
    cost: int | None
    on_hold: bool | None
    active_then: bool
    ended: bool | None
    enrolled_at: datetime | None
    started_at: datetime | None
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    stood_before: bool
    charged: bool
    beaten: bool = False


class Occurrence(Struct, frozen=True):
    """Where a start or completion happened, by the platform's ids, and when."""

    organisation: int
    learner: str
    course: str
    cycle: int
    time: datetime


def unit_of(organisation: Organisation) -> Unit:
    """What this organisation's licence counts in."""
    return Unit.SEAT if organisation.licence == "seats" else Unit.CREDIT


def period_of(organisation: Organisation) -> datetime:
    """The beginning of the licence period, which names the entries made in it (R25)."""
    return organisation.licence_starts or datetime.fromisoformat(ALWAYS)


def not_enrolled(learner: int, course: int, place: Occurrence) -> Deferred:
    """It waits for its enrolment (R27)."""
    return Deferred(
        Reason.NOT_ENROLLED,
        f"{place.learner} was not enrolled in cycle {place.cycle} of {place.course} at that time",
        Awaited.enrolment(place.organisation, course, place.cycle, learner),
    )


def judge_start(facts: Facts, place: Occurrence, lead: timedelta, *, released: bool = False) -> Deferred | None:
    """Whether a start counts (None), or why not. Inactive comes before anything else (R27, S12). One that was released
    is taken as valid, as soon as what it names is known."""
    if facts.learner is None:
        return Deferred.unknown_learner(place.organisation, place.learner)
    if not facts.active_then and not released:
        return Deferred(
            Reason.LEARNER_INACTIVE,
            f"{place.learner} was inactive at that time",
            Awaited.status(place.organisation, facts.learner),
            at_once=True,
        )
    if facts.course is None:
        return Deferred.unknown_course(place.organisation, place.course)
    begun = facts.enrolled_at is not None and facts.enrolled_at <= place.time + lead
    ended = facts.withdrawn_at is not None and facts.withdrawn_at <= place.time
    counts = released or (begun and not ended) or facts.stood_before
    return None if counts else not_enrolled(facts.learner, facts.course, place)


def is_simple(facts: Facts, place: Occurrence) -> bool:
    """Whether a start that counts changes nothing but that the enrolment is started: most do. Others may undo what a
    rule withdrew (R27, S5), began before their enrolment (S12), or were somebody's who was deleted since (S15)."""
    return (
        not facts.stood_before
        and not facts.ended
        and facts.withdrawn_by is None
        and facts.enrolled_at is not None
        and facts.enrolled_at <= place.time
    )


def judge_completion(facts: Facts, place: Occurrence) -> Deferred | None:
    """Whether a completion is taken (None), or what it waits for (S14). One of the moment of a deletion is of neither
    life, so what began after it was not completed then (S15)."""
    if facts.learner is None:
        return Deferred.unknown_learner(place.organisation, place.learner)
    if facts.course is None:
        return Deferred.unknown_course(place.organisation, place.course)
    stood = facts.enrolled_at is not None and not (facts.beaten and facts.enrolled_at > place.time)
    return None if stood else not_enrolled(facts.learner, facts.course, place)


def price(organisation: Organisation, cost: int | None) -> int:
    """What a first start costs: the course's credits, or one seat (R25)."""
    return 1 if unit_of(organisation) is Unit.SEAT else (cost or 0)


def reviews(organisation: Organisation, facts: Facts, time: datetime) -> list[Review]:
    """What a start that counts is flagged for (R27)."""
    flags = [Review.ON_HOLD] if facts.on_hold else []
    before = organisation.licence_starts is not None and time < organisation.licence_starts
    after = organisation.licence_ends is not None and time >= organisation.licence_ends
    return [*flags, Review.OUTSIDE_PERIOD] if before or after else flags


#: Percents of a pool at which its admins are warned.
WARNED_AT = (80, 100)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A percent of the pool that was reached, how much was used then, and the event (source and id) that did it."""

    percent: int
    used: int
    cause: tuple[str, str]


def reached(pool: int | None, used: int) -> tuple[int, ...]:
    """The percents to warn at that are reached. A pool without a limit has none; of one of nothing all is used with
    the first."""
    if pool is None or used == 0:
        return ()
    return tuple(percent for percent in WARNED_AT if used * 100 >= percent * pool and (pool or percent == 100))


def crossings(pool: int | None, used: int, charged: Iterable[tuple[int, tuple[str, str]]]) -> list[Crossing]:
    """What is reached by charging these amounts one after the other, each with its cause, to what was `used`."""
    found, before = [], reached(pool, used)
    for amount, cause in charged:
        used += amount
        after = reached(pool, used)
        found += [Crossing(percent, used, cause) for percent in after if percent not in before]
        before = after
    return found


def percent_used(pool: int, used: int) -> int:
    """How much of a pool is used, in whole percents; of a pool of nothing all, once anything is."""
    return used * 100 // pool if pool else 100 * (used > 0)


def terms(organisation: Organisation) -> tuple[object, ...]:
    """What decides how a pool is counted: where one of these changes, it is counted anew (S1, S11)."""
    return organisation.licence, organisation.pool, organisation.licence_starts, organisation.licence_ends
