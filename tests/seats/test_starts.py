"""What a course start consumes, and which starts count: R23 to R27, S5, S11, S12, S14."""

from datetime import timedelta
from threading import Barrier, Thread

import pytest

from config.words import rfc3339
from tasks.intake import process_batch
from tests.world import DAWN, World, id_of

HOUR = timedelta(hours=1)


def charges(world: World) -> list[tuple[str | None, str, int, str, int]]:
    """The ledger, in short."""
    return [(e.learner, e.course, e.cycle, e.unit, e.amount) for e in world.ledger()]


def test_r23_only_a_start_consumes(world: World) -> None:
    world.has_learners("A", "B", status="inactive")
    world.has_course("safety", "everyone", cost=3)
    world.becomes("active", "A", "B")
    world.asks_to_enrol("safety", "A", "B", cycle=2)
    world.say("announcement.requested", announcement="m", subject="Hi", body="Hello", audience={"everyone": True})
    world.settle()
    assert world.mail.recipients != []
    assert world.ledger() == []

    world.starts("A", "safety")

    assert charges(world) == [("A", "safety", 1, "credit", 3)]


def test_r24_making_a_learner_inactive_gives_nothing_back(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone", cost=3)
    world.starts("A", "safety")

    world.becomes("inactive", "A")
    world.withdraws("safety", "A")
    world.settle()

    assert charges(world) == [("A", "safety", 1, "credit", 3)]
    assert world.ask("SELECT used FROM balances") == 3


def test_r25_credits_are_paid_once_for_each_learner_course_and_cycle(world: World) -> None:
    world.has_learners("A", "B")
    world.has_course("safety", "everyone", cost=3)
    world.has_course("first-aid", "everyone", cost=5)
    world.asks_to_enrol("safety", "A", cycle=2)

    world.starts("A", "safety")
    world.starts("A", "safety")
    world.say("course.completed", learner="A", course="safety", result="failed")
    world.starts("A", "safety")
    world.starts("A", "safety", cycle=2)
    world.starts("A", "first-aid")
    world.starts("B", "safety")

    assert charges(world) == [
        ("A", "safety", 1, "credit", 3),
        ("A", "safety", 2, "credit", 3),
        ("A", "first-aid", 1, "credit", 5),
        ("B", "safety", 1, "credit", 3),
    ]


def test_r25_seats_are_paid_once_for_each_learner_in_a_licence_period(world: World) -> None:
    world.has_organisation("seats", 10)
    world.has_learners("A", "B")
    world.has_course("safety", "everyone", cost=3)
    world.has_course("first-aid", "everyone", cost=0)

    world.starts("A", "safety")
    world.starts("A", "first-aid")
    world.starts("B", "first-aid")
    assert charges(world) == [("A", "safety", 1, "seat", 1), ("B", "first-aid", 1, "seat", 1)]

    world.has_organisation("seats", 10, licence_starts="2027-01-01", licence_ends="2027-12-31")
    world.starts("A", "first-aid")

    assert charges(world)[2:] == [("A", "first-aid", 1, "seat", 1)]
    assert world.list("SELECT used FROM balances ORDER BY period") == [2, 1]


def test_s01_a_start_is_charged_under_the_licence_and_cost_known_when_it_is_taken(world: World) -> None:
    world.has_learners("A", "B")
    world.has_course("safety", "everyone", cost=3)
    world.starts("A", "safety")

    world.has_course("safety", "everyone", cost=7)
    world.starts("B", "safety")
    world.has_organisation("seats", 10)
    world.starts("B", "safety")

    assert charges(world) == [
        ("A", "safety", 1, "credit", 3),
        ("B", "safety", 1, "credit", 7),
        ("B", "safety", 1, "seat", 1),
    ]


def test_s11_a_course_that_costs_nothing_makes_an_entry_of_zero(world: World) -> None:
    world.has_organisation("credits", 0)
    world.has_learners("A")
    world.has_course("safety", "everyone", cost=0)
    world.has_course("first aid", "everyone", cost=1)

    for course in ("safety", "first aid"):
        world.starts("A", course)
    world.has_course("privacy", "everyone", cost=0)
    world.starts("A", "privacy")

    assert [(entry.course, entry.amount, entry.overdrawn) for entry in world.ledger()] == [
        ("safety", 0, False),
        ("first aid", 1, True),
        ("privacy", 0, False),
    ]


def test_r26_the_same_start_repeated_replayed_or_told_anew_consumes_once(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone", cost=3)
    start = world.event("course.started", {"learner": "A", "course": "safety"})

    world.send(start, start)
    world.send(start)
    world.starts("A", "safety")
    world.settle()

    assert charges(world) == [("A", "safety", 1, "credit", 3)]
    [told] = world.out("seat.consumed")
    [entry] = world.ledger()
    assert told == {
        "consumption": entry.id,
        "learner": "A",
        "course": "safety",
        "cycle": 1,
        "unit": "credit",
        "amount": 3,
        "occurred_at": rfc3339(entry.occurred_at),
        "overdrawn": False,
    }


@pytest.mark.parametrize("told_anew", [False, True], ids=["the same event", "another event"])
def test_r26_starts_taken_at_the_same_moment_consume_once(world: World, told_anew: bool) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone", cost=3)
    starts = [world.event("course.started", {"learner": "A", "course": "safety"}) for _ in range(2)]
    together = Barrier(2)

    def taking(start: bytes) -> None:
        together.wait()
        process_batch(world.runtime.engine, world.runtime.settings, [start])

    threads = [Thread(target=taking, args=[start]) for start in (starts if told_anew else starts[:1] * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.settle()

    assert charges(world) == [("A", "safety", 1, "credit", 3)]
    assert len(world.out("seat.consumed")) == 1
    assert world.ask("SELECT used FROM balances") == 3


def test_r26_the_charge_and_its_event_are_written_in_one_transaction(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone", cost=3)

    world.starts("A", "safety")

    assert world.list("SELECT xmin::text FROM consumptions") == world.list(
        "SELECT xmin::text FROM outbox WHERE type = 'rollcall.seat.consumed'"
    )


def test_r26_a_charge_that_cannot_be_announced_is_not_written(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone", cost=3)
    world.execute("ALTER TABLE outbox ADD CHECK (type <> 'rollcall.seat.consumed') NOT VALID")

    start = world.starts("A", "safety")

    assert world.ledger() == []
    assert world.quarantine()[id_of(start)].reason == "internal error"


def test_r27_a_start_from_when_the_learner_was_active_counts_however_late(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", cost=3, at=DAWN)
    world.becomes("inactive", "A", at=DAWN + 2 * HOUR)

    world.starts("A", "safety", at=DAWN + HOUR)

    assert charges(world) == [("A", "safety", 1, "credit", 3)]
    assert world.quarantine() == {}


def test_r27_a_start_from_when_the_learner_was_inactive_is_quarantined_at_once(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.becomes("inactive", "A", at=DAWN + HOUR)
    world.becomes("active", "A", at=DAWN + 3 * HOUR)

    start = world.starts("A", "safety", at=DAWN + 2 * HOUR)
    world.settle()

    held = world.quarantine()[id_of(start)]
    assert (held.state, held.reason) == ("quarantined", "learner inactive")
    assert world.ledger() == []
    assert world.enrolments("A")["safety"].started_at is None
    assert world.out("event.quarantined") == [
        {
            "event": id_of(start),
            "source": "urn:platform",
            "type": "platform.course.started",
            "reason": "learner inactive",
        }
    ]


def test_s12_inactive_is_checked_before_anything_else(world: World) -> None:
    world.has_learners("A", status="inactive")

    unknown_course = world.starts("A", "nowhere")
    world.has_course("safety")
    not_enrolled = world.starts("A", "safety")

    held = world.quarantine()
    assert (held[id_of(unknown_course)].state, held[id_of(unknown_course)].reason) == (
        "quarantined",
        "learner inactive",
    )
    assert (held[id_of(not_enrolled)].state, held[id_of(not_enrolled)].reason) == ("quarantined", "learner inactive")


def test_s12_a_start_quarantined_for_inactivity_is_judged_again_when_an_earlier_status_arrives(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", cost=3, at=DAWN)
    world.becomes("inactive", "A", at=DAWN + HOUR)
    start = world.starts("A", "safety", at=DAWN + 3 * HOUR)
    assert id_of(start) in world.quarantine()

    world.becomes("active", "A", at=DAWN + 2 * HOUR)

    assert world.quarantine() == {}
    assert charges(world) == [("A", "safety", 1, "credit", 3)]


def test_s12_a_later_status_does_not_clear_a_start_from_before_it(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.becomes("inactive", "A", at=DAWN + HOUR)
    start = world.starts("A", "safety", at=DAWN + 2 * HOUR)

    world.becomes("active", "A", at=DAWN + 3 * HOUR)

    assert world.quarantine()[id_of(start)].state == "quarantined"
    assert world.ledger() == []


def test_r27_a_start_waits_for_its_enrolment_and_is_taken_by_itself(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", cost=3)
    start = world.starts("A", "safety")
    done = world.say("course.completed", learner="A", course="safety", result="passed")
    assert {id_: held.state for id_, held in world.quarantine().items()} == {
        id_of(start): "waiting",
        id_of(done): "waiting",
    }

    world.asks_to_enrol("safety", "A")

    assert world.quarantine() == {}
    assert charges(world) == [("A", "safety", 1, "credit", 3)]
    assert world.enrolments("A")["safety"].result == "passed"


def test_s12_a_start_counts_up_to_an_hour_before_its_enrolment(world: World) -> None:
    world.has_learners("A", "B", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN + 2 * HOUR)

    world.starts("A", "safety", at=DAWN + HOUR)
    early = world.starts("B", "safety", at=DAWN + HOUR - timedelta(seconds=1))

    assert [entry.learner for entry in world.ledger()] == ["A"]
    assert world.quarantine()[id_of(early)].reason == "not enrolled"


@pytest.mark.parametrize("ended", ["by name", "by a rule"])
def test_s12_a_start_counts_up_to_an_hour_before_an_enrolment_that_has_ended_since(world: World, ended: str) -> None:
    world.has_learners("A", "B", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN + 2 * HOUR)
    if ended == "by name":
        world.withdraws("safety", "A", "B", at=DAWN + 4 * HOUR)
        world.asks_to_enrol("safety", "A", "B", at=DAWN + 6 * HOUR)
    else:
        world.has_course("safety", "manual", at=DAWN + 4 * HOUR)
        world.has_course("safety", "everyone", at=DAWN + 6 * HOUR)
    assert world.enrolments("A")["safety"].enrolled_at == DAWN + 6 * HOUR, "this is another one"

    world.starts("A", "safety", at=DAWN + HOUR)
    early = world.starts("B", "safety", at=DAWN + HOUR - timedelta(seconds=1))

    assert [entry.learner for entry in world.ledger()] == ["A"]
    assert world.quarantine()[id_of(early)].reason == "not enrolled"
    assert world.enrolments("A")["safety"].started_at == DAWN + HOUR
    assert world.enrolments("A")["safety"].enrolled_at == DAWN + (6 if ended == "by name" else 2) * HOUR
    assert [entry.review for entry in world.ledger()] == [None], "nothing contradicts it"


def test_s05_a_start_from_before_a_rule_withdrew_brings_the_enrolment_back(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", cost=3, at=DAWN)
    world.has_course("safety", "manual", cost=3, at=DAWN + 2 * HOUR)
    assert world.access("A") == set()

    world.starts("A", "safety", at=DAWN + HOUR)
    world.settle()

    assert world.access("A") == {"safety"}
    enrolment = world.enrolments("A")["safety"]
    assert (enrolment.sources, enrolment.withdrawn_at) == ([], None)
    assert charges(world) == [("A", "safety", 1, "credit", 3)]
    assert [event["withdrawn"] for event in world.out("enrolment.changed")] == [[], ["A"], []]
    assert world.out("enrolment.changed")[-1] == {
        "course": "safety",
        "cycle": 1,
        "cause": "rule",
        "enrolled": ["A"],
        "silent": [],
        "withdrawn": [],
    }


def test_r27_a_start_from_before_a_withdrawal_by_name_counts_but_the_withdrawal_stands(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", cost=3, at=DAWN)
    world.withdraws("safety", "A", at=DAWN + 2 * HOUR)

    world.starts("A", "safety", at=DAWN + HOUR)
    after = world.starts("A", "safety", at=DAWN + 3 * HOUR)

    assert charges(world) == [("A", "safety", 1, "credit", 3)]
    assert world.access("A") == set()
    assert world.quarantine()[id_of(after)].reason == "not enrolled"


def test_r27_a_start_in_an_earlier_stint_counts(world: World) -> None:
    world.has_learners("A", at=DAWN)
    for hours, method in ((0, "everyone"), (2, "manual"), (4, "everyone")):
        world.has_course("safety", method, cost=3, at=DAWN + hours * HOUR)
    assert world.enrolments("A")["safety"].enrolled_at == DAWN + 4 * HOUR

    between = world.starts("A", "safety", at=DAWN + 2 * HOUR + timedelta(seconds=1))
    assert world.quarantine()[id_of(between)].reason == "not enrolled"
    world.starts("A", "safety", at=DAWN + HOUR)

    assert [entry.occurred_at for entry in world.ledger()] == [DAWN + HOUR]


def test_s05_a_late_start_in_an_earlier_stint_makes_it_last_until_the_next(world: World) -> None:
    world.has_learners("A", at=DAWN)
    for hours, method in ((0, "everyone"), (2, "manual"), (9, "everyone")):
        world.has_course("safety", method, cost=3, at=DAWN + hours * HOUR)
    world.starts("A", "safety", at=DAWN + 6 * HOUR)
    assert len(world.quarantine()) == 1

    world.starts("A", "safety", at=DAWN + HOUR)

    assert world.quarantine() == {}
    assert world.enrolments("A")["safety"].started_at == DAWN + HOUR
    assert len(world.ledger()) == 1


def test_r27_a_start_before_a_withdrawal_by_name_counts_after_a_new_request_too(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", cost=3, at=DAWN)
    world.asks_to_enrol("safety", "A", at=DAWN + HOUR)
    world.withdraws("safety", "A", at=DAWN + 2 * HOUR)
    world.asks_to_enrol("safety", "A", at=DAWN + 4 * HOUR)

    world.starts("A", "safety", at=DAWN + HOUR + timedelta(minutes=30))

    assert charges(world) == [("A", "safety", 1, "credit", 3)]
    assert world.quarantine() == {}


def test_s12_a_request_that_comes_late_says_since_when_the_enrolment_stood(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", cost=3, at=DAWN)
    world.asks_to_enrol("safety", "A", at=DAWN + 5 * HOUR)
    start = world.starts("A", "safety", at=DAWN + 2 * HOUR)
    assert world.quarantine()[id_of(start)].state == "waiting"

    world.asks_to_enrol("safety", "A", at=DAWN + HOUR)

    assert world.quarantine() == {}
    assert world.enrolments("A")["safety"].enrolled_at == DAWN + HOUR


def test_s12_a_withdrawal_by_name_after_one_by_rule_does_not_make_it_stand_longer(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.has_course("safety", "manual", at=DAWN + 2 * HOUR)
    world.withdraws("safety", "A", at=DAWN + 6 * HOUR)

    start = world.starts("A", "safety", at=DAWN + 4 * HOUR)

    assert world.quarantine()[id_of(start)].reason == "not enrolled"


def test_s05_a_start_that_waits_is_taken_when_an_earlier_one_undoes_the_withdrawal(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.has_course("safety", "manual", at=DAWN + 2 * HOUR)
    later = world.starts("A", "safety", at=DAWN + 3 * HOUR)
    assert world.quarantine()[id_of(later)].state == "waiting"

    world.starts("A", "safety", at=DAWN + HOUR)

    assert world.quarantine() == {}
    assert world.enrolments("A")["safety"].started_at == DAWN + HOUR


def test_s14_the_newest_completion_holds_and_none_charges(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)

    world.say("course.completed", at=DAWN + 2 * HOUR, learner="A", course="safety", result="passed", score=0.9)
    world.say("course.completed", at=DAWN + HOUR, learner="A", course="safety", result="failed", score=0.2)

    enrolment = world.enrolments("A")["safety"]
    assert (enrolment.result, enrolment.completed_at) == ("passed", DAWN + 2 * HOUR)
    assert world.ledger() == []
