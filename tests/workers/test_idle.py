"""What an installation asks of its servers while nothing happens; `python -m bench idle` has the whole account."""

import time
from typing import Any

import pytest

from tests.workers.deployment import Deployment, until
from tests.world import World
from workers.relay.retention import KeepPartitions

#: What is looked at, and when each has begun to look by itself.
STARTED = {
    "ingress": "ingress.started",
    "relay": "relay.leads",
    "tasks": "pool.started",
    "mail": "pool.started",
    "bulk": "pool.started",
    "webhooks": "webhooks.started",
}

#: Seconds after which PostgreSQL has counted what a session did that is idle (`PGSTAT_IDLE_INTERVAL` in its pgstat.c).
COUNTED_SECONDS = 10.0

#: Seconds looked at; and what may be asked in each: a third of what `bench` bounds statements by, as one transaction
#: is four of them or so.
SECONDS = 5.0
COMMANDS = 60
TRANSACTIONS = 12


@pytest.mark.slow
def test_an_idle_installation_leaves_its_servers_alone(platform: World, deployment: Deployment) -> None:
    KeepPartitions(platform.runtime).do()  # as it would in its first seconds
    deployment.start(*STARTED)
    for name, word in STARTED.items():
        until(lambda name=name, word=word: word in deployment.log(name), f"{name}: {word}")  # type: ignore[misc]
    deployment.rests()
    rested = time.monotonic()
    until(lambda: time.monotonic() - rested >= COUNTED_SECONDS, "the count of what was done before")

    began = time.monotonic()
    before = _asked(platform)
    until(lambda: time.monotonic() - began >= SECONDS, "the end")
    after = _asked(platform)
    lasted = time.monotonic() - began

    assert after[0] - before[0] <= COMMANDS * lasted
    assert after[1] - before[1] <= TRANSACTIONS * lasted


def _asked(platform: World) -> tuple[int, int]:
    """Commands that Valkey has answered, and transactions of this test's database."""
    stats: Any = platform.redis.info("stats")
    found = platform.ask("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")
    return int(stats["total_commands_processed"]), int(found)
