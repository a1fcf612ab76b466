"""How soon an event takes effect on an idle system."""

import statistics
import time
from typing import Any

import psycopg

from tests.workers.deployment import DEADLINE, Deployment, until
from tests.world import World

REACTIVATIONS = 200


def test_r04_on_an_idle_system_access_comes_back_within_a_tenth_of_a_second(
    platform: World, deployment: Deployment
) -> None:
    platform.has_learners("A", status="inactive")
    platform.has_course("safety", "everyone")
    platform.settle()
    deployment.start("ingress", "relay")
    until(lambda: deployment.redis.exists("rollcall:in") == 1, "the ingress")
    seconds: list[float] = []
    with psycopg.connect(platform.runtime.endpoints.database_url, autocommit=True) as connection:
        _tell_of_access(connection)
        for _ in range(REACTIVATIONS):
            seconds.append(_takes(platform, deployment, connection, "active"))
            _takes(platform, deployment, connection, "inactive")
    seconds.sort()
    median, p99 = statistics.median(seconds), seconds[int(REACTIVATIONS * 0.99) - 1]
    print(f"from XADD to committed: median {median * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms")  # noqa: T201
    assert len(platform.list("SELECT 1 FROM outbox WHERE type = 'rollcall.access.activated'")) == REACTIVATIONS
    assert median < 0.1
    assert p99 < 0.25


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


def _takes(platform: World, deployment: Deployment, connection: psycopg.Connection[Any], status: str) -> float:
    """Change a learner's status; seconds from the event to the commit."""
    body = platform.event("learner.status_changed", {"learner": "A", "status": status})
    began = time.perf_counter()
    deployment.publish(body)
    for notice in connection.notifies(timeout=DEADLINE, stop_after=1):
        assert notice.payload == status
        return time.perf_counter() - began
    raise AssertionError(f"never became {status}")
