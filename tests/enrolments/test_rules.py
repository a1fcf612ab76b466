"""When an enrolment stood, from all that is known: R6, R10, R27, S1, S4, S5, S12, S15. And who a request leaves out."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.enrolments.rules import NotEligible
from tasks.enrolments.timeline import (
    BY_DELETION,
    BY_NAME,
    BY_RULE,
    EVER,
    NEVER,
    Causes,
    CountedStart,
    EnrolmentPeriod,
    Person,
    Rule,
    StatusVersion,
    Timeline,
    timeline,
)

DAWN = datetime(2026, 3, 1, tzinfo=UTC)
LEAD, SECOND = timedelta(hours=1), timedelta(seconds=1)
SEGMENT, OTHER = 4, 5


def at(hours: float) -> datetime:
    return DAWN + hours * timedelta(hours=1)


def person(*statuses: tuple[float, bool], described: Sequence[float] = (0,), deletions: Sequence[float] = ()) -> Person:
    return Person(
        [at(h) for h in deletions],
        [at(h) for h in described],
        [StatusVersion(0, at(h), active) for h, active in statuses],
    )


def everyone(since: float) -> Rule:
    return Rule(at(since), "everyone", ())


def manual(since: float) -> Rule:
    return Rule(at(since), "manual", ())


def linked(since: float, *segments: int) -> Rule:
    return Rule(at(since), "segments", segments)


def told(who: Person, *, deleted: bool = False, **causes: Any) -> Timeline:
    said: dict[str, Any] = {
        "rules": causes.get("rules", ()),
        "moves": {
            segment: [(at(h), member) for h, member in moves] for segment, moves in causes.get("moves", {}).items()
        },
        "withdrawals": [at(h) for h in causes.get("withdrawals", ())],
        "requests": [at(h) for h in causes.get("requests", ())],
        "starts": [CountedStart(at(h), False) for h in causes.get("starts", ())]
        + [CountedStart(at(h), True) for h in causes.get("released", ())],
    }
    return timeline(who, Causes(**said), LEAD, deleted=deleted)


def stood(found: Timeline) -> list[tuple[float, float | None, str | None]]:
    """Since when, until when and by what each period ended, in hours; the last one at the end."""
    return [
        ((one.begin - DAWN) / timedelta(hours=1), None if one.end == EVER else (one.end - DAWN) / LEAD, one.by)
        for one in [*found.past, *([found.last] if found.last else [])]
    ]


@pytest.mark.parametrize(
    ("causes", "periods"),
    [
        ({}, []),
        ({"rules": [everyone(2)]}, [(2, None, None)]),
        ({"rules": [everyone(-5)]}, [(0, None, None)]),  # since they are known
        ({"rules": [manual(1)]}, []),
        ({"rules": [everyone(1), manual(3)]}, [(1, 3, BY_RULE)]),
        ({"rules": [manual(3), everyone(1)]}, [(1, 3, BY_RULE)]),  # in whatever order it is known
        ({"rules": [everyone(1), manual(3), everyone(5)]}, [(1, 3, BY_RULE), (5, None, None)]),
        ({"requests": [2]}, [(2, None, None)]),
        ({"requests": [2, 4]}, [(2, None, None)]),  # S6
        ({"rules": [everyone(1), manual(3)], "requests": [2]}, [(1, None, None)]),  # one source is left
        ({"rules": [everyone(1)], "withdrawals": [3]}, [(1, 3, BY_NAME)]),
        ({"rules": [everyone(3)], "withdrawals": [1]}, []),  # S4: it stands against rules
        ({"rules": [everyone(1), manual(3)], "withdrawals": [5]}, [(1, 3, BY_RULE)]),
        ({"requests": [2], "withdrawals": [4]}, [(2, 4, BY_NAME)]),
        ({"requests": [2], "withdrawals": [2]}, []),
        ({"requests": [2, 6], "withdrawals": [4]}, [(2, 4, BY_NAME), (6, None, None)]),
        ({"requests": [6, 2], "withdrawals": [8, 4]}, [(2, 4, BY_NAME), (6, 8, BY_NAME)]),
        ({"rules": [linked(1, SEGMENT)], "moves": {SEGMENT: [(2, True)]}}, [(2, None, None)]),
        ({"rules": [linked(3, SEGMENT)], "moves": {SEGMENT: [(2, True)]}}, [(3, None, None)]),
        ({"rules": [linked(1, OTHER)], "moves": {SEGMENT: [(2, True)]}}, []),
        ({"rules": [linked(1, SEGMENT)], "moves": {SEGMENT: [(2, True), (4, False)]}}, [(2, 4, BY_RULE)]),
        ({"rules": [linked(1, SEGMENT)], "moves": {SEGMENT: [(4, False), (2, True)]}}, [(2, 4, BY_RULE)]),
        ({"rules": [linked(1, SEGMENT)], "moves": {SEGMENT: [(2, True), (2, False)]}}, []),  # leaving holds
        (
            {"rules": [linked(1, SEGMENT, OTHER)], "moves": {SEGMENT: [(2, True), (4, False)], OTHER: [(3, True)]}},
            [(2, None, None)],
        ),
        ({"rules": [Rule(at(1), "manual", (SEGMENT,))], "moves": {SEGMENT: [(2, True)]}}, []),  # R10: links count not
        ({"rules": [linked(1, SEGMENT), manual(5)], "moves": {SEGMENT: [(2, True)]}}, [(2, 5, BY_RULE)]),
        ({"rules": [everyone(1), manual(3)], "starts": [2]}, [(1, None, None)]),  # R10: no rule ends what was started
        ({"rules": [everyone(1), manual(3)], "starts": [4]}, [(1, 3, BY_RULE)]),
        ({"rules": [everyone(1), manual(3)], "starts": [3]}, [(1, 3, BY_RULE)]),
        ({"rules": [everyone(1), manual(3)], "starts": [0]}, [(1, None, None)]),  # S12: an hour before
        ({"rules": [everyone(1), manual(3)], "starts": [-0.5]}, [(1, 3, BY_RULE)]),
        ({"rules": [everyone(1)], "withdrawals": [3], "starts": [2]}, [(1, 3, BY_NAME)]),  # S4
    ],
)
def test_r10_s04_s05_s12_when_an_enrolment_stood(
    causes: dict[str, Any], periods: list[tuple[float, float | None, str | None]]
) -> None:
    assert stood(told(person(), **causes)) == periods


@pytest.mark.parametrize("known", [0, 2])
def test_r10_a_rule_enrols_who_is_known_and_a_request_whom_it_selected(known: float) -> None:
    assert stood(told(person(described=[5, known]), rules=[everyone(1)])) == [(max(known, 1), None, None)]
    assert stood(told(person(described=[]), rules=[everyone(1)])) == []
    assert stood(told(person(described=[]), requests=[1])) == [(1, None, None)]


def test_r10_who_was_inactive_did_not_start_it() -> None:
    inactive = person((1.5, False), (2.5, True))
    rules = [everyone(1), manual(3)]

    assert stood(told(inactive, rules=rules, starts=[2])) == [(1, 3, BY_RULE)]
    assert stood(told(inactive, rules=rules, released=[2])) == [(1, None, None)]


@pytest.mark.parametrize(
    ("start", "counts"), [(1, True), (1 - 1 / 3600, False), (2, True), (4 - 1 / 3600, True), (4, False), (5, True)]
)
def test_r27_s12_a_start_counts_in_a_period_that_ended_by_name_or_up_to_an_hour_before_one(
    start: float, counts: bool
) -> None:
    found = told(person(), requests=[2, 6], withdrawals=[4], starts=[start])

    assert found.contradicted == [] if counts else [at(start)]
    assert found.started == (at(start) if counts else None)


def test_r27_a_start_of_who_was_inactive_does_not_count_but_if_it_was_released() -> None:
    who = person((2, False), (4, True))

    found = told(who, rules=[everyone(1)], starts=[3, 5], released=[2.5])

    assert found.contradicted == [at(3)]
    assert found.started == at(2.5), "the first of those that count"


def test_s12_a_released_start_counts_without_an_enrolment() -> None:
    found = told(person(), released=[3])

    assert (found.started, found.contradicted, found.last) == (at(3), [], None)


@pytest.mark.parametrize(
    ("statuses", "causes", "activated"),
    [
        ([], {}, 1),
        ([(0, False)], {}, None),
        ([(0, False), (3, True)], {}, 3),
        ([(0, False), (3, True)], {"withdrawals": [2]}, None),
        ([(0, False), (3, True)], {"withdrawals": [3]}, None),
        ([(2, False)], {}, 1),
        ([(1, False), (2, True)], {}, 2),
        ([(0, False), (2, False), (3, True), (4, False), (5, True)], {}, 3),
        ([(0, False), (5, True)], {"released": [4]}, 4),
        ([(0, False), (5, True)], {"released": [6]}, 5),
        ([(0, False)], {"released": [4]}, 4),
        ([], {"released": [0.5]}, 1),
    ],
)
def test_r04_since_when_it_gave_access(
    statuses: list[tuple[float, bool]], causes: dict[str, Any], activated: float | None
) -> None:
    found = told(person(*statuses), rules=[everyone(1)], **causes)

    assert found.activated == (None if activated is None else at(activated))


def test_r04_what_never_stood_gave_no_access() -> None:
    assert told(person(), released=[4]).activated is None


def test_r10_requests_hold_it_since_the_last_withdrawal() -> None:
    assert told(person(), requests=[2]).asked_since == NEVER
    assert told(person(), requests=[2, 6], withdrawals=[3, 5]).asked_since == at(5)
    assert told(person(deletions=[4]), requests=[2, 6], withdrawals=[3]).asked_since == at(4)


def test_s15_a_life_ends_everything_and_the_next_begins_with_nothing() -> None:
    who = person(described=[0, 6], deletions=[4])

    found = told(who, rules=[everyone(1)], requests=[2], starts=[3])

    assert stood(found) == [(1, 4, BY_DELETION), (6, None, None)]
    assert (found.began, found.started, found.contradicted) == (at(4), None, [])


@pytest.mark.parametrize("moment", [4, 4 - 1 / 3600])
def test_s15_what_happened_at_a_deletion_is_of_neither_life(moment: float) -> None:
    before = moment < 4
    who = person(described=[0, 4, 8], deletions=[4])

    assert stood(told(who, requests=[moment])) == ([(moment, 4, BY_DELETION)] if before else [])
    assert stood(told(person(described=[4.5], deletions=[4]), requests=[5])) == [(5, None, None)]
    assert stood(told(person(described=[5], deletions=[4]), requests=[5])) == [(5, None, None)]
    for described in ([], [6]):  # whoever is deleted is selected by nothing until they are made anew
        assert stood(told(person(described=described, deletions=[4]), requests=[5])) == []
    gone = told(who, rules=[everyone(1)], withdrawals=[moment])
    assert stood(gone) == [(1, moment, BY_NAME if before else BY_DELETION), (8, None, None)]
    assert gone.asked_since == at(4)


def test_s15_what_is_said_at_a_deletion_neither_makes_nor_ends_what_stood_before_it() -> None:
    assert stood(told(person(described=[4, 8], deletions=[4]), rules=[everyone(1)])) == [(8, None, None)]
    who = person(deletions=[4])
    assert stood(told(who, rules=[everyone(1), manual(4)])) == [(1, 4, BY_DELETION)]
    assert told(who, deleted=True, requests=[1], withdrawals=[4]).asked_since == NEVER
    assert told(who, released=[4]).started == at(4)
    again = told(person(described=[0, 4.5], deletions=[4]), rules=[everyone(1), manual(6)], starts=[4])
    assert stood(again) == [(1, 4, BY_DELETION), (4.5, None, None)], "and a start is of the life that begins"
    assert told(who, deleted=True, released=[4]).started is None


def test_s15_moves_between_segments_end_with_a_life() -> None:
    who = person(described=[0, 6], deletions=[4])
    rules = [linked(-1, SEGMENT)]

    assert stood(told(who, rules=rules, moves={SEGMENT: [(2, True)]})) == [(2, 4, BY_DELETION)]
    assert stood(told(who, rules=rules, moves={SEGMENT: [(4, True)]})) == []
    assert stood(told(who, rules=rules, moves={SEGMENT: [(3, True), (7, True)]})) == [
        (3, 4, BY_DELETION),
        (7, None, None),
    ]


def test_s15_statuses_are_of_the_life_they_lie_in() -> None:
    who = person((1, False), (4, False), (7, False), described=[0, 6], deletions=[4])

    assert [who.active_at(at(h)) for h in (0.5, 1, 4, 5, 6.9, 7)] == [True, False, False, True, True, False]
    assert person((3, False), deletions=[2, 4]).active_at(at(5)), "that was in a life before"


def test_s15_a_start_is_judged_in_its_life() -> None:
    who = person(described=[0, 6], deletions=[4])

    found = told(who, rules=[everyone(1)], starts=[3.5, 4, 5, 6.5])

    assert found.contradicted == [at(4)], "which was more than an hour before anything of its life"
    assert found.started == at(5)


def test_s15_of_who_is_deleted_the_life_that_ended_counts() -> None:
    who = person((1, False), (2, True), described=[0], deletions=[4])

    found = told(who, deleted=True, rules=[everyone(1)], withdrawals=[], starts=[3])

    assert (found.began, found.last, found.past) == (NEVER, EnrolmentPeriod(at(1)), [])
    assert (found.started, found.activated) == (at(3), at(2))
    ended = told(who, deleted=True, requests=[1, 3], withdrawals=[2])
    assert (ended.past, ended.last) == ([EnrolmentPeriod(at(1), at(2), BY_NAME)], EnrolmentPeriod(at(3)))
    by_name = told(who, deleted=True, requests=[1], withdrawals=[2])
    assert by_name.last == EnrolmentPeriod(at(1), at(2), BY_NAME)
    assert by_name.asked_since == at(2)


def test_s15_who_is_said_to_be_deleted_without_a_deletion_has_one_life() -> None:
    found = told(person(), deleted=True, rules=[everyone(1)])

    assert (found.began, found.last) == (NEVER, EnrolmentPeriod(at(1)))


def test_s01_of_two_statuses_the_greater_version_holds_then_the_later_then_active() -> None:
    who = Person([], [], [StatusVersion(2, at(1), False), StatusVersion(1, at(2), True), StatusVersion(2, at(3), True)])

    assert [who.active_at(at(h)) for h in (0, 1, 2, 2.9, 3)] == [True, False, False, False, True]
    assert who.active_from(at(0), EVER) == at(0)
    assert who.active_from(at(1), EVER) == at(3)
    assert who.active_from(at(1), at(3)) is None


def test_s15_a_moment_lies_between_two_deletions() -> None:
    who = person(deletions=[2, 4])

    assert who.lives() == [(NEVER, at(2)), (at(2), at(4)), (at(4), EVER)]
    assert [who.life(at(h)) for h in (1, 2, 3, 4, 5)] == [
        (NEVER, at(2)),
        (at(2), at(4)),
        (at(2), at(4)),
        (at(4), EVER),
        (at(4), EVER),
    ]
    assert person(described=[1, 3, 2, 5], deletions=[2, 4]).known_since((at(2), at(4))) == at(3)


def test_r14_why_a_request_leaves_somebody_out() -> None:
    assert [reason.value for reason in NotEligible] == ["unknown", "inactive", "withdrawn"]
