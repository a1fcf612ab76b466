"""What a preview says is what comes of it, if nothing happens in between: R7, R8, R9, R10, R11, R12, R14, S4, S7."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import Invalid, NotFound
from tasks.accounts import Caller, Door, Role
from tasks.acts.acting import perform
from tasks.acts.course_previews import CourseChange, CoursePreview, EnrolmentMethod, EnrolmentTab, preview
from tests.isolation.conftest import Rollcall, rollcall
from tests.model.present import histories
from tests.world import World

__all__ = ["rollcall"]  # a fixture

ADMIN = Caller("ann", Door.API, Role.ADMIN, frozenset({"acme"}))

LEARNERS = ["A", "B", "C", "D"]
SEGMENTS = ["s", "t"]


def previewed(world: World, change: CourseChange) -> CoursePreview:
    return perform(world.runtime, replace(ADMIN, organisations=None), preview, change, world.organisation)


#: What may have happened before, in any order: what is said, and to what.
some = st.sets(st.sampled_from(LEARNERS), min_size=1).map(sorted)
facts = st.lists(
    st.one_of(
        st.tuples(st.just("status"), st.sampled_from(LEARNERS), st.sampled_from(["active", "inactive"])),
        st.tuples(st.just("joined"), st.sampled_from(SEGMENTS), some),
        st.tuples(st.just("left"), st.sampled_from(SEGMENTS), some),
        st.tuples(st.just("withdrawn"), some, st.sampled_from([None, 1, 2])),
        st.tuples(st.just("requested"), some, st.sampled_from([1, 2])),
        st.tuples(st.just("started"), st.sampled_from(LEARNERS), st.sampled_from([1, 2])),
        st.tuples(st.just("deleted"), st.sampled_from(LEARNERS), st.none()),
        st.tuples(st.just("method"), st.sampled_from(["manual", "everyone", "segments"]), st.booleans()),
        st.tuples(st.just("mailed"), st.none(), st.none()),
    ),
    max_size=8,
)
rules = st.builds(
    CourseChange,
    course=st.just("safety"),
    method=st.sampled_from(EnrolmentMethod),
    segments=st.lists(st.sampled_from(SEGMENTS), unique=True),
)
requests = st.builds(
    CourseChange,
    course=st.just("safety"),
    learners=st.lists(st.sampled_from([*LEARNERS, "ghost"]), unique=True),
    tab=st.sampled_from(EnrolmentTab),
    cycle=st.sampled_from([1, 2]),
    notify=st.booleans(),
) | st.builds(CourseChange, course=st.just("safety"), segment=st.sampled_from(SEGMENTS))


def happens(world: World, fact: tuple[str, Any, Any]) -> None:
    """One of the facts is told."""
    match fact:
        case "status", who, status:
            world.becomes(status, who)
        case "joined" | "left", segment, who:
            world.say(f"segment.{fact[0]}", segment=segment, learners=who)
        case "withdrawn", who, cycle:
            world.withdraws("safety", *who, **({} if cycle is None else {"cycle": cycle}))
        case "requested", who, cycle:
            world.asks_to_enrol("safety", *who, cycle=cycle)
        case "started", who, cycle:
            world.starts(who, "safety", cycle=cycle)
        case "deleted", who, _:
            world.say("learner.deleted", learner=who)
        case "method", method, on_hold:
            world.has_course("safety", method, segments=SEGMENTS[:1], on_hold=on_hold, cost=3)
        case "mailed", _, _:
            world.settle()


def ours(world: World, sql: str) -> Any:
    return world.rows(
        f"SELECT {sql.format(organisation='(SELECT organisation FROM organisations WHERE id = :id)')}",
        id=world.organisation,
    )


def enrolments(world: World, cycle: int) -> dict[int, bool]:
    """Who is enrolled now, and whether silently."""
    return dict(
        ours(
            world,
            f"learner, silent FROM enrolments WHERE organisation = {{organisation}} AND withdrawn_at IS NULL"
            f" AND cycle = {cycle}",
        )
    )


def ledger(world: World) -> Counter[str]:
    """The states and reasons of all notices of enrolments."""
    return Counter(
        reason
        for (reason,) in ours(
            world,
            "coalesce(d.reason, 'send') FROM deliveries d JOIN mailings m USING (organisation, mailing)"
            " WHERE d.organisation = {organisation} AND m.kind = 'enrolment'",
        )
    )


@given(st.permutations(["A", "B", "C", "D"]), facts, rules | requests)
@histories(12)
def test_r14_a_preview_agrees_with_what_comes_of_it(
    world: World, order: list[str], before: list[tuple[str, Any, Any]], change: CourseChange
) -> None:
    known = int(world.ask("SELECT count(*) FROM organisations"))
    world.organisation = f"o{known}"
    world.has_organisation(licence="seats" if known % 2 else "credits")
    world.has_learners(*order[:3], email=f"someone-{known}@acme.example")
    world.has_learners(order[3], email=None)
    for segment in SEGMENTS:
        world.has_segment(segment)
    world.has_course("safety", cost=3)
    for fact in before:
        happens(world, fact)
    world.settle()
    was, told, requests_before = enrolments(world, change.cycle), ledger(world), len(world.out("enrolment.finished"))
    charged = {entry.id for entry in world.ledger()}

    said = previewed(world, change)
    world.sent.clear()  # or a failure would print them all
    assert (enrolments(world, change.cycle), ledger(world)) == (was, told), "a preview changes nothing"
    does(world, change)
    world.settle()

    now = enrolments(world, change.cycle)
    new = [silent for learner, silent in now.items() if learner not in was]
    assert (said.enrolled, said.silent) == (new.count(False), new.count(True))
    assert said.withdrawn == len(was.keys() - now.keys())
    assert sum(said.not_told.values()) + said.notices == said.enrolled
    opened = ledger(world) - told
    gate = {reason: n for reason, n in said.not_told.items() if reason in {"no address", "suppressed"}}
    assert opened == Counter({"send": said.notices} | gate) - Counter()
    if change.method is None:
        (result,) = world.out("enrolment.finished")[requests_before:]
        assert [result[name] for name in ("selected", "enrolled", "silent", "already", "not_eligible")] == [
            said.selected,
            said.enrolled,
            said.silent,
            said.already,
            said.not_eligible,
        ]
    world.becomes("active", *(who for who in LEARNERS if stands(world, who)))
    for who in [who for who in LEARNERS if stands(world, who)]:
        world.starts(who, "safety", cycle=change.cycle)
    entries = [entry for entry in world.ledger() if entry.id not in charged and entry.learner in named(world, now, was)]
    assert (said.starts.learners, said.starts.amount) == (len(entries), sum(entry.amount for entry in entries))


def does(world: World, change: CourseChange) -> None:
    """The change itself, as the platform asks for it."""
    asked: dict[str, Any] = {"course": change.course}
    if change.method:
        (course,) = ours(world, "title, cost, on_hold FROM courses WHERE organisation = {organisation}")
        said = dict(zip(("title", "cost", "on_hold"), course, strict=True))
        world.say("course.saved", **asked, **said, method=change.method, segments=change.segments or [])
        return
    whom = {"segment": change.segment} if change.segment else {"learners": change.learners, "tab": change.tab}
    world.say("enrolment.requested", request="r", **asked, **whom, cycle=change.cycle, notify=change.notify)


def stands(world: World, who: str) -> bool:
    """Whether this learner is not deleted."""
    found = ours(world, f"standing FROM learners WHERE organisation = {{organisation}} AND id = '{who}'")
    return [standing for (standing,) in found] in (["active"], ["inactive"])


def named(world: World, now: dict[int, bool], was: dict[int, bool]) -> set[str]:
    """The ids of those who are enrolled only now."""
    found = dict(ours(world, "learner, id FROM learners WHERE organisation = {organisation}"))
    return {found[learner] for learner in now.keys() - was.keys()}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (CourseChange("safety"), Invalid),
        (CourseChange("safety", EnrolmentMethod.EVERYONE, segment="s"), Invalid),
        (CourseChange("safety", learners=["A"]), Invalid),
        (CourseChange("nowhere", EnrolmentMethod.EVERYONE), NotFound),
        (CourseChange("safety", segment="nowhere"), NotFound),
        (CourseChange("safety", EnrolmentMethod.SEGMENTS, ["nowhere"]), NotFound),
    ],
)
def test_a_preview_of_what_cannot_be_done_is_refused(
    world: World, change: CourseChange, problem: type[Exception]
) -> None:
    world.has_course("safety")

    with pytest.raises(problem):
        previewed(world, change)


def test_r25_a_preview_reckons_with_what_was_charged_when_the_licence_period_moves(world: World) -> None:
    world.has_organisation(licence="seats")
    world.has_learners("A")
    world.has_course("first")
    world.has_course("safety")
    world.asks_to_enrol("first", "A")
    world.starts("A", "first")
    world.has_organisation(licence="seats", licence_starts="2026-01-05")

    said = previewed(world, CourseChange("safety", EnrolmentMethod.EVERYONE))
    world.has_course("safety", "everyone")
    world.starts("A", "safety")

    assert (said.enrolled, said.starts.learners, said.starts.amount) == (1, 0, 0)
    assert [entry.course for entry in world.ledger()] == ["first"]


def test_r10_s04_a_withdrawal_by_name_is_reckoned_with_against_rules_and_not_against_requests_after_it(
    world: World,
) -> None:
    world.has_learners("A", "B")
    world.has_course("safety")
    world.asks_to_enrol("safety", "B")
    world.settle()
    world.withdraws("safety", "A", "B")

    by_rule = previewed(world, CourseChange("safety", EnrolmentMethod.EVERYONE))
    by_request = previewed(world, CourseChange("safety", learners=["A", "B"], tab=EnrolmentTab.ALL))
    world.has_course("safety", "everyone")
    world.settle()
    assert (by_rule.enrolled, len(enrolments(world, 1))) == (0, 0)

    world.asks_to_enrol("safety", "A", "B")
    world.settle()
    assert (by_request.enrolled, len(enrolments(world, 1))) == (2, 2)


def test_r08_a_person_reads_what_would_come_of_it(world: World, rollcall: Rollcall) -> None:
    world.has_learners("A", "B", "C", "D")
    world.has_learners("E", email=None)
    world.becomes("inactive", "B")
    world.has_course("safety", cost=3)
    world.asks_to_enrol("safety", "D")

    rule = rollcall("courses", "preview", "safety", "-o", "acme", "--method", "everyone")
    request = rollcall(
        *("courses", "preview", "safety", "-o", "acme", "--learner", "A", "--learner", "B", "--learner", "X"),
        *("--no-notify",),
    )

    assert rule.stdout.splitlines() == [
        "3 would be enrolled, and 1 silently, being inactive.",
        "1 is enrolled already.",
        "2 notices would be sent.",
        "1 would not be told: no address.",
        "If all of them start it, 12 credits would be used, for 4 learners. Enrolling uses none.",
    ]
    assert request.stdout.splitlines() == [
        "3 learners selected.",
        "1 would be enrolled, and 0 silently, being inactive.",
        "1 not eligible: inactive.",
        "1 not eligible: unknown.",
        "0 notices would be sent.",
        "1 would not be told: no notice asked for.",
        "If all of them start it, 3 credits would be used, for 1 learner. Enrolling uses none.",
    ]
    assert world.access("A") == set()
