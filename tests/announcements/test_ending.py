"""Cancelling as a whole, and what is told of it. R19, R20."""

from datetime import timedelta

import pytest

from config.database import transaction
from config.settings import Settings
from tasks import announcements
from tasks.work.store import claim, offer
from tests.announcements.conftest import Admin
from tests.announcements.counting import adds_up
from tests.mail.background import Background
from tests.world import World, work_on

LEARNERS = 30


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """An audience of few pieces."""
    return settings.model_copy(update={"rollcall_mail_batch": 5, "rollcall_mail_group": 5})


@pytest.fixture
def underway(world: World) -> World:
    """An announcement to thirty, in six pieces, that has not been worked on yet."""
    world.has_learners(*(f"L{n:02}" for n in range(LEARNERS)))
    world.announces()
    return world


def test_r20_what_nobody_works_on_is_cancelled_without_a_mail_worker(underway: World, admin: Admin) -> None:
    admin("cancel", "news")
    with transaction(underway.runtime.engine) as connection:
        (piece,) = offer(connection, "tasks", bound=8, repeat=timedelta(minutes=1))
    work_on(underway.runtime, piece.actor, piece.organisation, piece.work)

    counts = adds_up(underway)
    assert (counts.cancelled, counts.pending) == (LEARNERS, 0)
    assert underway.ask("SELECT count(*) FROM work") == 0
    assert underway.list("SELECT DISTINCT reason FROM deliveries") == ["cancelled"]
    assert underway.out("announcement.cancelled") == [], "the relay has not looked yet"
    underway.settle()
    assert underway.out("announcement.cancelled") == [
        {
            "announcement": "news",
            "state": "cancelled",
            "selected": LEARNERS,
            "accepted": 0,
            "skipped": {},
            "failed": 0,
            "cancelled": LEARNERS,
            "uncertain": 0,
            "pending": 0,
        }
    ]


def test_r19_what_is_under_way_is_not_said_to_be_cancelled(underway: World, admin: Admin) -> None:
    with Background(underway) as worker:
        worker.until_asked()
        admin("cancel", "news")
        with transaction(underway.runtime.engine) as connection:
            (piece,) = offer(connection, "tasks", bound=8, repeat=timedelta(minutes=1))
        work_on(underway.runtime, piece.actor, piece.organisation, piece.work)
        counts = adds_up(underway)
        assert (counts.cancelled, counts.pending) == (LEARNERS - 5, 5), "the piece that is worked on is left alone"
        worker.until_the_verdict_is_old()
        worker.let_go()
    underway.comes_to_rest()

    counts = adds_up(underway)
    assert counts.accepted == len(underway.mail.taken) > 0
    assert (counts.pending, counts.uncertain) == (0, 0)
    assert [told["accepted"] for told in underway.out("announcement.cancelled")] == [counts.accepted]


@pytest.mark.parametrize("paused", [False, True])
def test_r19_what_a_lost_worker_had_begun_is_uncertain_though_it_is_cancelled(
    paused: bool, underway: World, admin: Admin
) -> None:
    with transaction(underway.runtime.engine) as connection:
        piece = offer(connection, "bulk", bound=1, repeat=timedelta(minutes=1))[0]
    with transaction(underway.runtime.engine, 1) as connection:
        assert claim(connection, 1, piece.work, timedelta(minutes=1)) is not None
    underway.execute("UPDATE work SET begun = low + 2, state = 'due', due_at = now() WHERE state = 'running'")
    if paused:
        admin("pause", "news")
    admin("cancel", "news")
    underway.comes_to_rest()

    counts = adds_up(underway)
    assert (counts.uncertain, counts.cancelled, counts.pending) == (3, LEARNERS - 3, 0)
    assert underway.mail.named == 0


@pytest.mark.parametrize("stopping", [False, True])
def test_r20_cancelling_takes_its_turns(
    underway: World, admin: Admin, monkeypatch: pytest.MonkeyPatch, stopping: bool
) -> None:
    """And stops between them where its process is to end."""
    monkeypatch.setattr("tasks.announcements.actors.TURN_SECONDS", 60.0 if stopping else 0.0)
    monkeypatch.setattr("tasks.mail.ledger.recipients.PIECES", 2)
    admin("cancel", "news")
    with transaction(underway.runtime.engine) as connection:
        (piece,) = offer(connection, "tasks", bound=8, repeat=timedelta(minutes=1))
    if stopping:
        underway.runtime.stopping.set()
    work_on(underway.runtime, piece.actor, piece.organisation, piece.work)
    underway.runtime.stopping.clear()

    assert adds_up(underway).cancelled == 10
    assert underway.rows("SELECT state, failures, due_at <= now() FROM work WHERE queue = 'tasks'") == [
        ("due", 0, True)
    ]
    underway.settle()
    assert adds_up(underway).cancelled == LEARNERS


def test_r20_a_draft_that_is_cancelled_is_told_of_with_zeros(world: World, admin: Admin) -> None:
    admin("create", "--id", "news", "--subject", "News", "--body", "Hello.", "--everyone")
    admin("cancel", "news")
    world.settle()
    world.settle()

    [told] = world.out("announcement.cancelled")
    assert (told["state"], told["selected"]) == ("cancelled", 0)


def test_r20_two_who_pause_and_one_who_cancels_leave_one_history(underway: World, admin: Admin) -> None:
    with underway.about() as (connection, org):
        found = announcements.find(connection, org.organisation, "news")
    assert found is not None
    admin("pause", "news")
    with underway.about() as (connection, org), pytest.raises(announcements.NotAllowed):
        announcements.pause(connection, org.organisation, found, by="late")
    admin("cancel", "news")

    assert [change["move"] for change in admin("show", "news", "--history")] == ["create", "launch", "pause", "cancel"]
