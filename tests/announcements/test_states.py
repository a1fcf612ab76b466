"""From draft to finished, as an admin moves it: R16, R18, R20, S9."""

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from config.database import transaction
from tasks.announcements import finish_mailings
from tasks.work.store import offer
from tests.announcements.conftest import Admin
from tests.mail.background import DEADLINE, Background
from tests.world import World, work_on

LEARNERS = 60

#: Connections of one worker, and so messages under way at once.
CONNECTIONS = 4


@pytest.fixture
def underway(world: World) -> World:
    """An announcement to sixty that has not been worked on yet."""
    world.has_learners(*(f"L{n}" for n in range(LEARNERS)))
    world.announces()
    return world


def test_r20_after_a_pause_no_message_begins_until_it_is_resumed(underway: World, admin: Admin) -> None:
    with Background(underway) as worker:
        worker.until_asked()
        assert admin("pause", "news") == {"announcement": "news", "state": "paused"}
        worker.until_the_verdict_is_old()
        worker.let_go()
    begun = underway.mail.named
    assert begun <= CONNECTIONS, "only what was under way"
    counts = underway.progress("news")
    assert (counts.state, counts.accepted, counts.pending) == ("paused", begun, LEARNERS - begun)
    underway.comes_to_rest()
    assert underway.mail.named == begun
    assert underway.out("announcement.finished") == []

    assert admin("resume", "news") == {"announcement": "news", "state": "sending"}
    underway.comes_to_rest()

    assert len(set(underway.mail.recipients)) == len(underway.mail.recipients) == LEARNERS
    assert underway.progress("news").state == "finished"


def test_r20_after_a_cancel_no_message_begins_and_the_counts_add_up(underway: World, admin: Admin) -> None:
    with Background(underway) as worker:
        worker.until_asked()
        assert admin("cancel", "news") == {"announcement": "news", "state": "cancelled"}
        worker.until_the_verdict_is_old()
        worker.let_go()
    begun = underway.mail.named
    underway.comes_to_rest()

    assert begun == underway.mail.named <= CONNECTIONS
    counts = underway.progress("news")
    assert (counts.state, counts.selected, counts.pending) == ("cancelled", LEARNERS, 0)
    assert (counts.accepted, counts.cancelled) == (begun, LEARNERS - begun)
    assert underway.out("announcement.finished") == []
    assert admin("resume", "news") is None


def test_r20_what_is_paused_can_be_cancelled(underway: World, admin: Admin) -> None:
    admin("pause", "news")
    underway.comes_to_rest()
    admin("cancel", "news")
    underway.comes_to_rest()

    assert underway.progress("news").cancelled == LEARNERS
    assert underway.mail.named == 0


def test_launched_twice_at_once_it_launches_once(world: World, environment: dict[str, str], admin: Admin) -> None:
    world.has_learners("A", "B")
    admin("create", "--id", "news", "--subject", "News", "--body", "Hello.", "--everyone")
    command = [sys.executable, "-m", "workers.cli", "announcements", "launch", "news", "-o", "acme"]
    both = [subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate()[1].decode() for process in both]

    assert sorted(process.returncode for process in both) == [0, 1]
    assert any("the announcement news is sending" in line for line in said)
    world.comes_to_rest()
    assert world.mail.recipients == ["a@acme.example", "b@acme.example"]
    assert admin("launch", "news") is None


def test_r20_what_is_scheduled_rests_until_its_time_and_then_fires(world: World) -> None:
    world.has_learners("A")
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    world.announces(send_at=soon.isoformat())
    world.comes_to_rest()
    assert (world.progress("news").state, world.mail.recipients) == ("scheduled", [])

    while world.progress("news").state != "finished":
        assert datetime.now(UTC) < soon + timedelta(seconds=DEADLINE)
        world.settle()

    assert world.mail.recipients == ["a@acme.example"]
    assert world.ask("SELECT launched_at >= send_at FROM mailings")


def test_r20_an_event_says_on_whose_clocks_its_time_is(world: World) -> None:
    for id_, zone in (("theirs", "Europe/Amsterdam"), ("empty", ""), ("none", None)):
        world.announces(id_, send_at="2998-12-24T09:00", time_zone=zone)

    assert world.rows("SELECT id, send_at, time_zone FROM mailings ORDER BY mailing") == [
        ("theirs", datetime(2998, 12, 24, 8, tzinfo=UTC), "Europe/Amsterdam"),
        ("empty", datetime(2998, 12, 24, 9, tzinfo=UTC), None),
        ("none", datetime(2998, 12, 24, 9, tzinfo=UTC), None),
    ]


def test_s09_who_is_inactive_at_the_scheduled_time_is_left_out(world: World) -> None:
    world.has_learners("A", "B")
    world.announces(send_at=(datetime.now(UTC) + timedelta(seconds=0.3)).isoformat())
    world.becomes("inactive", "B")
    world.has_learners("C")

    while world.progress("news").state != "finished":
        world.settle()

    assert world.mail.recipients == ["a@acme.example", "c@acme.example"]
    assert world.progress("news").skipped == {"inactive": 1}


def test_r20_what_is_later_than_its_grace_asks_instead_of_firing(world: World, admin: Admin) -> None:
    world.has_learners("A")
    late = datetime.now(UTC) - timedelta(seconds=world.runtime.settings.rollcall_grace_seconds + 60)
    world.announces(send_at=late.isoformat())
    world.announces("in-time", send_at=(late + timedelta(seconds=120)).isoformat())

    with capture_logs() as lines:
        world.comes_to_rest()

    assert [line["announcement"] for line in lines if line["event"] == "announcement.late"] == ["news"]
    assert (world.progress("news").state, world.progress("news").selected) == ("late", 0)
    assert world.progress("in-time").state == "finished"
    assert len(world.mail.taken) == 1
    assert admin("launch", "news") == {"announcement": "news", "state": "sending"}
    world.comes_to_rest()
    assert len(world.mail.taken) == 2


def test_r18_finished_is_not_said_of_what_is_cancelled_at_that_moment(world: World) -> None:
    world.has_learners("A")
    world.announces()
    with transaction(world.runtime.engine) as connection:
        offers = offer(connection, "bulk", bound=8, repeat=timedelta(minutes=1))
    for one in offers:
        work_on(world.runtime, one.actor, one.organisation, one.work)

    def close() -> None:
        with transaction(world.runtime.engine) as connection:
            finish_mailings(connection)

    relay = threading.Thread(target=close)
    with transaction(world.runtime.engine) as connection:
        connection.exec_driver_sql("UPDATE mailings SET state = 'cancelled'")
        relay.start()
        while not world.waiting():
            assert relay.is_alive(), "it did not wait for the cancellation"
    relay.join(DEADLINE)
    world.settle()

    assert world.progress("news").state == "cancelled"
    assert world.out("announcement.finished") == []


def test_r18_what_is_said_to_be_finished_adds_up(world: World) -> None:
    world.has_learners("fine", "refused", "hung-up", "gone", "no-address")
    world.has_learners("no-address", email=None)
    world.has_learners("inactive", status="inactive")
    world.mail.on_recipient = lambda address, _times: "550 no" if address.startswith("refused@") else None
    world.mail.hangs_up = lambda address: address.startswith("hung-up@")
    world.announces()
    world.becomes("inactive", "gone")

    world.comes_to_rest()

    assert world.out("announcement.finished") == [
        {
            "announcement": "news",
            "state": "finished with failures",
            "selected": 6,
            "accepted": 1,
            "skipped": {"inactive": 2, "no address": 1},
            "failed": 1,
            "cancelled": 0,
            "uncertain": 1,
            "pending": 0,
        }
    ]


def test_r18_what_was_scheduled_and_is_launched_by_hand_finishes_now(world: World, admin: Admin) -> None:
    world.has_learners("A")
    world.announces(send_at=(datetime.now(UTC) + timedelta(days=30)).isoformat())

    assert admin("launch", "news") == {"announcement": "news", "state": "sending"}
    world.settle()

    assert (world.progress("news").state, world.mail.recipients) == ("finished", ["a@acme.example"])
    assert [told["state"] for told in world.out("announcement.finished")] == ["finished"]


def test_r20_what_is_woken_before_its_time_waits_for_it(world: World) -> None:
    world.has_learners("A")
    world.announces(send_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    world.execute("UPDATE work SET due_at = now() - interval '1 second'")

    world.settle()

    assert world.progress("news").state == "scheduled"
    assert world.ask("SELECT due_at > now() + interval '50 minutes' FROM work") is True
