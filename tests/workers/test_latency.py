"""How soon an event takes effect on an idle system."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.workers.deployment import DEADLINE, Deployment, until
from tests.world import World

REACTIVATIONS = 40

#: How many times as long as the yardstick it may take: on a machine where that takes some milliseconds, a pause of
#: anybody's of a tenth of a second is far more; on one that is busy, both take as much longer.
TIMES = 12

#: Waits for an entry in a stream, and writes what it heard in a transaction of ten statements: about what a change of
#: status takes, without anything of ours.
YARDSTICK = """
import sys, psycopg, redis
client = redis.Redis.from_url(sys.argv[1], socket_timeout=None)
with psycopg.connect(sys.argv[2], autocommit=True) as connection:
    last = b"0"
    while True:
        [(_, [(last, _)])] = client.xread({"yardstick": last}, block=0)
        with connection.transaction():
            for _ in range(10):
                connection.execute("SELECT 1")
            connection.execute("SELECT pg_notify('standing', 'measured')")
"""


@pytest.fixture
def yardstick(deployment: Deployment) -> Iterator[None]:
    """Somebody who does no more than must be done."""
    found = deployment.runtime.endpoints
    process = subprocess.Popen([sys.executable, "-c", YARDSTICK, found.redis_url, found.database_url])
    yield
    process.kill()
    process.wait()


def test_r04_on_an_idle_system_access_comes_back_as_soon_as_it_can_be_written(
    platform: World, deployment: Deployment, yardstick: None
) -> None:
    platform.has_learners("A", status="inactive")
    platform.has_course("safety", "everyone")
    platform.settle()
    deployment.start("ingress", "relay")
    until(lambda: deployment.redis.exists("rollcall:in") == 1, "the ingress")
    ours: list[float] = []
    theirs: list[float] = []
    with psycopg.connect(platform.runtime.endpoints.database_url, autocommit=True) as connection:
        _tell_of_access(connection)
        for _ in range(REACTIVATIONS):
            ours.append(_becomes(platform, deployment, connection, "active"))
            _becomes(platform, deployment, connection, "inactive")
            theirs.append(_takes(connection, "measured", lambda: deployment.redis.xadd("yardstick", {"a": "b"})))
    median, least = statistics.median(ours), statistics.median(theirs)
    print(f"from XADD to committed: median {median * 1000:.1f} ms, yardstick {least * 1000:.1f} ms")  # noqa: T201
    assert len(platform.list("SELECT 1 FROM outbox WHERE type = 'rollcall.access.activated'")) == REACTIVATIONS
    assert median < TIMES * least


def _tell_of_access(connection: psycopg.Connection[Any]) -> None:
    """Have the database tell of each change of a learner's standing, when it is committed."""
    connection.execute(
        """
        CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_notify('standing', NEW.standing::text); RETURN NULL; END $$
        """
    )
    connection.execute("CREATE TRIGGER tell AFTER UPDATE OF standing ON learners FOR EACH ROW EXECUTE FUNCTION tell()")
    connection.execute("LISTEN standing")


def _becomes(platform: World, deployment: Deployment, connection: psycopg.Connection[Any], status: str) -> float:
    """Change a learner's status; seconds from the event to the commit."""
    body = platform.event("learner.status_changed", {"learner": "A", "status": status})
    return _takes(connection, status, lambda: deployment.publish(body))


def _takes(connection: psycopg.Connection[Any], heard: str, cause: Callable[[], object]) -> float:
    """Seconds until it is heard of."""
    began = time.perf_counter()
    cause()
    for notice in connection.notifies(timeout=DEADLINE, stop_after=1):
        assert notice.payload == heard
        return time.perf_counter() - began
    raise AssertionError(f"never heard: {heard}")
