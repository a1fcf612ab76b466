"""R18, R19, R26, R32: primaries of PostgreSQL are killed one after the other amid everything, and nothing is lost."""

import os

import pytest

from bench.system import system
from tests.chaos.conftest import say
from tests.failover.cluster import Cluster, cluster
from tests.failover.load import Load, rides_it_out

#: Mails, learners of the fan-out, and starts, each sent twice; fewer show that it runs.
MAILS = int(os.environ.get("CHAOS_FAILOVER_MAILS", "50000"))
LEARNERS = int(os.environ.get("CHAOS_FAILOVER_LEARNERS", "200000"))
STARTS = int(os.environ.get("CHAOS_FAILOVER_STARTS", "50000"))

#: What the mail server takes for a message: the mailing is to be under way for as long as primaries are killed.
TAKES_SECONDS = 0.001


def named(nodes: Cluster, way: str) -> str:
    """How `DATABASE_URL` names the cluster."""
    return nodes.url() if way == "HAProxy" else nodes.url_of_hosts()


@pytest.mark.parametrize("way", ["HAProxy", "several hosts"])
def test_r18_r19_r26_r32_two_primaries_die_amid_everything_and_nothing_is_lost_or_doubled(way: str) -> None:
    portion = max(STARTS // 40, 10)
    load = Load(LEARNERS, mails=MAILS, starts=STARTS, kills=(0.05, 0.5), portion=portion, takes=TAKES_SECONDS, look=0.5)
    with cluster(3, durable=True) as nodes, system(named(nodes, way)) as on:
        say(f"failover, by {way}: {rides_it_out(nodes, on, load)}")
