"""Several processes that send to webhooks: one at a time serves each, and another when that one dies."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import psutil
import pytest

from config.database import transaction
from tasks import webhooks
from tests.webhooks.receiver import Receiver, receiving, saying
from tests.workers.deployment import Deployment, until
from tests.world import World
from workers.webhooks import LOOK_SECONDS

PROCESSES = ("webhooks", "other webhooks")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def deployment(platform: World, tmp_path: Path) -> Iterator[Deployment]:
    found = Deployment(platform.runtime, tmp_path, webhooks_private=True, webhooks_timeout_seconds=5)
    yield found
    found.stop()


def published(platform: World, *learners: str) -> list[str]:
    """These learners are made active or inactive; the ids of the events that tell of it."""
    before = len(platform.out())
    platform.becomes("active" if before else "inactive", *learners)
    platform.settle()
    return [event["id"] for event in platform.out()[before:]]


def server_of(deployment: Deployment, port: int) -> str:
    """The process at the other end of a connection."""
    return next(
        name
        for name in PROCESSES
        for connection in psutil.Process(deployment.processes[name].pid).net_connections("tcp")
        if connection.laddr.port == port
    )


@pytest.mark.slow
def test_two_processes_send_everything_once_and_one_takes_over_from_the_other(
    platform: World, deployment: Deployment, receiver: Receiver
) -> None:
    learners = [f"L{n}" for n in range(60)]
    platform.has_learners(*learners)
    _, kept = webhooks.SigningKeys(platform.runtime.endpoints.secret_key).make()
    with transaction(platform.runtime.engine, webhooks.PLATFORM) as connection:
        for n in range(3):
            webhooks.add(connection, webhooks.PLATFORM, f"hook{n}", f"{receiver.url}&n={n}", None, kept, None)
    ids = published(platform, *learners)

    def take_longer_than_a_look(connection: BinaryIO) -> None:
        threading.Event().wait(1.2 * LOOK_SECONDS)
        connection.write(saying(200))

    receiver.will(*[take_longer_than_a_look] * 6)
    deployment.start(*PROCESSES)
    until(lambda: len(receiver.requests) >= 3 * len(ids) and at_rest(platform), "everything sent")

    for n in range(3):
        assert [request.id for request in receiver.requests if request.path.endswith(f"n={n}")] == ids
    assert min(platform.list("SELECT count(*) FROM webhook_attempts WHERE delivered GROUP BY webhook")) == len(ids)

    platform.execute("DELETE FROM webhooks WHERE id <> 'hook0'")
    receiver.requests.clear()
    killed: list[str] = []

    def die(connection: BinaryIO) -> None:
        name = server_of(deployment, receiver.requests[-1].peer)
        deployment.kill(name)
        killed.append(name)

    receiver.will(saying(200), die)
    more = published(platform, *learners[:3])
    until(lambda: len(killed) == 1, "one dies")
    assert len(receiver.requests) == 2
    platform.execute("UPDATE webhooks SET due_at = now()")  # the lease runs out
    until(lambda: at_rest(platform), "another takes over")

    assert [request.id for request in receiver.requests] == [more[0], more[1], *more]


def at_rest(platform: World) -> bool:
    """Whether every webhook has been sent everything, and that is written down."""
    found: Any = platform.list("SELECT position >= (SELECT ordered FROM publication) FROM webhooks")
    return all(found)
