"""Which starts count, and what they cost: R25, R27, S1, S11, S12, S14, S15."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.events import Awaited, Deferred, Reason
from tasks.organisations import Organisation
from tasks.seats.rules import (
    Crossing,
    Facts,
    Occurrence,
    Review,
    Unit,
    crossings,
    is_simple,
    judge_completion,
    judge_start,
    percent_used,
    period_of,
    price,
    reached,
    reviews,
    terms,
    unit_of,
)

THEN = datetime(2026, 3, 1, 9, tzinfo=UTC)
LEAD, TICK = timedelta(hours=1), timedelta(seconds=1)
PLACE = Occurrence(7, "A", "safety", 2, THEN)
STARTS, ENDS = THEN - timedelta(days=1), THEN + timedelta(days=1)


def facts(**other: Any) -> Facts:
    """An active learner, enrolled before the start."""
    found: dict[str, Any] = {
        "n": 1, "learner": 5, "course": 3, "cost": 4, "on_hold": False, "active_then": True, "ended": False,
        "enrolled_at": THEN - TICK, "started_at": None, "withdrawn_at": None, "withdrawn_by": None,
        "stood_before": False, "charged": False,
    }  # fmt: skip
    return Facts(**found | other)


def organisation(**other: Any) -> Organisation:
    found: dict[str, Any] = {
        "organisation": 7, "id": "acme", "name": "Acme", "licence": "credits", "pool": 10, "licence_starts": STARTS,
        "licence_ends": ENDS, "admin_emails": [], "reactivation_digest": False, "logo": None, "colour": None,
        "learners": 0,
    }  # fmt: skip
    return Organisation(**found | other)


WAITS_FOR_LEARNER = Deferred(Reason.UNKNOWN_LEARNER, "the learner A is not known", Awaited.saved_learner(7, "A"))
WAITS_FOR_COURSE = Deferred(Reason.UNKNOWN_COURSE, "the course safety is not known", Awaited.saved_course(7, "safety"))
NOT_ENROLLED = Deferred(
    Reason.NOT_ENROLLED, "A was not enrolled in cycle 2 of safety at that time", Awaited.enrolment(7, 3, 2, 5)
)
INACTIVE = Deferred(Reason.LEARNER_INACTIVE, "A was inactive at that time", Awaited.status(7, 5), at_once=True)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({}, None),
        ({"learner": None, "course": None, "active_then": False}, WAITS_FOR_LEARNER),
        ({"active_then": False}, INACTIVE),
        ({"active_then": False, "course": None, "enrolled_at": None}, INACTIVE),
        ({"course": None, "enrolled_at": None}, WAITS_FOR_COURSE),
        ({"enrolled_at": None}, NOT_ENROLLED),
        ({"enrolled_at": THEN + LEAD}, None),
        ({"enrolled_at": THEN + LEAD + TICK}, NOT_ENROLLED),
        ({"withdrawn_at": THEN}, NOT_ENROLLED),
        ({"withdrawn_at": THEN - TICK}, NOT_ENROLLED),
        ({"withdrawn_at": THEN + TICK}, None),
        ({"enrolled_at": THEN + LEAD + TICK, "stood_before": True}, None),
        ({"withdrawn_at": THEN, "stood_before": True}, None),
    ],
)
def test_r27_s12_a_start_counts_if_the_learner_was_active_and_enrolled(
    known: dict[str, Any], why: Deferred | None
) -> None:
    assert judge_start(facts(**known), PLACE, LEAD) == why


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"active_then": False, "enrolled_at": None}, None),
        ({"learner": None}, WAITS_FOR_LEARNER),
        ({"course": None}, WAITS_FOR_COURSE),
    ],
)
def test_s12_a_released_start_counts_as_soon_as_what_it_names_is_known(
    known: dict[str, Any], why: Deferred | None
) -> None:
    assert judge_start(facts(**known), PLACE, LEAD, released=True) == why


@pytest.mark.parametrize(
    ("known", "simple"),
    [
        ({}, True),
        ({"enrolled_at": THEN}, True),
        ({"enrolled_at": THEN + TICK}, False),
        ({"enrolled_at": None}, False),
        ({"withdrawn_by": "rule"}, False),
        ({"stood_before": True}, False),
        ({"ended": True}, False),
    ],
)
def test_s05_s12_s15_what_a_start_may_change_besides_is_looked_at(known: dict[str, Any], simple: bool) -> None:
    assert is_simple(facts(**known), PLACE) is simple


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({}, None),
        ({"active_then": False, "withdrawn_at": STARTS, "enrolled_at": ENDS}, None),
        ({"learner": None, "course": None}, WAITS_FOR_LEARNER),
        ({"course": None, "enrolled_at": None}, WAITS_FOR_COURSE),
        ({"enrolled_at": None}, NOT_ENROLLED),
        ({"enrolled_at": THEN + TICK}, None),
        ({"enrolled_at": THEN, "beaten": True}, None),
        ({"enrolled_at": THEN + TICK, "beaten": True}, NOT_ENROLLED),  # S15: that is of the next life
    ],
)
def test_s14_a_completion_waits_for_its_enrolment(known: dict[str, Any], why: Deferred | None) -> None:
    assert judge_completion(facts(**known), PLACE) == why


@pytest.mark.parametrize(
    ("licence", "cost", "unit", "paid"),
    [
        ("credits", 4, Unit.CREDIT, 4),
        ("credits", 0, Unit.CREDIT, 0),
        ("credits", None, Unit.CREDIT, 0),
        ("seats", 4, Unit.SEAT, 1),
        ("seats", 0, Unit.SEAT, 1),
    ],
)
def test_r25_a_start_costs_the_courses_credits_or_one_seat(licence: str, cost: int, unit: Unit, paid: int) -> None:
    assert unit_of(organisation(licence=licence)) is unit
    assert price(organisation(licence=licence), cost) == paid


def test_r25_a_licence_without_a_beginning_has_one_period() -> None:
    assert period_of(organisation()) == STARTS
    assert period_of(organisation(licence_starts=None)) == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("bounds", "at", "outside"),
    [
        ((STARTS, ENDS), STARTS, False),
        ((STARTS, ENDS), STARTS - TICK, True),
        ((STARTS, ENDS), ENDS - TICK, False),
        ((STARTS, ENDS), ENDS, True),
        ((None, ENDS), STARTS - TICK, False),
        ((STARTS, None), ENDS, False),
        ((None, None), THEN, False),
    ],
)
@pytest.mark.parametrize("on_hold", [False, True])
def test_r27_what_counts_in_doubt_is_flagged(
    bounds: tuple[datetime | None, datetime | None], at: datetime, outside: bool, on_hold: bool
) -> None:
    flags = reviews(organisation(licence_starts=bounds[0], licence_ends=bounds[1]), facts(on_hold=on_hold), at)

    assert flags == [Review.ON_HOLD] * on_hold + [Review.OUTSIDE_PERIOD] * outside


@pytest.mark.parametrize(
    ("pool", "used", "percents", "part"),
    [
        (10, 0, (), 0),
        (10, 1, (), 10),
        (10, 7, (), 70),
        (10, 8, (80,), 80),
        (10, 9, (80,), 90),
        (10, 10, (80, 100), 100),
        (10, 25, (80, 100), 250),
        (3, 2, (), 66),
        (1000, 795, (), 79),
        (1000, 999, (80,), 99),
        (1, 1, (80, 100), 100),
        (0, 0, (), 0),
        (0, 1, (100,), 100),
        (0, 3, (100,), 100),
    ],
)
def test_r28_a_pool_is_warned_of_at_80_and_at_100_percent(
    pool: int, used: int, percents: tuple[int, ...], part: int
) -> None:
    assert reached(pool, used) == percents
    assert percent_used(pool, used) == part


def test_r28_a_pool_without_a_limit_is_never_used_up() -> None:
    assert reached(None, 1000) == ()
    assert crossings(None, 5, [(1000, ("p", "e"))]) == []


def test_r28_each_percent_is_crossed_once_by_the_start_that_did_it() -> None:
    charged = [(1, ("p", "a")), (1, ("p", "b")), (1, ("p", "c")), (5, ("p", "d")), (1, ("p", "e"))]

    assert crossings(10, 6, charged) == [Crossing(80, 8, ("p", "b")), Crossing(100, 14, ("p", "d"))]
    assert crossings(10, 8, charged[:1]) == [], "that was crossed before"


@pytest.mark.parametrize(
    "other", [{"licence": "seats"}, {"pool": 11}, {"licence_starts": None}, {"licence_ends": None}]
)
def test_s11_what_decides_how_a_pool_is_counted(other: dict[str, Any]) -> None:
    assert terms(organisation()) == terms(organisation(name="Other"))
    assert terms(organisation()) != terms(organisation(**other))
