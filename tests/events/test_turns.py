"""What an organisation sends beyond a bound waits for its turn, so that nobody else waits for it: R31, R6, R32, R33."""

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.database import transaction
from tasks import announcements
from tasks.events import Event, EventRef, decode, inbox, turns
from tasks.events.rules import TURN, WAVE, affordable
from tasks.intake import NotResolved, actors, discard, process_batch, release
from tasks.intake.batch import RACES
from tasks.work.store import offer
from tests.events.handling import before_each, raises_for
from tests.scale.explained import explained
from tests.world import DAWN, World, id_of, work_on
from workers.queues import QUEUES

#: Steps of one organisation that are taken at once here.
STEPS = 5


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is taken at once."""
    monkeypatch.setattr("tasks.events.rules.TURN", STEPS * WAVE)
    monkeypatch.setattr("tasks.intake.waiting.FREED_ROWS", STEPS * WAVE)


@pytest.fixture
def world(world: World) -> World:
    """Two organisations."""
    world.has_organisation()
    world.send(world.event("organisation.saved", {"name": "Globex", "licence": "credits"}, organisation="globex"))
    return world


def flips(world: World, n: int, learner: str = "A") -> list[bytes]:
    """A learner made inactive and active in turns, so many times: inactive at last where the number is odd."""
    return [
        world.event("learner.status_changed", {"learner": learner, "status": ("inactive", "active")[i % 2]})
        for i in range(n)
    ]


def neighbours(world: World) -> list[str]:
    """The other organisation's learners."""
    return world.list("SELECT l.id FROM learners l JOIN organisations o USING (organisation) WHERE o.id = 'globex'")


def neighbour(world: World, id_: str = "N") -> bytes:
    """An event of the other organisation."""
    return world.event("learner.saved", world.learner(id_), organisation="globex")


def waiting(world: World) -> list[str]:
    """The ids of the events that wait for their turn, in that order."""
    return world.list("SELECT id FROM inbox WHERE reason = 'its turn' AND state = 'waiting' ORDER BY seq")


def recorded(world: World) -> int:
    """Changes of status in the history."""
    return int(world.ask("SELECT count(*) FROM status_changes"))


def test_r31_what_is_behind_a_flood_waits_for_no_more_than_the_bound(world: World) -> None:
    world.has_learners("A")
    before = recorded(world)
    flood = flips(world, 61)

    for low in (0, 20, 40):
        world.send(*flood[low : low + 20])
    world.send(*flood[60:], neighbour(world))

    assert neighbours(world) == ["N"]
    assert recorded(world) - before <= STEPS + 1
    world.settle()
    assert recorded(world) - before == 61
    assert world.ask("SELECT standing FROM learners WHERE id = 'A'") == "inactive"
    assert (waiting(world), world.quarantine()) == ([], {})


def test_r06_what_waits_for_its_turn_is_taken_in_the_order_of_arrival(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"L{n}" for n in range(3)]
    world.has_learners(*ids)
    world.has_segment("s")
    moves = [
        world.event(f"segment.{what}", {"segment": "s", "learners": ids}, id_=f"{99 - n}")
        for n, what in enumerate(["joined", "left"] * 6 + ["joined"])
    ]
    applied: list[str] = []
    before_each(monkeypatch, lambda wave: applied.extend(event.id for event in wave if event.organisation == "acme"))

    world.send(*moves)
    assert waiting(world) == [id_of(move) for move in moves[len(applied) :]] != []
    later = world.event("segment.left", {"segment": "s", "learners": ["L2"]})
    world.send(later, neighbour(world))
    assert waiting(world)[-1] == id_of(later), "however little it is"
    assert neighbours(world) == ["N"]

    world.settle()
    assert applied == [id_of(move) for move in (*moves, later)]
    assert waiting(world) == []
    members = "SELECT l.id FROM memberships m JOIN learners l USING (organisation, learner) WHERE m.member ORDER BY 1"
    assert world.list(members) == ["L0", "L1"]
    world.send(*flips(world, 1, "L0"))
    assert world.ask("SELECT standing FROM learners WHERE id = 'L0'") == "inactive", "nothing is before it"


def test_r31_one_event_that_is_more_than_the_bound_waits_itself(world: World) -> None:
    many = [f"L{n}" for n in range(STEPS * WAVE)]
    world.has_segment("s")

    world.send(world.event("segment.joined", {"segment": "s", "learners": many}), neighbour(world))

    assert (len(waiting(world)), neighbours(world)) == (1, ["N"])
    world.settle()
    assert world.ask("SELECT count(*) FROM memberships") == len(many)


def test_r32_what_waits_for_its_turn_has_the_effect_of_one_however_often_it_comes(world: World) -> None:
    world.has_learners("A")
    flood = flips(world, 12)
    before = recorded(world)

    first = world.send(*flood, *flood[:3], *flood[-3:])
    again = world.send(*flood)
    world.settle()
    after = world.send(*flood)

    assert (first.new, first.repeated) == (12, 6)
    assert (again.new, again.repeated) == (0, 12)
    assert (after.new, after.repeated) == (0, 12)
    assert recorded(world) - before == 12
    assert waiting(world) == []


def test_r31_what_a_person_asks_for_does_not_wait_for_its_turn(world: World) -> None:
    world.has_learners("A")
    before = recorded(world)

    taken = process_batch(world.runtime.engine, world.runtime.settings, flips(world, 12), at_once=True)

    assert (taken.new, taken.deferred, recorded(world) - before) == (12, 0, 12)


def test_r06_what_waits_for_its_turn_is_not_quarantined_by_time_nor_taken_before_it(world: World) -> None:
    world.has_learners("A")
    flood = flips(world, 12)
    world.send(*flood)
    parked = waiting(world)
    world.execute("UPDATE inbox SET arrived_at = now() - interval '2 hours'")

    with transaction(world.runtime.engine) as connection:
        assert inbox.quarantine_overdue(connection) == 0
    with world.about() as (connection, org):
        assert inbox.waiting_in_vain(connection, org.organisation, org.id, 0, 100).stored == []
    assert waiting(world) == parked
    listed = world.quarantine()[parked[0]]
    assert (listed.state, listed.reason) == ("waiting", "its turn")
    assert listed.waits_for == "what its organisation sent before it"


def test_r06_what_had_its_turn_may_wait_for_what_it_names(world: World) -> None:
    world.has_learners("A")
    start = world.event("course.started", {"learner": "A", "course": "safety", "cycle": 1})
    world.send(*flips(world, 10), start)
    assert waiting(world)[-1] == id_of(start)

    world.settle()
    assert world.quarantine()[id_of(start)].reason == "unknown course"
    world.has_course("safety", "everyone", at=DAWN)
    world.settle()
    assert world.quarantine() == {}
    assert len(world.ledger()) == 1


def test_r27_what_waits_for_its_turn_is_not_released_and_may_be_discarded(world: World) -> None:
    world.has_learners("A")
    before = recorded(world)
    world.send(*flips(world, 12))
    first, second, *_ = waiting(world)
    runtime = world.runtime

    with pytest.raises(NotResolved, match="its turn"):
        release(runtime.engine, runtime.settings, EventRef(first), by="ann", why="now")
    discard(runtime.engine, EventRef(second), by="ann", why="sent by mistake")

    world.settle()
    assert recorded(world) - before == 11
    assert waiting(world) == []


class Killed(BaseException):
    """The end of a process."""


def killing(monkeypatch: pytest.MonkeyPatch, killer: bytes) -> list[int]:
    """Have whoever applies this event end; how many events were applied with it, each time."""
    deaths: list[int] = []

    def applied(wave: Sequence[Event]) -> None:
        if id_of(killer) in {event.id for event in wave}:
            deaths.append(len(wave))
            raise Killed

    before_each(monkeypatch, applied)
    return deaths


def work_once(world: World) -> int:
    """What is due is done once, by a process of its own; how many pieces there were. Who is dead loses its lease."""
    world.execute("UPDATE work SET due_at = now() WHERE state = 'running'")
    with transaction(world.runtime.engine) as connection:
        offers = [o for q in QUEUES for o in offer(connection, q, bound=100, repeat=timedelta(minutes=1))]
    for one in offers:
        with suppress(Killed):
            work_on(world.runtime, one.actor, one.organisation, one.work)
    return len(offers)


def test_r33_an_event_that_kills_whoever_takes_it_is_set_aside_and_those_behind_it_have_their_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_learners("A")
    before = recorded(world)
    flood = flips(world, 41)
    world.send(*flood)
    killer = flood[25]
    deaths = killing(monkeypatch, killer)

    rounds = 0
    with capture_logs() as lines:
        while work_once(world):
            rounds += 1
            assert rounds < 50

    assert len(deaths) == 1 + actors.MOST_TRIES, "once with others, and then by itself"
    assert [line["organisation"] for line in lines if line["event"] == "events.given_up"] == [1]
    assert {id_: entry.reason for id_, entry in world.quarantine().items()} == {id_of(killer): "internal error"}
    assert recorded(world) - before == 40
    assert world.ask("SELECT standing FROM learners WHERE id = 'A'") == "inactive"
    assert world.ask("SELECT count(*) FROM work WHERE state = 'failing'") == 0


def test_r33_what_a_worker_was_killed_with_is_taken_in_parts_and_not_one_by_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.intake.waiting.FREED_ROWS", 1000)
    flood = [world.event("learner.saved", world.learner(f"L{n}")) for n in range(400)]
    world.send(*flips(world, STEPS + 1, "L0"))  # whoever is not known waits: what follows is behind that
    world.send(*flood)
    few = len(waiting(world))
    assert few > 300
    applied: list[int] = []

    def kill(wave: Sequence[Event]) -> None:
        applied.append(len(wave))
        if len(applied) <= 3:
            raise Killed

    before_each(monkeypatch, kill)
    while work_once(world):
        pass

    assert world.ask("SELECT count(*) FROM learners WHERE organisation = 1") == 400
    assert len(applied) < 40, "a part of a part of a part, and then all of the rest"
    assert (world.quarantine().keys() & {id_of(one) for one in flood}, waiting(world)) == (set(), [])


def test_r33_one_event_that_was_begun_is_taken_by_itself(world: World) -> None:
    world.has_learners("A")
    world.send(*flips(world, 12))
    first, *others = waiting(world)
    world.execute("UPDATE work SET begun = (SELECT seq FROM inbox WHERE id = :first)", first=first)

    work_once(world)

    assert waiting(world) == others


def test_r33_whoever_is_killed_while_it_takes_a_turn_loses_nothing_and_does_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_learners("A")
    before = recorded(world)
    flood = flips(world, 31)
    world.send(*flood)
    with monkeypatch.context() as patched:
        deaths = killing(patched, flood[12])
        work_once(world)
        work_once(world)
        assert deaths
    world.send(*flood, neighbour(world))

    world.execute("UPDATE work SET lost = :lost", lost=actors.MOST_TRIES)  # it may have had other reasons
    while work_once(world):
        pass

    assert recorded(world) - before == 31
    assert world.ask("SELECT standing FROM learners WHERE id = 'A'") == "inactive"
    assert (world.quarantine(), neighbours(world)) == ({}, ["N"])


@pytest.mark.parametrize("problem", [RuntimeError("generator raised StopIteration"), MemoryError()])
def test_r31_an_event_that_raises_in_its_turn_is_set_aside_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    world.has_learners("A")
    before = recorded(world)
    flood = flips(world, 21)
    world.send(*flood)

    def applied(wave: Sequence[Event]) -> None:
        if id_of(flood[15]) in {event.id for event in wave}:
            raise problem

    before_each(monkeypatch, applied)
    world.settle()

    assert {id_: entry.reason for id_, entry in world.quarantine().items()} == {id_of(flood[15]): "internal error"}
    assert recorded(world) - before == 20


def test_r31_what_fails_as_late_as_its_turn_is_committed_is_set_aside_alone(world: World) -> None:
    world.has_learners("A")
    before = recorded(world)
    flood = flips(world, 3 * STEPS)
    world.send(*flood)
    parked = waiting(world)
    bad = parked[3]
    moment = next(json.loads(body)["time"] for body in flood if id_of(body) == bad)
    world.execute(
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'too late'; END $$"
    )
    world.execute(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON status_changes DEFERRABLE INITIALLY DEFERRED"
        f" FOR EACH ROW WHEN (NEW.occurred_at = '{moment}') EXECUTE FUNCTION late()"
    )

    with capture_logs() as lines:
        work_once(world)

    assert [line["events"] for line in lines if line["event"] == "events.turn_not_taken"] == [5, 3, 2, 1], "in halves"
    assert waiting(world) == parked[STEPS:]
    world.settle()
    assert {id_: one.reason for id_, one in world.quarantine().items()} == {bad: "internal error"}
    assert (recorded(world) - before, waiting(world)) == (3 * STEPS - 1, [])


def test_r31_what_can_be_read_no_more_in_its_turn_is_set_aside(world: World) -> None:
    world.has_learners("A")
    before = recorded(world)
    world.send(*flips(world, 12))
    first, *_, last = waiting(world)
    world.execute("UPDATE inbox SET body = '{' WHERE id IN (:first, :last)", first=first, last=last)

    world.settle()

    found = world.quarantine()
    assert {id_: one.reason for id_, one in found.items()} == dict.fromkeys([first, last], "internal error")
    assert [event["event"] for event in world.out("event.quarantined")] == [first, last]
    assert (recorded(world) - before, waiting(world)) == (10, [])


def test_r31_what_loses_its_race_each_time_is_set_aside_in_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    raises_for(world, "fanouts", "request", ["40001"])
    world.has_learners("A")
    asked = {"request": "40001", "course": "safety", "learners": ["A"], "tab": "all"}
    bad = world.event("enrolment.requested", asked)
    world.has_course("safety")
    world.send(*flips(world, STEPS), bad)
    assert waiting(world) == [id_of(bad)]
    tries: list[str] = []
    before_each(monkeypatch, lambda wave: tries.extend(event.id for event in wave if event.id == id_of(bad)))

    world.settle()

    assert {id_: one.reason for id_, one in world.quarantine().items()} == {id_of(bad): "internal error"}
    assert len(tries) == RACES + 1


def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The subjects of the messages that are judged."""
    found: list[str] = []
    fault_of: Callable[..., str | None] = announcements.fault_of

    def counted(data: Any, organisation: str, name: str) -> str | None:
        found.append(data.subject)
        return fault_of(data, organisation, name)

    monkeypatch.setattr(announcements, "fault_of", counted)
    monkeypatch.setattr("tasks.announcements.intake._verdicts", OrderedDict())
    return found


def test_r31_few_long_messages_are_judged_before_what_is_behind_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = judged(monkeypatch)
    said = {"body": "Hello. " * 300, "audience": {"everyone": True}}
    news = [
        world.event("announcement.requested", {"announcement": f"a{n}", "subject": f"News {n}", **said})
        for n in range(10)
    ]

    world.send(*news, neighbour(world))

    assert neighbours(world) == ["N"]
    assert 0 < len(found) <= 2
    world.settle()
    assert len(set(found)) == 10, "each is judged before it is taken"
    assert world.ask("SELECT count(*) FROM mailings WHERE kind = 'announcement'") == 10


def test_r31_messages_of_an_organisation_that_nobody_knows_are_not_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = judged(monkeypatch)
    said = {"subject": "News of today", "body": "Hello. " * 300, "audience": {"everyone": True}}

    def news(n: int) -> bytes:
        return world.event("announcement.requested", {"announcement": f"a{n}", **said}, organisation="unknown")

    world.send(*map(news, range(10)))
    assert found == []
    assert {entry.reason for entry in world.quarantine().values()} == {"unknown organisation"}

    world.send(world.event("organisation.saved", {"name": "New", "licence": "seats"}, organisation="unknown"))
    assert found == [], "they are judged by the workers"
    world.settle()
    assert len(found) == 10
    assert world.ask("SELECT count(*) FROM mailings WHERE kind = 'announcement'") == 10
    assert world.quarantine() == {}


def test_r31_what_a_new_organisation_sends_at_once_waits_for_its_turn_too(world: World) -> None:
    first = world.event("organisation.saved", {"name": "New", "licence": "seats"}, organisation="new")
    saved = world.event("learner.saved", world.learner("A"), organisation="new")
    flood = [
        world.event("learner.status_changed", {"learner": "A", "status": status}, organisation="new")
        for status in ["inactive", "active"] * 10
    ]

    world.send(first, saved, *flood)

    assert len(waiting(world)) >= 20 - STEPS
    world.settle()
    assert world.ask("SELECT standing FROM learners WHERE id = 'A'") == "active"


def test_r31_what_a_large_customer_sends_on_an_ordinary_day_does_not_wait(world: World) -> None:
    def understood(type_: str, data: dict[str, Any]) -> Event:
        event = decode(world.event(type_, data), now=world.clock, skew=timedelta(days=1))
        assert isinstance(event, Event)
        return event

    starts = [
        understood("course.started", {"learner": f"L{n}", "course": f"c{n % 7}", "cycle": 1}) for n in range(5000)
    ]
    again = [
        understood(f"course.{what}", {"learner": f"L{n % 100}", "course": "c", "cycle": 1, "result": "passed"})
        for n in range(250)
        for what in ("started", "completed")
    ]
    people = [
        event
        for n in range(160)
        for event in (
            understood("learner.saved", world.learner(f"L{n}")),
            understood("learner.status_changed", {"learner": f"L{n}", "status": "active"}),
            understood("course.started", {"learner": f"L{n}", "course": "c", "cycle": 1}),
        )
    ]
    requests = [
        understood("enrolment.requested", {"request": f"r{n}", "course": "c", "learners": [f"L{n}"], "tab": "all"})
        for n in range(40)
    ]

    for batch in (starts, again, people, requests):
        assert affordable(batch, TURN) == len(batch)


def test_r31_what_has_its_turn_is_found_past_however_much_came_before_it(world: World) -> None:
    world.has_learners("A")
    world.execute("""
        INSERT INTO inbox (seq, source, id, type, organisation, state)
        SELECT nextval(pg_get_serial_sequence('arrivals', 'seq')),
               'before', n::text, 'learner.saved', 'acme', 'applied' FROM generate_series(1, 20000) n
    """)
    world.execute("""
        INSERT INTO inbox (seq, source, id, type, organisation, state, reason, detail, awaits, awaits_organisation,
                           body)
        SELECT nextval(pg_get_serial_sequence('arrivals', 'seq')),
               'flood', n::text, 'learner.saved', 'acme', 'waiting', 'its turn', '', 'turn', 1, 'x'
        FROM generate_series(1, 60000) n
    """)
    world.execute("ANALYZE inbox")

    with explained(world.runtime.engine) as found, transaction(world.runtime.engine, 1) as connection:
        [standing] = turns.standing(connection, ["acme"])
        few = turns.next_(connection, 1, 10)
        turns.park(connection, 1, [])

    assert (standing.behind, len(few)) == (True, 10)
    assert {cost.pages for cost in found.values() if cost.pages > 100} == set()
    assert len(found) >= 4
