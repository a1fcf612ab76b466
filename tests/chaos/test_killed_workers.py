"""R18, R19: a worker is killed every two seconds; nobody is lost, and nobody gets two unless the ledger foresaw it."""

import pytest

from bench.system import System
from tests.chaos.conftest import MAILS, ROUNDS, tell
from tests.chaos.slaughter import BEGUN_AT_MOST, WORKERS, Aftermath, deployment


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_r19_with_policy_hold_nobody_is_lost_and_nobody_gets_two(on: System, turn: int) -> None:
    with deployment(on, MAILS, seed=turn) as running:
        running.announce("hold")
        running.slaughter()
        left = running.aftermath()
    tell("hold", left)

    assert left.kills > 0
    held(left)
    assert len(left.uncertain) <= left.kills * BEGUN_AT_MOST


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_r19_with_policy_resend_everybody_gets_it_and_only_the_doubtful_twice(on: System, turn: int) -> None:
    with deployment(on, MAILS, seed=100 + turn) as running:
        running.announce("resend")
        running.slaughter()
        left = running.aftermath()
    tell("resend", left)

    assert left.kills > 0
    assert left.state == "finished"
    assert left.lost == set()
    assert left.accepted == left.selected == set(left.at_sink)
    assert left.twice <= set(left.doubted), "each possible duplicate was marked uncertain"
    assert len(left.doubted) <= left.kills * BEGUN_AT_MOST
    assert {len(ids) for ids in left.message_ids.values()} == {1}, "a second copy is known by its Message-ID"


def test_r33_killed_workers_an_emptied_queue_and_a_crashed_database_cost_time_never_work(on: System) -> None:
    worse: list[str] = []

    def meanwhile(settled: float) -> None:
        if settled > 0.3 and not worse:
            on.redis.flushall()
            worse.append("the queue is emptied")
        elif settled > 0.6 and len(worse) == 1:
            running.crash_database()
            worse.append("the database has crashed")

    with deployment(on, MAILS, seed=200) as running:
        running.announce("hold")
        running.slaughter(meanwhile)
        left = running.aftermath()
    tell("hold, the queue emptied and the database crashed once", left)

    assert len(worse) == 2
    held(left)
    assert len(left.uncertain) <= (left.kills + WORKERS) * BEGUN_AT_MOST


def held(left: Aftermath) -> None:
    """Every recipient is accepted and got one, or is uncertain and got at most one."""
    assert left.state == "finished"
    assert left.lost == set()
    assert left.accepted | left.uncertain == left.selected
    assert left.accepted & left.uncertain == set()
    assert left.accepted <= left.at_sink.keys() <= left.selected
    assert left.twice == set()
