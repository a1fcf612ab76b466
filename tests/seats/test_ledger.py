"""The ledger: overdrawn pools, entries for review, and that nothing in it ever changes: R27, R28, S11, S13."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from tasks.events.quarantine import EventRef
from tasks.intake import release
from tests.world import DAWN, World, id_of

HOUR = timedelta(hours=1)


def reviews(world: World) -> dict[str | None, str | None]:
    """What each learner's entry is flagged for."""
    return {entry.learner: entry.review for entry in world.ledger()}


def review_of_enrolment(world: World, learner: str, course: str) -> str | None:
    """What an enrolment is flagged for, where its start cost nothing."""
    found: str | None = world.ask(
        """
        SELECT e.review FROM enrolments e JOIN learners l USING (organisation, learner) JOIN courses c
        USING (organisation, course) WHERE l.id = :learner AND c.id = :course
        """,
        learner=learner,
        course=course,
    )
    return found


@pytest.mark.parametrize("licence", ["seats", "credits"])
def test_r28_going_past_the_pool_is_recorded_and_flagged_as_overdrawn(world: World, licence: str) -> None:
    world.has_organisation(licence, 2)
    world.has_learners("A", "B", "C", "D")
    world.has_course("safety", "everyone", cost=1)

    world.starts("A", "safety")
    world.send(*(world.event("course.started", {"learner": who, "course": "safety"}) for who in "BCD"))
    world.settle()

    assert [(entry.learner, entry.overdrawn) for entry in world.ledger()] == [
        ("A", False),
        ("B", False),
        ("C", True),
        ("D", True),
    ]
    assert [told["overdrawn"] for told in world.out("seat.consumed")] == [False, False, True, True]


def test_r28_a_pool_without_an_end_is_never_overdrawn(world: World) -> None:
    world.has_organisation("credits", None)
    world.has_learners("A")
    world.has_course("safety", "everyone", cost=2**53)

    world.starts("A", "safety")

    assert [entry.overdrawn for entry in world.ledger()] == [False]


def test_s11_a_pool_is_counted_within_its_licence_period(world: World) -> None:
    world.has_organisation("credits", 1)
    world.has_learners("A", "B")
    world.has_course("safety", "everyone", cost=1)
    world.starts("A", "safety")

    world.has_organisation("credits", 1, licence_starts="2026-02-01", licence_ends="2027-01-31")
    world.starts("B", "safety", at=DAWN + timedelta(days=30))

    assert [entry.overdrawn for entry in world.ledger()] == [False, False]


@pytest.mark.parametrize("corrected", ["2026-01-01T00:00:00+01:00", "2026-01-05"])
def test_r25_a_corrected_period_charges_no_seat_again_and_keeps_what_was_used(world: World, corrected: str) -> None:
    world.has_organisation("seats", 1)
    world.has_learners("A", "B")
    world.has_course("safety", "everyone")
    world.has_course("privacy", "everyone")
    world.starts("A", "safety")

    world.has_organisation("seats", 1, licence_starts=corrected)
    world.starts("A", "privacy")
    world.starts("B", "safety")

    assert [(entry.learner, entry.overdrawn) for entry in world.ledger()] == [("A", False), ("B", True)]


def test_r25_a_new_period_charges_a_seat_anew(world: World) -> None:
    world.has_organisation("seats", 1)
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.starts("A", "safety")

    world.has_organisation("seats", 1, licence_starts="2026-02-01", licence_ends="2027-01-31")
    world.starts("A", "safety", at=DAWN + timedelta(days=30))

    assert [(entry.learner, entry.overdrawn) for entry in world.ledger()] == [("A", False), ("A", False)]


def test_r27_a_start_on_hold_or_outside_the_period_counts_and_is_flagged(world: World) -> None:
    world.has_organisation(licence_starts="2026-01-10", licence_ends="2026-01-10")
    world.has_learners("A", "B", "C", "D", at=DAWN - timedelta(days=3))
    world.has_course("safety", "everyone", at=DAWN - timedelta(days=3))
    world.starts("A", "safety")
    world.starts("B", "safety", at=DAWN - timedelta(days=2))
    world.starts("C", "safety", at=DAWN + timedelta(days=1))

    world.has_course("safety", "everyone", on_hold=True)
    world.starts("D", "safety")

    assert reviews(world) == {
        "A": None,
        "B": "outside licence period",
        "C": "outside licence period",
        "D": "course on hold",
    }


def test_s13_where_a_flagged_start_cost_nothing_the_flag_is_on_the_enrolment(world: World) -> None:
    world.has_organisation("seats", 10)
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.has_course("held", "everyone", on_hold=True)
    world.starts("A", "safety")

    world.starts("A", "held")

    assert reviews(world) == {"A": None}
    assert review_of_enrolment(world, "A", "held") == "course on hold"
    assert review_of_enrolment(world, "A", "safety") is None


def test_s13_resuming_a_course_on_hold_flags_the_enrolment_not_what_was_paid_before(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.starts("A", "safety")
    world.has_course("safety", "everyone", on_hold=True)

    world.starts("A", "safety")

    assert reviews(world) == {"A": None}
    assert review_of_enrolment(world, "A", "safety") == "course on hold"


def test_r28_a_status_that_contradicts_a_consumption_flags_it_and_gives_nothing_back(world: World) -> None:
    world.has_learners("A", "B", at=DAWN)
    world.has_course("safety", "everyone", cost=3, at=DAWN)
    world.starts("A", "safety", at=DAWN + 2 * HOUR)
    world.starts("B", "safety", at=DAWN + 2 * HOUR)

    world.becomes("inactive", "A", at=DAWN + HOUR)
    world.becomes("inactive", "B", at=DAWN + 3 * HOUR)

    assert reviews(world) == {"A": "learner inactive", "B": None}
    assert [entry.amount for entry in world.ledger()] == [3, 3]
    assert world.ask("SELECT used FROM balances") == 6
    started = {id_: world.enrolments(id_)["safety"].started_at for id_ in ("A", "B")}
    assert started == {"A": None, "B": DAWN + 2 * HOUR}, "as if the status had come first"


def test_s13_a_status_that_contradicts_a_start_that_cost_nothing_flags_the_enrolment(world: World) -> None:
    world.has_organisation("seats", 10)
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.has_course("first-aid", "everyone", at=DAWN)
    world.starts("A", "safety", at=DAWN + HOUR)
    world.starts("A", "first-aid", at=DAWN + 3 * HOUR)

    world.becomes("inactive", "A", at=DAWN + 2 * HOUR)

    assert reviews(world) == {"A": None}
    assert review_of_enrolment(world, "A", "first-aid") == "learner inactive"
    assert review_of_enrolment(world, "A", "safety") is None


def test_s13_a_withdrawal_that_contradicts_a_consumption_flags_it(world: World) -> None:
    world.has_learners("A", "B", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.starts("A", "safety", at=DAWN + 2 * HOUR)
    world.starts("B", "safety", at=DAWN + 2 * HOUR)

    world.withdraws("safety", "A", at=DAWN + HOUR)
    world.withdraws("safety", "B", at=DAWN + 3 * HOUR)

    assert reviews(world) == {"A": "not enrolled", "B": None}


def test_s13_leaving_a_segment_before_a_consumption_flags_it(world: World) -> None:
    world.has_learners("A", "B", at=DAWN)
    world.has_segment("s", "A", "B", at=DAWN)
    world.has_course("safety", "segments", segments=["s"], at=DAWN)
    world.starts("A", "safety", at=DAWN + 2 * HOUR)
    world.starts("B", "safety", at=DAWN + 2 * HOUR)

    world.say("segment.left", at=DAWN + HOUR, segment="s", learners=["A"])
    world.say("segment.left", at=DAWN + 3 * HOUR, segment="s", learners=["B"])

    assert reviews(world) == {"A": "not enrolled", "B": None}
    assert (world.access("A"), world.access("B")) == (set(), {"safety"}), "as if both had come in time"


def test_s13_a_method_that_contradicts_a_consumption_flags_it(world: World) -> None:
    world.has_organisation("seats", 10)
    world.has_learners("A", at=DAWN)
    world.has_course("first-aid", "everyone", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.starts("A", "safety", at=DAWN + 2 * HOUR)
    world.starts("A", "first-aid", at=DAWN + 2 * HOUR)

    world.has_course("safety", "manual", at=DAWN + HOUR)
    world.has_course("first-aid", "manual", at=DAWN + HOUR)

    assert reviews(world) == {"A": "not enrolled"}
    assert review_of_enrolment(world, "A", "first-aid") == "not enrolled"
    assert world.access("A") == set(), "as if it had come in time"


@pytest.mark.parametrize(
    "statement", ["UPDATE consumptions SET amount = 0", "DELETE FROM consumptions", "TRUNCATE consumptions"]
)
def test_r28_the_database_itself_refuses_to_change_the_ledger(world: World, statement: str) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.starts("A", "safety")

    with pytest.raises(DBAPIError, match="append-only"):
        world.execute(statement)

    assert len(world.ledger()) == 1


def test_r27_a_quarantined_start_is_neither_charged_nor_lost(world: World) -> None:
    world.has_learners("A", status="inactive")
    world.has_course("safety", "everyone")

    start = world.starts("A", "safety")

    assert world.ledger() == []
    assert bytes(world.ask("SELECT body FROM inbox WHERE id = :id", id=id_of(start))) == start


def test_s13_an_entry_of_a_start_that_was_released_is_not_flagged_for_what_was_known_then(world: World) -> None:
    world.has_learners("A", "B", at=DAWN)
    world.has_course("safety", "everyone", at=DAWN)
    world.becomes("inactive", "A", at=DAWN + HOUR)
    start = world.starts("A", "safety", at=DAWN + 2 * HOUR)
    world.starts("B", "safety", at=DAWN + 2 * HOUR)
    release(world.runtime.engine, world.runtime.settings, EventRef(id_of(start)), by="Kim", why="was there")

    world.becomes("active", "A", at=DAWN + 3 * HOUR)
    world.becomes("inactive", "B", at=DAWN + HOUR)

    assert reviews(world) == {"A": None, "B": "learner inactive"}


def test_s15_the_ledger_and_its_flags_stay_when_a_learner_is_deleted(world: World) -> None:
    world.has_learners("A", at=DAWN)
    world.has_course("safety", "everyone", cost=3, at=DAWN)
    world.starts("A", "safety", at=DAWN + 2 * HOUR)
    world.becomes("inactive", "A", at=DAWN + HOUR)
    [before] = world.ledger()

    world.say("learner.deleted", learner="A")
    world.settle()

    assert world.ledger() == [replace(before, learner=None)]
    assert before.review == "learner inactive"
    assert world.ask("SELECT used FROM balances") == 3
