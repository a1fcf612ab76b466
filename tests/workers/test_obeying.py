"""R20: every worker obeys a pause and a cancellation within one second, by the mail server's own clock."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Connection

from tasks import announcements
from tests.announcements.counting import adds_up
from tests.workers.conftest import crowd
from tests.workers.deployment import Deployment, until
from tests.workers.recorder import Recorder
from tests.world import World

#: So many that they last longer than what is looked at, at the rate of this machine.
LEARNERS = 6000

#: Messages after which the order is given: both workers are at full speed by then.
UNDER_WAY = 600

Move = Callable[[Connection, int, announcements.Announcement], str]


@pytest.fixture
def workers(platform: World, recorder: Recorder, tmp_path: Path) -> Iterator[Deployment]:
    """Two processes that send an announcement to thousands."""
    runtime = crowd(platform, LEARNERS, recorder)
    found = Deployment(runtime, tmp_path, mail_batch=1000, mail_group=20)  # a piece lasts longer than a second
    found.start("relay", "tasks", "bulk", "other bulk")
    until(lambda: all("pool.started" in found.log(name) for name in ("bulk", "other bulk")), "two workers")
    platform.announces()
    yield found
    found.stop()


def give(platform: World, move: Move) -> float:
    """An admin gives an order; when it is committed."""
    with platform.about() as (connection, org):
        found = announcements.find(connection, org.organisation, "news")
        assert found is not None
        move(connection, org.organisation, found)
    return time.monotonic()


def both_send(workers: Deployment, recorder: Recorder) -> bool:
    """Whether each of the two has connections to the mail server."""
    processes = [psutil.Process(workers.processes[name].pid) for name in ("bulk", "other bulk")]
    return all(
        any(connection.raddr and connection.raddr.port == recorder.port for connection in process.net_connections())
        for process in processes
    )


def test_r20_no_message_begins_later_than_a_second_after_a_pause_and_none_is_lost(
    platform: World, workers: Deployment, recorder: Recorder
) -> None:
    until(lambda: len(recorder.begun) > UNDER_WAY and both_send(workers, recorder), "two workers at full speed")
    paused = give(platform, lambda *what: announcements.pause(*what, by="Ada"))
    begun = len(recorder.begun)
    until(lambda: time.monotonic() > paused + 1.5, "a second, and half of one")
    until(lambda: platform.ask("SELECT count(*) FROM work WHERE state <> 'held'") == 0, "everything rests")
    late = [seconds for seconds in recorder.after(paused) if seconds > 1]
    counts = adds_up(platform)
    assert late == []
    assert (counts.state, counts.accepted) == ("paused", len(recorder.begun))
    assert begun < LEARNERS / 2, "it was under way"
    assert counts.pending > 0

    asked = time.monotonic()
    give(platform, lambda *what: announcements.resume(*what, by="Ada"))
    workers.rests()

    assert [at for at, _ in recorder.begun if paused + 1 < at < asked] == [], "nothing began in between"
    assert recorder.recipients == sorted(f"l{n}@acme.example" for n in range(1, LEARNERS + 1))
    counts = adds_up(platform)
    assert (counts.state, counts.accepted) == ("finished", LEARNERS)


@pytest.mark.slow
def test_r20_no_message_begins_later_than_a_second_after_a_cancellation_and_the_rest_is_cancelled_at_once(
    platform: World, workers: Deployment, recorder: Recorder
) -> None:
    until(lambda: len(recorder.begun) > UNDER_WAY and both_send(workers, recorder), "two workers at full speed")
    cancelled = give(platform, lambda *what: announcements.cancel(*what, by="Ada"))
    workers.rests()
    took = time.monotonic() - cancelled

    assert [seconds for seconds in recorder.after(cancelled) if seconds > 1] == []
    assert took < 10, "the rest is cancelled as a whole"
    counts = adds_up(platform)
    assert (counts.state, counts.pending, counts.uncertain) == ("cancelled", 0, 0)
    assert counts.accepted == len(recorder.begun) == len(set(recorder.recipients))
    assert counts.cancelled == LEARNERS - counts.accepted > 0
    assert [told["cancelled"] for told in platform.out("announcement.cancelled")] == [counts.cancelled]
