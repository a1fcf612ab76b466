"""R18, R19, R26, R32: the primary of PostgreSQL is killed, and Rollcall goes on with the one that takes its place."""

from collections.abc import Iterator

import pytest

from bench.system import System, system
from tests.failover.cluster import Cluster, cluster
from tests.failover.load import Load, rides_it_out

pytestmark = pytest.mark.serves


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """Two, of which one follows the other."""
    with cluster() as found:
        yield found


@pytest.fixture(scope="module")
def on(nodes: Cluster) -> Iterator[System]:
    """Rollcall's servers, with the cluster for its PostgreSQL."""
    with system(nodes.url()) as found:
        yield found


def test_r18_r19_r26_r32_the_primary_is_killed_and_nothing_is_lost_or_doubled(nodes: Cluster, on: System) -> None:
    rides_it_out(nodes, on, Load(learners=600, mails=400, starts=300, kills=(0.2,), portion=100))
