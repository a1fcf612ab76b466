"""What a worker of a pool does with a wake-up: R31, R33."""

import logging
import re
from datetime import timedelta
from pathlib import Path

import pytest

from config.database import transaction
from config.runtime import Runtime
from tasks import work
from tasks.mail.actors import deliver
from tasks.work.actors import REGISTRY
from tasks.work.store import LostLease, Piece, offer
from tests.round_trips import counted
from tests.workers.deployment import until
from tests.workers.test_news import running
from tests.world import World
from workers import pool
from workers.pool import Leases
from workers.queues import Broker, message_for
from workers.relay.wake import Wake


def woken(world: World, times: int = 1) -> None:
    """A piece of mail is to be done, and the pool was woken for it so often."""
    with transaction(world.runtime.engine, 1) as connection:
        work.add(connection, 1, "mail", "mail.deliver", 1)
    with transaction(world.runtime.engine) as connection:
        [one] = offer(connection, "mail", bound=8, repeat=timedelta(minutes=1))
    Broker(world.runtime.endpoints.redis_url).wake(
        "mail", [message_for("mail", one.actor, one.organisation, one.work)] * times
    )


def works(runtime: Runtime) -> None:
    pool.run(runtime, ["mail"], 2)


ROOT = Path(__file__).parents[2]
ACTOR = re.compile(r'(?m)^@actor\("([\w.]+)"')


def test_every_actor_is_named_for_its_capability_and_says_what_it_does() -> None:
    assert {
        name: actor.fn.__module__.split(".")[1] for name, actor in REGISTRY.actors.items() if "." in name
    } == dict.fromkeys(("announcements.audience", "announcements.cancel", "announcements.launch",
                        "announcements.survey"), "announcements") | {
        "analytics.count": "analytics", "imports.drop": "imports",
        "enrolments.chunk": "enrolments", "enrolments.survey": "enrolments", "events.retake": "intake",
        "events.take_turn": "intake", "imports.run": "imports", "learners.erase": "erasure",
        "mail.deliver": "mail",
    }  # fmt: skip
    assert all(actor.fn.__doc__ for actor in REGISTRY.actors.values())
    written = [name for file in ROOT.glob("tasks/*/actors.py") for name in ACTOR.findall(file.read_text("utf-8"))]
    assert {*written} == {name for name in REGISTRY.actors if "." in name}, "a pool knows them all: workers/pool.py"


def test_a_mail_to_one_person_is_claimed_in_four_round_trips(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(world.runtime, monkeypatch) as trips:
        wake, leases = Wake(trips.runtime), Leases(trips.runtime)
        broker = Broker(world.runtime.endpoints.redis_url)
        for _ in range(2):  # the first time, the connections are made
            with transaction(trips.runtime.engine, 1) as connection:
                work.add(connection, 1, "mail", "mail.deliver", 1)
            trips.since()
            wake.do()
        assert trips.since() == {"postgresql": 2, "redis": 1}, "the offer, the wake-up, when more is due"
        message = next(broker.consume("mail"))
        assert message is not None
        trips.since()
        leases.before_process_message(broker, message)
        assert trips.since() == {"postgresql": 1, "redis": 0}, "the claim"
        assert not message.failed
        leases.after_process_message(broker, message)


@pytest.mark.parametrize("problem", [ValueError("jane@acme.example"), LostLease("jane@acme.example")])
def test_r33_what_fails_is_given_back_and_no_log_quotes_it(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, problem: Exception
) -> None:
    def fail(_runtime: Runtime, _piece: Piece) -> None:
        raise problem

    monkeypatch.setattr(deliver, "fn", fail)
    given_back = [("running", 0)] if isinstance(problem, LostLease) else [("due", 1)]
    with caplog.at_level(logging.WARNING), running(world.runtime, works):
        woken(world)
        until(lambda: world.rows("SELECT state, failures FROM work") == given_back, "it is given back")

    assert "jane" not in caplog.text
    assert not [line for line in caplog.records if line.name.startswith("dramatiq")]


def test_r33_a_piece_that_is_not_to_be_had_is_left_alone_without_a_word(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[Piece] = []

    def finish(runtime: Runtime, piece: Piece) -> None:
        done.append(piece)
        with transaction(runtime.engine, piece.organisation) as connection:
            work.finish(connection, piece)

    monkeypatch.setattr(deliver, "fn", finish)
    with caplog.at_level(logging.WARNING), running(world.runtime, works):
        woken(world, times=20)
        until(lambda: not world.ask("SELECT count(*) FROM work"), "it is done")
        until(lambda: not world.redis.llen("rollcall:queue:mail"), "every message was read")

    assert len(done) == 1
    assert not caplog.records
