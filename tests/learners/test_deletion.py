"""Deleting a learner: S15."""

import itertools
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tasks import learners
from tasks.events.quarantine import EventRef
from tasks.intake import discard, release
from tests.world import DAWN, World, id_of, shuffled

HOUR = timedelta(hours=1)


def test_s15_what_identifies_a_learner_goes_and_what_was_charged_stays(world: World) -> None:
    world.has_segment("nurses")
    world.has_learners("A", "B")
    world.say("segment.joined", segment="nurses", learners=["A"])
    world.mail.on_recipient = lambda address, _times: f"550 5.1.1 {address} is not here" if "a@" in address else None
    world.has_course("safety", "everyone")
    world.settle()
    world.starts("A", "safety")

    world.say("learner.deleted", learner="A")
    world.settle()

    assert [(entry.learner, entry.amount) for entry in world.ledger()] == [(None, 1)]
    assert world.out("access.suspended") == [{"learner": "A"}]
    assert world.ask("SELECT count(*) FROM memberships WHERE member") == 0
    assert world.ask("SELECT bool_or(granted) FROM access JOIN learners USING (learner) WHERE id = 'A'") is False
    for table in ("learners", "deliveries", "attempts", "suppressions", "inbox"):
        kept = world.list(f"SELECT CAST(t AS text) FROM {table} t")
        assert [row for row in kept if "a@acme" in row or "FirstA" in row or "user-A" in row] == [], table


@pytest.mark.parametrize("mentioned", [["A"], []])
def test_s15_a_deletion_waits_for_a_learner_whom_nobody_saved(world: World, mentioned: list[str]) -> None:
    world.has_course("safety", at=DAWN)
    world.withdraws("safety", "B", *mentioned, at=DAWN)

    world.say("learner.deleted", at=DAWN + 5 * HOUR, learner="A")
    assert [held.state for held in world.quarantine().values()] == ["waiting"]
    world.has_learners("A", version=1, at=DAWN + 3 * HOUR)

    assert world.quarantine() == {}
    assert world.ask("SELECT standing FROM learners WHERE id = 'A'") == "deleted"


def test_s02_s15_a_deletion_beside_that_of_another_leaves_a_status_listed_as_waiting(world: World) -> None:
    world.has_learners("B", at=DAWN)
    status = world.event("learner.status_changed", {"learner": "A", "status": "inactive"}, at=DAWN + 5 * HOUR)
    world.send(status)

    world.send(*(world.event("learner.deleted", {"learner": id_}, at=DAWN + 3 * HOUR) for id_ in "AB"))

    held = world.quarantine()
    assert {one.reason for one in held.values()} == {"unknown learner"}
    assert len(held) == 2, "the deletion of A, and the status that they will have"


def test_s15_whoever_is_made_anew_has_no_password_that_is_void(world: World) -> None:
    world.has_learners("A", email=None)
    world.say("learner.deleted", learner="A")

    world.has_learners("A", email=None)
    world.settle()

    assert world.ask("SELECT standing FROM learners") == "active"
    assert world.out("learner.password_void") == []
    assert world.list("SELECT kind FROM mailings") == []
    assert world.ask("SELECT count(*) FROM fanouts") == 0


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_s15_a_deletion_ends_the_memberships_from_before_it_in_any_order(world: World, order: tuple[int, ...]) -> None:
    world.has_learners("A", version=1, at=DAWN)
    world.has_segment("old", at=DAWN)
    world.has_segment("new", at=DAWN)
    world.has_course("safety", "segments", segments=["old"], at=DAWN)
    events = [
        world.event("segment.joined", {"segment": "old", "learners": ["A"]}, at=DAWN + 3 * HOUR),
        world.event("learner.deleted", {"learner": "A"}, at=DAWN + 5 * HOUR),
        world.event("segment.joined", {"segment": "new", "learners": ["A"]}, at=DAWN + 7 * HOUR),
    ]

    for event in shuffled(events, order):
        world.send(event)
    world.has_learners("A", version=2, at=DAWN + 9 * HOUR)

    members = world.list(
        "SELECT s.id FROM memberships m JOIN segments s USING (organisation, segment) WHERE member ORDER BY 1"
    )
    assert members == ["new"]
    assert world.access("A") == set()


def test_r06_a_deletion_that_comes_after_a_newer_description_ends_what_was_before_it(world: World) -> None:
    world.has_learners("A", version=1, at=DAWN)
    world.has_segment("s", "A", at=DAWN)
    world.has_course("safety", "segments", segments=["s"], at=DAWN)
    world.has_learners("A", version=2, at=DAWN + 9 * HOUR)

    world.say("learner.deleted", at=DAWN + 5 * HOUR, learner="A")

    assert world.ask("SELECT standing FROM learners") == "active"
    assert world.access("A") == set()


def test_r10_who_is_saved_again_has_what_the_rules_say_now(world: World) -> None:
    world.has_segment("s")
    world.has_course("gone", "segments", segments=["s"])
    world.has_course("back", "everyone")
    world.has_course("new")
    world.has_learners("A", status="inactive", version=1)
    world.say("segment.joined", segment="s", learners=["A"])
    assert set(world.enrolments("A")) == {"gone", "back"}

    world.say("learner.deleted", learner="A")
    world.has_course("new", "everyone")
    world.has_learners("A", status="active", version=2)
    world.settle()

    assert world.access("A") == {"back", "new"}
    assert all(e.activated_at for course, e in world.enrolments("A").items() if course != "gone")
    assert world.out("access.activated") == [{"learner": "A", "courses": ["back", "new"]}]
    assert world.out("learner.password_void") == []
    assert len(world.mail.to("a@acme.example")) == 1


def test_r10_who_was_saved_again_before_their_deletion_comes_is_enrolled_beside_one_who_is_gone(world: World) -> None:
    world.has_learners("A", "B", version=1, at=DAWN)
    world.has_learners("B", version=2, at=DAWN + 9 * HOUR)
    world.has_course("safety", "everyone", at=DAWN + HOUR)
    fanouts = world.ask("SELECT count(*) FROM fanouts")

    world.send(*(world.event("learner.deleted", {"learner": id_}, at=DAWN + 5 * HOUR) for id_ in "AB"))

    assert world.access("B") == {"safety"}
    assert world.ask("SELECT count(*) FROM fanouts") == fanouts + 1, "of B alone"


def test_s03_a_late_request_by_segment_leaves_out_who_was_deleted_at_its_time(world: World) -> None:
    world.has_learners("A", version=1, at=DAWN)
    world.has_segment("s", "A", at=DAWN)
    world.has_course("safety", at=DAWN)
    world.say("learner.deleted", at=DAWN + 2 * HOUR, learner="A")
    world.has_learners("A", version=2, at=DAWN + 3 * HOUR)
    world.say("learner.deleted", at=DAWN + 5 * HOUR, learner="A")
    world.has_learners("A", version=3, at=DAWN + 6 * HOUR)

    world.say("enrolment.requested", at=DAWN + 4 * HOUR, request="r", course="safety", segment="s")
    world.settle()

    assert world.out("enrolment.finished")[0]["selected"] == 0
    assert world.enrolments("A") == {}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_s15_a_deletion_beats_what_happened_before_it_whatever_its_version(
    world: World, order: tuple[int, ...]
) -> None:
    world.has_learners("A", version=1, at=DAWN)
    events = [
        world.event("learner.saved", world.learner("A", version=9, status="inactive"), at=DAWN + 4 * HOUR),
        world.event("learner.status_changed", {"learner": "A", "status": "active", "version": 10}, at=DAWN + 4 * HOUR),
        world.event("learner.deleted", {"learner": "A"}, at=DAWN + 5 * HOUR),
    ]

    for event in shuffled(events, order):
        world.send(event)

    assert world.ask("SELECT standing FROM learners") == "deleted"
    for table in ("learners", "descriptions"):
        assert [row for row in world.list(f"SELECT CAST(t AS text) FROM {table} t") if "a@acme" in row] == [], table


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_s15_who_is_saved_after_the_deletion_is_made_anew_with_nothing_of_before(
    world: World, order: tuple[int, ...]
) -> None:
    world.has_learners("A", version=1, at=DAWN)
    world.has_course("old", at=DAWN)
    world.asks_to_enrol("old", "A", at=DAWN + HOUR)
    world.starts("A", "old", at=DAWN + 2 * HOUR)
    events = [
        world.event("learner.saved", world.learner("A", version=9, status="inactive"), at=DAWN + 4 * HOUR),
        world.event("learner.deleted", {"learner": "A"}, at=DAWN + 5 * HOUR),
        world.event("learner.saved", world.learner("A", version=2, email="new@acme.example"), at=DAWN + 6 * HOUR),
    ]

    for event in shuffled(events, order):
        world.send(event)

    assert world.rows("SELECT standing, email FROM learners") == [("active", "new@acme.example")]
    assert world.enrolments("A") == {}
    with world.about() as (connection, organisation):
        assert learners.history(connection, organisation.organisation, 1) == []
    assert [(entry.learner, entry.amount) for entry in world.ledger()] == [(None, 1)]


@pytest.mark.parametrize("deletion", [DAWN + HOUR, DAWN + 2 * HOUR])
@pytest.mark.parametrize("asked", [True, False])
def test_s13_s15_a_charge_after_the_deletion_is_flagged_whatever_was_asked_for_after_it(
    world: World, asked: bool, deletion: datetime
) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.settle()
    if asked:
        world.asks_to_enrol("safety", "A", at=DAWN + 2 * HOUR + HOUR / 2)
    world.starts("A", "safety", at=DAWN + 2 * HOUR)

    world.say("learner.deleted", learner="A", at=deletion)

    assert [(entry.amount, entry.review) for entry in world.ledger()] == [(1, "not enrolled")]


@pytest.mark.parametrize("reached", [True, False])
@pytest.mark.parametrize(("before", "after"), [("active", "inactive"), ("inactive", "active")])
def test_s15_who_is_made_anew_is_enrolled_by_the_rules_silently_or_not_as_they_are_now(
    world: World, before: str, after: str, reached: bool
) -> None:
    world.has_learners("A", "B", "C", "D", status=before, at=DAWN)
    if reached:
        world.has_course("safety", "everyone", at=DAWN + HOUR)
        world.settle()
    else:  # the deletion comes while the fan-out is under way
        few = replace(world.runtime, settings=world.runtime.settings.model_copy(update={"rollcall_chunk": 1}))
        replace(world, runtime=few).has_course("safety", "everyone", at=DAWN + HOUR)

    world.say("learner.deleted", learner="D", at=DAWN + 2 * HOUR)
    world.has_learners("D", status=after, at=DAWN + 3 * HOUR)
    world.settle()

    enrolment = world.enrolments("D")["safety"]
    assert (enrolment.silent, enrolment.enrolled_at) == (after == "inactive", DAWN + 3 * HOUR)
    assert enrolment.activated_at == (None if after == "inactive" else DAWN + 3 * HOUR)
    assert world.access("D") == (set() if after == "inactive" else {"safety"})


def test_s15_a_deletion_beats_what_happened_at_the_same_time_in_any_order(world: World) -> None:
    at = DAWN + 5 * HOUR
    for n, order in enumerate(itertools.permutations(range(3))):
        world.organisation = f"org-{n}"
        world.has_organisation()
        world.has_learners("A", version=1, at=DAWN)
        events = [
            world.event("learner.saved", world.learner("A", version=9), at=at),
            world.event("learner.status_changed", {"learner": "A", "status": "active", "version": 20}, at=at),
            world.event("learner.deleted", {"learner": "A"}, at=at),
        ]
        for event in shuffled(events, order):
            world.send(event)

    assert world.rows("SELECT DISTINCT standing, email FROM learners") == [("deleted", None)]


def test_s15_nothing_that_was_on_its_way_reaches_who_was_deleted(world: World) -> None:
    world.has_learners("A", "B")
    world.has_segment("s", "A", "B")
    world.has_course("safety", "everyone")
    world.announces("to-all")
    world.announces("to-some", audience={"segments": ["s"]})

    world.say("learner.deleted", learner="A")
    world.settle()

    assert world.mail.to("a@acme.example") == []
    assert len(world.mail.to("b@acme.example")) == 3
    for announcement in ("to-all", "to-some"):
        told = world.progress(announcement)
        assert (told.state, told.accepted, told.selected) == ("finished", 1, 1 + sum(told.skipped.values()))


def test_s15_a_start_from_before_the_deletion_that_nothing_enrolled_is_released_or_discarded(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", cost=3, at=DAWN)
    world.say("learner.deleted", at=DAWN + 5 * HOUR, learner="A")
    first, second = (world.starts("A", "safety", at=DAWN + hours * HOUR) for hours in (2, 3))
    assert [held.reason for held in world.quarantine().values()] == ["not enrolled"] * 2

    release(world.runtime.engine, world.runtime.settings, EventRef(id_of(first)), by="ann", why="it is right")
    discard(world.runtime.engine, EventRef(id_of(second)), by="ann", why="a test")

    assert [(entry.learner, entry.amount) for entry in world.ledger()] == [(None, 3)]
    assert world.quarantine() == {}


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1)])
def test_s15_a_start_between_two_deletions_is_of_who_was_deleted_in_any_order(
    world: World, order: tuple[int, ...]
) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    start = world.event("course.started", {"learner": "A", "course": "safety"}, at=DAWN + 3 * HOUR)
    deletions = [world.event("learner.deleted", {"learner": "A"}, at=DAWN + hours * HOUR) for hours in (2, 4)]

    for event in shuffled([deletions[0], start, deletions[1]], order):
        world.send(event)

    assert {id_: held.reason for id_, held in world.quarantine().items()} == {id_of(start): "not enrolled"}


def test_r27_a_start_that_waits_is_taken_once_its_learner_is_back_and_enrolled(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", at=DAWN)
    start = world.starts("A", "safety", at=DAWN + 5 * HOUR)
    world.say("learner.deleted", learner="A", at=DAWN + HOUR)
    world.has_course("safety", "everyone", at=DAWN + 2 * HOUR)
    assert world.quarantine().keys() == {id_of(start)}

    world.has_learners("A", at=DAWN + 3 * HOUR)

    assert (world.quarantine(), [entry.event for entry in world.ledger()]) == ({}, [id_of(start)])


def test_r31_many_who_are_back_at_once_are_enrolled_by_the_workers_some_at_a_time(world: World) -> None:
    """And so is what they had, when they go."""
    ids = [f"L{n:02}" for n in range(21)]
    pieces = "SELECT low, high FROM work WHERE actor = 'enrolments.chunk' ORDER BY low"
    world.has_course("safety", "everyone")
    world.has_learners(*ids)

    world.send(*(world.event("learner.deleted", {"learner": id_}) for id_ in ids))
    assert world.rows(pieces) == [(1, 20), (21, 21)]
    world.settle()
    gone = world.clock
    world.has_learners(*ids)
    assert world.rows(pieces) == [(1, 20), (21, 21)]
    world.settle()
    assert world.access("L00") == world.access("L20") == {"safety"}
    assert world.ask("SELECT min(enrolled_at) FROM enrolments") > gone


@pytest.mark.parametrize("first", ["deletion", "completion"])
def test_s14_s15_a_completion_at_the_moment_of_a_deletion_is_of_neither_life(world: World, first: str) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.settle()
    moment = DAWN + 5 * HOUR
    completed = world.event("course.completed", {"learner": "A", "course": "safety", "result": "passed"}, at=moment)
    deleted = world.event("learner.deleted", {"learner": "A"}, at=moment)
    for event in (deleted, completed) if first == "deletion" else (completed, deleted):
        world.send(event)
    world.has_learners("A", at=moment + HOUR)
    world.settle()

    assert world.list("SELECT completed_at FROM enrolments WHERE withdrawn_at IS NULL") == [None]


def test_s13_a_deletion_before_which_a_status_counts_no_more_flags_what_was_released(world: World) -> None:
    world.has_learners("A", version=9, status="active", at=DAWN)
    world.has_course("safety", at=DAWN)
    world.becomes("inactive", "A", version=3, at=DAWN + 5 * HOUR)
    start = world.starts("A", "safety", at=DAWN + 6 * HOUR)
    release(world.runtime.engine, world.runtime.settings, EventRef(id_of(start)), by="ann", why="it is right")
    assert [entry.review for entry in world.ledger()] == [None]

    world.say("learner.deleted", learner="A", at=DAWN + 4 * HOUR)

    assert [entry.review for entry in world.ledger()] == ["learner inactive"]


def test_s12_a_start_is_judged_again_at_a_deletion_before_which_a_status_counts_no_more(world: World) -> None:
    world.has_learners("A", version=9, status="inactive", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.becomes("active", "A", version=3, at=DAWN + 5 * HOUR)
    start = world.starts("A", "safety", at=DAWN + 6 * HOUR)
    assert world.quarantine()[id_of(start)].reason == "learner inactive"

    world.say("learner.deleted", learner="A", at=DAWN + 4 * HOUR)
    assert world.quarantine()[id_of(start)].reason == "unknown learner"
    world.has_learners("A", at=DAWN + 5 * HOUR)

    assert world.quarantine() == {}
    assert len(world.ledger()) == 1


def test_r06_a_start_counts_once_a_deletion_ends_the_withdrawal_from_before_it(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.withdraws("safety", "A", at=DAWN + HOUR)
    world.has_learners("A", at=DAWN + 5 * HOUR)
    start = world.starts("A", "safety", at=DAWN + 6 * HOUR)
    assert world.quarantine()[id_of(start)].reason == "not enrolled"

    world.say("learner.deleted", learner="A", at=DAWN + 4 * HOUR)

    assert world.quarantine() == {}
    assert len(world.ledger()) == 1
