"""Late, unversioned and unknown things are kept, or wait, and are taken by themselves: R6, S1, S2."""

import threading
from datetime import timedelta

import pytest

from tasks import organisations
from tasks.events import decode
from tasks.events.rules import WAVE
from tasks.events.schemas import Event
from tasks.intake import process_batch
from tests.world import DAWN, World, id_of

HOUR = timedelta(hours=1)

#: Of whom what waited is left to the workers, and after which event.
RETAKES = """
SELECT o.id, w.subject FROM work w JOIN organisations o USING (organisation) WHERE w.actor = 'events.retake'"""


def standing(world: World, learner: str) -> str:
    """How a learner stands now."""
    return str(world.ask("SELECT standing FROM learners WHERE id = :id", id=learner))


def test_r06_the_newest_version_holds_however_late_the_others_come(world: World) -> None:
    world.has_learners("A", version=1)

    world.becomes("inactive", "A", version=5, at=DAWN + HOUR)
    world.becomes("active", "A", version=4, at=DAWN + 2 * HOUR)

    assert standing(world, "A") == "inactive"


def test_s01_without_versions_the_time_decides(world: World) -> None:
    world.has_learners("A", at=DAWN)

    world.becomes("inactive", "A", at=DAWN + 2 * HOUR)
    world.becomes("active", "A", at=DAWN + HOUR)

    assert standing(world, "A") == "inactive"


def test_s01_what_has_no_version_takes_the_highest_known(world: World) -> None:
    world.has_learners("A", version=7, at=DAWN)

    world.becomes("inactive", "A", at=DAWN + HOUR)
    assert standing(world, "A") == "inactive"
    world.becomes("active", "A", version=6, at=DAWN + 2 * HOUR)

    assert standing(world, "A") == "inactive"


def test_s01_of_two_at_the_same_version_and_time_inactive_holds(world: World) -> None:
    world.has_learners("A", "B", at=DAWN)

    world.becomes("inactive", "A", version=2, at=DAWN + HOUR)
    world.becomes("active", "A", version=2, at=DAWN + HOUR)
    world.becomes("active", "B", version=2, at=DAWN + HOUR)
    world.becomes("inactive", "B", version=2, at=DAWN + HOUR)

    assert (standing(world, "A"), standing(world, "B")) == ("inactive", "inactive")


def test_r06_an_older_description_changes_nothing(world: World) -> None:
    world.has_learners("A", version=2, first_name="New")
    world.has_learners("A", version=1, first_name="Old")
    world.has_course("safety", title="New", at=DAWN + HOUR)
    world.has_course("safety", title="Old", at=DAWN)
    world.say("segment.saved", at=DAWN + HOUR, segment="s", name="New")
    world.say("segment.saved", at=DAWN, segment="s", name="Old")

    assert world.list("SELECT first_name FROM learners") == ["New"]
    assert world.list("SELECT title FROM courses") == ["New"]
    assert world.list("SELECT name FROM segments") == ["New"]


def test_r06_what_is_newest_is_told_without_a_look_at_the_past(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("tasks.enrolments.arrivals.enrol", None)
        world.has_learners("A")
    world.has_segment("s")
    world.has_segment("other")
    world.has_course("once", "segments", segments=["s"], at=DAWN)
    world.has_course("once", at=DAWN + HOUR)
    world.has_course("safety", "segments", segments=["s"], at=DAWN + 3 * HOUR)
    for name in ("settle", "pairs_of"):
        monkeypatch.setattr(f"tasks.enrolments.intake.{name}", None)

    world.has_learners("A", first_name="Newer")
    world.say("segment.joined", segment="other", learners=["A"])
    world.say("segment.joined", segment="s", learners=["A"], at=DAWN + 2 * HOUR)

    assert world.list("SELECT first_name FROM learners") == ["Newer"]
    assert (world.access("A"), world.quarantine()) == ({"safety"}, {})


def test_s01_an_older_licence_changes_nothing(empty_world: World) -> None:
    world = empty_world
    described = {"name": "Acme", "licence": "seats"}
    world.send(world.event("organisation.saved", described | {"pool": 9}, at=DAWN + HOUR))

    world.send(world.event("organisation.saved", described | {"pool": 5}, at=DAWN))

    assert world.list("SELECT pool FROM organisations") == [9]


def test_r06_saying_nothing_of_the_status_leaves_it_alone(world: World) -> None:
    world.has_learners("A")
    assert standing(world, "A") == "active"
    world.becomes("inactive", "A")

    world.has_learners("A", first_name="Renamed")

    assert standing(world, "A") == "inactive"


def test_s02_a_status_before_its_learner_is_kept_and_listed_as_waiting(world: World) -> None:
    world.becomes("inactive", "A")
    [held] = world.quarantine().values()
    assert (held.state, held.reason) == ("waiting", "unknown learner")
    assert str(held.detail).endswith("this is kept until they are")

    world.has_learners("A")

    assert standing(world, "A") == "inactive"
    assert world.quarantine() == {}


def test_s02_a_status_before_its_learner_keeps_the_version_that_it_had_when_it_came(world: World) -> None:
    """It is in the history since then, and is not recorded again once its learner is saved."""
    world.becomes("inactive", "A")

    world.has_learners("A", version=5)

    assert world.list("SELECT version FROM status_changes") == [0]
    assert world.quarantine() == {}


def test_s02_a_status_before_its_organisation_holds_once_both_are_known(empty_world: World) -> None:
    world = empty_world
    world.has_learners("A")
    world.becomes("inactive", "A")

    world.has_organisation()

    assert standing(world, "A") == "inactive"
    assert world.quarantine() == {}


def test_s02_everything_before_its_organisation_is_taken_by_itself(empty_world: World) -> None:
    world = empty_world
    world.has_learners("A")
    world.has_course("safety", "everyone", cost=2)
    world.starts("A", "safety")
    assert {held.reason for held in world.quarantine().values()} == {"unknown organisation"}

    world.has_organisation()

    assert world.quarantine() == {}
    assert world.access("A") == {"safety"}
    assert [entry.amount for entry in world.ledger()] == [2]


@pytest.mark.parametrize(("bound", "most"), [("MOST_FREED", 2), ("FREED_ROWS", 2 + WAVE)])
def test_r06_what_waited_for_an_organisation_alone_is_taken_though_it_is_too_much_at_once(
    empty_world: World, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    """Nothing else that is known later makes the rest known."""
    monkeypatch.setattr(f"tasks.intake.waiting.{bound}", most)
    world = empty_world
    world.send(*(world.event("segment.saved", {"segment": f"s{n}", "name": "S"}) for n in range(5)))

    world.has_organisation()
    assert len(world.quarantine()) == 3, "the rest is work"
    assert world.rows(RETAKES) == [("acme", 0)]
    world.settle()

    assert world.quarantine() == {}


def test_r06_what_waited_for_a_segment_alone_is_taken_though_it_is_too_much_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody was enrolled, so nothing else makes the rest known; what is called as the segment is has no part in it."""
    monkeypatch.setattr("tasks.intake.waiting.MOST_FREED", 2)
    for organisation in ("globex", "s"):
        world.send(world.event("organisation.saved", {"name": "Other", "licence": "seats"}, organisation=organisation))
    world.has_course("safety")
    world.has_learners("A")
    for n in range(5):
        world.say("enrolment.requested", request=f"r{n}", course="safety", segment="s")

    world.say("segment.saved", segment="s", name="S")
    assert len(world.quarantine()) == 3, "the rest is work"
    assert world.rows(RETAKES) == [("acme", 0)]
    world.settle()

    assert world.quarantine() == {}


def test_r06_what_can_be_read_no_more_keeps_nothing_waiting_that_is_behind_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("waiting", "actors"):
        monkeypatch.setattr(f"tasks.intake.{module}.MOST_FREED", 1)
    world.has_learners("A")
    _, _, unread, _ = (world.asks_to_enrol("safety", "A") for _ in range(4))
    world.execute("UPDATE inbox SET body = '{' WHERE id = :id", id=id_of(unread))

    world.has_course("safety")
    world.settle()

    assert (set(world.quarantine()), list(world.rows(RETAKES))) == ({id_of(unread)}, [])


def test_r06_what_waited_and_is_taken_whole_leaves_no_work(empty_world: World) -> None:
    world = empty_world
    world.has_learners("A")

    world.has_organisation()

    assert (world.quarantine(), world.rows(RETAKES)) == ({}, [])


def test_s02_what_a_batch_itself_makes_known_holds_nothing_of_it_back(world: World) -> None:
    """Each waits for what comes after it in the batch, the start for several things in turn."""
    status = world.event("learner.status_changed", {"learner": "A", "status": "active"})
    start = world.event("course.started", {"learner": "A", "course": "safety"})
    described = {"course": "safety", "title": "Safety", "cost": 1, "on_hold": False, "method": "everyone"}
    makes_known = [
        world.event("learner.saved", world.learner("A")),
        world.event("course.saved", described | {"segments": []}),
    ]

    taken = world.send(status, start, *makes_known)

    assert (taken.new, taken.deferred) == (4, 0)
    assert world.quarantine() == {}
    assert len(world.ledger()) == 1


def test_s02_what_is_held_back_again_and_again_is_held_back_once(world: World) -> None:
    """First for its learner, then for its enrolment."""
    world.has_course("safety")
    start = world.event("course.started", {"learner": "A", "course": "safety"})

    taken = world.send(start, world.event("learner.saved", world.learner("A")))

    assert (taken.new, taken.deferred) == (2, 1)
    assert [held.reason for held in world.quarantine().values()] == ["not enrolled"]


def test_s02_what_came_before_and_goes_on_waiting_is_not_held_back_of_this_batch(world: World) -> None:
    world.has_course("safety")
    world.starts("A", "safety")

    taken = world.send(world.event("learner.saved", world.learner("A")))

    assert (taken.new, taken.deferred) == (1, 0)
    assert [held.reason for held in world.quarantine().values()] == ["not enrolled"]


def test_s02_what_comes_while_its_organisation_is_being_saved_is_not_forgotten(empty_world: World) -> None:
    world = empty_world
    saving = world.event("organisation.saved", {"name": "Acme", "licence": "seats"})
    learner = world.event("learner.saved", {"learner": "A"})
    event = decode(saving, now=world.clock, skew=HOUR)
    assert isinstance(event, Event)
    engine = world.runtime.engine
    thread = threading.Thread(target=process_batch, args=[engine, world.runtime.settings, [learner]])

    with engine.begin() as connection:
        organisations.reserve(connection, ["acme"])
        organisations.save(connection, event)
        thread.start()
        while thread.is_alive() and not world.waiting():
            pass
    thread.join()

    assert standing(world, "A") == "active"
    assert world.quarantine() == {}


def test_s02_members_of_a_segment_before_they_are_saved_are_members(world: World) -> None:
    world.has_course("safety", "segments", segments=["s"])
    world.say("segment.joined", segment="s", learners=["A", "B"])
    world.say("segment.left", segment="s", learners=["B"])

    world.say("segment.saved", segment="s", name="S")
    world.has_learners("A", "B")

    assert world.access("A") == {"safety"}
    assert world.access("B") == set()


def test_s02_a_withdrawal_before_its_learner_is_saved_holds(world: World) -> None:
    world.has_course("safety", "everyone")
    world.withdraws("safety", "A")

    world.has_learners("A")

    assert world.access("A") == set()


def test_s02_a_withdrawal_before_its_course_waits_for_it(world: World) -> None:
    world.has_learners("A", "B", at=DAWN)
    world.withdraws("safety", "A", at=DAWN + 2 * HOUR)
    assert [held.reason for held in world.quarantine().values()] == ["unknown course"]

    world.has_course("safety", "everyone", at=DAWN + HOUR)
    world.settle()

    assert (world.access("A"), world.access("B")) == (set(), {"safety"})
    assert world.quarantine() == {}


def test_s02_what_acts_waits_through_every_unknown_in_turn(world: World) -> None:
    start = world.starts("A", "safety")
    assert world.quarantine()[id_of(start)].reason == "unknown learner"

    world.has_learners("A")
    assert world.quarantine()[id_of(start)].reason == "unknown course"

    world.has_course("safety", cost=4)
    assert world.quarantine()[id_of(start)].reason == "not enrolled"

    world.has_course("safety", "everyone", cost=4)
    assert world.quarantine() == {}
    assert [entry.amount for entry in world.ledger()] == [4]


def test_r06_a_start_counts_once_an_older_description_says_that_its_enrolment_stood(world: World) -> None:
    world.has_course("safety", "everyone", at=DAWN)
    world.has_learners("A", at=DAWN + 5 * HOUR)
    world.starts("A", "safety", at=DAWN + 2 * HOUR)
    assert [held.reason for held in world.quarantine().values()] == ["not enrolled"]

    world.has_learners("A", at=DAWN + HOUR)

    assert world.quarantine() == {}
    assert len(world.ledger()) == 1


def test_r06_a_start_counts_once_an_older_joining_says_that_its_enrolment_stood(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_segment("s", at=DAWN)
    world.has_course("safety", "segments", segments=["s"], at=DAWN)
    world.say("segment.left", segment="s", learners=["A"], at=DAWN + 5 * HOUR)
    world.starts("A", "safety", at=DAWN + 2 * HOUR)
    assert [held.reason for held in world.quarantine().values()] == ["not enrolled"]
    fanouts = world.ask("SELECT count(*) FROM fanouts")

    world.say("segment.joined", segment="s", learners=["A"], at=DAWN + HOUR)

    assert world.quarantine() == {}
    assert len(world.ledger()) == 1
    assert world.ask("SELECT count(*) FROM fanouts") == fanouts, "it changes nothing of the present"


def test_r06_a_start_counts_once_a_joining_says_so_that_counted_only_then(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_segment("s", at=DAWN)
    world.has_course("safety", "segments", segments=["s"], at=DAWN)
    told = world.list("SELECT mailing FROM mailings")
    world.has_course("safety", "manual", at=DAWN + 3 * HOUR)
    assert world.list("SELECT mailing FROM mailings") == told
    world.starts("A", "safety", at=DAWN + 2 * HOUR)
    assert [held.reason for held in world.quarantine().values()] == ["not enrolled"]

    world.say("segment.joined", segment="s", learners=["A"], at=DAWN + HOUR)

    assert world.quarantine() == {}
    assert len(world.ledger()) == 1


def test_r06_a_start_counts_if_its_learner_was_known_while_everyone_was_enrolled(world: World) -> None:
    world.has_course("safety", "everyone", at=DAWN)
    world.has_course("safety", "manual", at=DAWN + 3 * HOUR)
    world.starts("A", "safety", at=DAWN + 2 * HOUR)

    world.has_learners("A", at=DAWN + HOUR)

    assert world.quarantine() == {}
    assert len(world.ledger()) == 1


def test_s02_a_request_waits_for_its_course_and_its_segment(world: World) -> None:
    world.has_learners("A")
    world.say("enrolment.requested", request="r", course="safety", segment="s", at=DAWN + 2 * HOUR)
    world.has_course("safety")
    assert [held.reason for held in world.quarantine().values()] == ["unknown segment"]

    world.say("segment.joined", segment="s", learners=["A"], at=DAWN + HOUR)
    world.say("segment.saved", segment="s", name="S")
    world.settle()

    assert world.quarantine() == {}
    assert world.access("A") == {"safety"}
    [finished] = world.out("enrolment.finished")
    assert (finished["selected"], finished["enrolled"]) == (1, 1)


def test_r06_the_hour_of_waiting_runs_from_arrival(world: World) -> None:
    world.starts("A", "safety", at=DAWN)
    world.has_learners("A")

    waited = world.ask("SELECT until - arrived_at FROM inbox WHERE state = 'waiting'")

    assert waited == HOUR


def test_r06_joining_and_leaving_in_any_order_the_newest_holds(world: World) -> None:
    world.has_learners("A", "B")
    world.has_segment("s")
    world.has_course("safety", "segments", segments=["s"])

    world.say("segment.left", segment="s", learners=["A"], at=DAWN + 2 * HOUR)
    world.say("segment.joined", segment="s", learners=["A"], at=DAWN + HOUR)
    world.say("segment.joined", segment="s", learners=["B"], at=DAWN + 2 * HOUR)
    world.say("segment.left", segment="s", learners=["B"], at=DAWN + HOUR)

    assert world.access("A") == set()
    assert world.access("B") == {"safety"}


def test_r06_of_joining_and_leaving_at_the_same_time_leaving_holds(world: World) -> None:
    world.has_learners("A", "B")
    world.has_segment("s")
    world.has_course("safety", "segments", segments=["s"])

    world.say("segment.joined", segment="s", learners=["A"], at=DAWN + HOUR)
    world.say("segment.left", segment="s", learners=["A"], at=DAWN + HOUR)
    world.say("segment.left", segment="s", learners=["B"], at=DAWN + HOUR)
    world.say("segment.joined", segment="s", learners=["B"], at=DAWN + HOUR)

    assert (world.access("A"), world.access("B")) == (set(), set())
