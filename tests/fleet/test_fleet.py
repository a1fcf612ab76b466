"""The processes of an installation say that they run, on every host; and it is seen which queue has no worker."""

import itertools
import re
import threading
from importlib.metadata import version

import pytest
from sqlalchemy import event

from config.database import transaction
from tasks import fleet
from tests.commands.console import Rollcall, printed, rollcall
from tests.workers.deployment import until
from tests.world import World
from workers.presence import STORE_SECONDS, Presence
from workers.relay import leader

__all__ = ["rollcall"]  # a fixture


def running(world: World) -> list[fleet.Process]:
    with transaction(world.runtime.engine) as connection:
        return fleet.processes(connection)


def test_status_shows_the_processes_of_other_hosts_and_the_queues_without_any(
    world: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host, queues in (("mars", ["mail", "bulk"]), ("venus", ["mail"])):
        monkeypatch.setattr("workers.presence.socket.gethostname", lambda host=host: host)
        Presence(world.runtime, fleet.ProcessRole.POOL, queues).say()
    world.execute("UPDATE processes SET busy_with = '2 mail.deliver' WHERE host = 'venus'")

    found = printed("status", rollcall("status", "--json"))
    shown = rollcall("status").stdout

    assert [(one["host"], one["queues"], one["release"]) for one in found["fleet"]] == [
        ("venus", ["mail"], version("rollcall")),
        ("mars", ["mail", "bulk"], version("rollcall")),
    ]
    assert found["unserved"] == ["tasks"]
    assert re.search(r"tasks +0 .* nobody works on it", shown)
    assert "2 processes on 2 hosts" in " ".join(shown.split())
    assert re.search(r"pool mail +venus .* 2 mail.deliver", shown)


def test_a_process_is_seen_as_it_begins_and_gone_as_it_ends_and_the_leader_is_known(world: World) -> None:
    first, second = (Presence(world.runtime, fleet.ProcessRole.RELAY) for _ in range(2))
    relay = threading.Thread(target=leader.run, args=(world.runtime, first))
    with second.shown(), first.shown():
        relay.start()
        until(lambda: [one.leads for one in running(world)].count(True) == 1, "one of them leads")
        assert len(running(world)) == 2
        world.runtime.stopping.set()
        relay.join(20)
        until(lambda: not any(one.leads for one in running(world)), "nobody leads any more")
    assert running(world) == []


def test_a_process_that_no_longer_says_so_is_gone_and_is_forgotten_by_the_next_that_does(world: World) -> None:
    dead, living = (Presence(world.runtime, fleet.ProcessRole.INGRESS) for _ in range(2))
    dead.say()
    world.execute("UPDATE processes SET seen_at = now() - interval '3 minutes'")
    assert running(world) == []
    world.execute("UPDATE processes SET seen_at = now() - interval '1 hour'")
    living.say()

    assert len(running(world)) == world.ask("SELECT count(*) FROM processes") == 1


def test_an_idle_process_asks_the_database_once_a_minute(world: World) -> None:
    minutes = 20
    clock = itertools.count(1000, STORE_SECONDS)
    presence = Presence(world.runtime, fleet.ProcessRole.POOL, ["mail"], clock=lambda: next(clock))
    asked: list[str] = []
    event.listen(world.runtime.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    for _ in range(minutes * round(60 / STORE_SECONDS)):
        presence.say()

    assert 1 <= len(asked) <= minutes + 1
