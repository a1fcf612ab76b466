"""A person decides on what could not be taken: R27, S12, S16."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from config.phrases import typed
from tasks import organisations
from tasks.events import Event, decode
from tasks.events.quarantine import EventRef
from tasks.intake import NotResolved, discard, release
from tests.world import DAWN, World, id_of

HOUR = timedelta(hours=1)


def released(world: World, body: bytes) -> None:
    release(world.runtime.engine, world.runtime.settings, EventRef(id_of(body)), by="ann", why="the platform was late")


def test_r27_releasing_a_start_takes_it_as_valid_and_records_who_and_why(world: World) -> None:
    world.has_learners("A", status="inactive")
    world.has_course("safety", "everyone", cost=3)
    start = world.starts("A", "safety")

    released(world, start)
    world.settle()

    assert [(entry.learner, entry.amount) for entry in world.ledger()] == [("A", 3)]
    assert world.enrolments("A")["safety"].started_at is not None
    assert [told["amount"] for told in world.out("seat.consumed")] == [3]
    assert world.quarantine() == {}
    assert world.rows("SELECT state, reason, resolved_by, resolved_why FROM inbox WHERE id = :id", id=id_of(start)) == [
        ("released", "learner inactive", "ann", "the platform was late")
    ]


def test_r27_whose_start_is_released_after_they_came_back_had_access_when_it_happened(world: World) -> None:
    world.has_learners("A", status="inactive")
    world.has_course("safety", "everyone")
    start = world.starts("A", "safety")
    world.becomes("active", "A")

    released(world, start)

    enrolment = world.enrolments("A")["safety"]
    assert enrolment.activated_at == enrolment.started_at is not None


def test_r27_a_start_can_be_released_though_what_waited_for_the_same_goes_on_waiting(world: World) -> None:
    """What one makes known is told to all that waits for it; that another is refused again is not its fault."""
    world.has_learners("A", "B", at=DAWN)
    world.has_course("safety", at=DAWN)
    world.asks_to_enrol("safety", "A", "B", at=DAWN + HOUR)
    world.withdraws("safety", "A", "B", at=DAWN + 2 * HOUR)
    others = world.starts("B", "safety", at=DAWN + 4 * HOUR)
    start = world.starts("A", "safety", at=DAWN + 4 * HOUR)
    assert {held.reason for held in world.quarantine().values()} == {"not enrolled"}

    released(world, start)

    assert [entry.learner for entry in world.ledger()] == ["A"]
    assert world.list("SELECT code FROM reviews") == [], "nobody was inactive"
    assert world.quarantine().keys() == {id_of(others)}


def test_r27_who_releases_what_cannot_be_taken_even_so_is_told_what_is_missing_now(world: World) -> None:
    world.has_learners("A", status="inactive")
    start = world.starts("A", "safety")
    assert world.quarantine()[id_of(start)].reason == "learner inactive"

    with pytest.raises(NotResolved, match="cannot be taken even so: unknown course"):
        released(world, start)


def test_r26_a_start_is_released_once_and_its_repetition_is_nothing_new(world: World) -> None:
    world.has_learners("A", status="inactive")
    world.has_course("safety", "everyone", cost=3)
    start = world.starts("A", "safety")
    released(world, start)

    with pytest.raises(NotResolved, match="waits or is quarantined"):
        released(world, start)
    assert world.send(start).new == 0

    assert len(world.ledger()) == 1


def test_s01_what_is_released_is_charged_under_the_terms_that_are_saved_meanwhile(world: World) -> None:
    """Not under those that held before the organisation was locked."""
    world.has_learners("A", status="inactive")
    world.has_course("safety", "everyone", cost=3)
    start = world.starts("A", "safety")
    saved = decode(world.event("organisation.saved", {"name": "Acme", "licence": "seats"}), now=world.clock, skew=HOUR)
    assert isinstance(saved, Event)
    thread = threading.Thread(target=released, args=[world, start])

    with world.runtime.engine.begin() as connection:
        organisations.lock(connection, ["acme"])
        organisations.save(connection, saved)
        thread.start()
        while thread.is_alive() and not world.waiting():
            pass
    thread.join()

    assert [(entry.unit, entry.amount) for entry in world.ledger()] == [("seat", 1)]


def test_r27_what_names_something_unknown_cannot_be_released_yet(world: World) -> None:
    start = world.starts("A", "safety")

    with pytest.raises(NotResolved, match="unknown learner"):
        released(world, start)

    assert world.quarantine()[id_of(start)].state == "waiting"


def test_r27_what_is_discarded_is_gone_for_good_with_who_and_why(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety")
    start = world.starts("A", "safety")

    discard(world.runtime.engine, EventRef(id_of(start)), by="ann", why="a test account")
    world.has_course("safety", "everyone")
    world.send(start)

    assert world.quarantine() == {}
    assert world.ledger() == []
    assert world.rows("SELECT state, resolved_by, resolved_why, body FROM inbox WHERE id = :id", id=id_of(start)) == [
        ("discarded", "ann", "a test account", None)
    ]


def test_s16_discarding_a_malformed_event_does_not_use_up_its_id(world: World) -> None:
    world.send(world.event("learner.saved", {"learner": 7}, id_="e-first"))
    with pytest.raises(NotResolved, match="malformed"):
        release(world.runtime.engine, world.runtime.settings, EventRef("e-first"), by="ann", why="?")

    discard(world.runtime.engine, EventRef("e-first"), by="ann", why="nonsense")
    taken = world.send(world.event("learner.saved", {"learner": "A"}, id_="e-first"))

    assert taken.new == 1
    assert world.enrolments("A") == {}


def test_s02_a_status_is_discarded_unless_it_is_in_a_history(world: World) -> None:
    said = {"learner": "later", "status": "inactive"}
    unknown = world.event("learner.status_changed", said, organisation="nobody")
    recorded = world.event("learner.status_changed", said)
    world.send(unknown)
    world.send(recorded)

    discard(world.runtime.engine, EventRef(id_of(unknown)), by="ann", why="a typing error")
    with pytest.raises(NotResolved, match="in the history already"):
        discard(world.runtime.engine, EventRef(id_of(recorded)), by="ann", why="a typing error")

    assert world.quarantine().keys() == {id_of(recorded)}


def test_r34_what_is_decided_stands_only_with_what_is_done_along_with_it(world: World) -> None:
    world.has_learners("A", status="inactive")
    world.has_course("safety", "everyone")
    start = world.starts("A", "safety")
    held = world.quarantine()
    engine, wanted = world.runtime.engine, EventRef(id_of(start))

    def fails(_: Connection) -> None:
        raise OSError("nobody could record it")

    with pytest.raises(OSError, match="nobody could record it"):
        release(engine, world.runtime.settings, wanted, by="ann", why="late", also=fails)
    with pytest.raises(OSError, match="nobody could record it"):
        discard(engine, wanted, by="ann", why="late", also=fails)

    assert world.quarantine() == held
    assert world.ledger() == []


def test_r31_whoever_decides_on_an_id_that_two_events_have_is_asked_which_is_meant(world: World) -> None:
    for organisation in ("nobody", "nothing"):
        world.send(world.event("learner.saved", {"learner": "A"}, id_="twice", organisation=organisation))

    with pytest.raises(NotResolved, match="2 events are called twice: say of which organisation") as refused:
        discard(world.runtime.engine, EventRef("twice"), by="ann", why="a typing error")
    assert "2 events are called twice: say of which --organisation" in typed(str(refused.value))

    discard(world.runtime.engine, EventRef("twice", organisation="nobody"), by="ann", why="a typing error")
    discard(world.runtime.engine, EventRef("twice"), by="ann", why="a typing error")
    assert world.quarantine() == {}
