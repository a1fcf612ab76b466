"""R33: the relay is killed again and again while it publishes, and Redis is emptied: nothing is lost or repeated."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Any

import msgspec
import psycopg
import pytest
import redis

from bench.system import Database, System, wait_until
from config.streams import OUT, make_redis

#: Events that go out, and how many are written in one transaction.
EVENTS = int(os.environ.get("CHAOS_EVENTS", "200000"))
WRITTEN = 100

#: Seconds that a relay leads before it is killed: often in the middle of a batch.
LIVES = (0.02, 0.3)

#: Entries a consumer reads, and acknowledges, at once.
READ = 500

_WRITE = """
    INSERT INTO outbox (organisation, type, data)
    SELECT 1, 'rollcall.seat.consumed', json_build_object('consumption', n)
    FROM generate_series(1, %s) AS n
"""
_PUBLISHED = "SELECT published = {} FROM publication"


class Relays:
    """One relay, killed soon after it leads and replaced at once, until told otherwise."""

    def __init__(self, system: System, database: Database, seed: int) -> None:
        self._system, self._database, self._random = system, database, Random(seed)  # noqa: S311 - repeatable, not secret
        self._log = system.home / "relay under fire.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def start(self) -> None:
        """Start one, and return when it leads."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers.cli", "run", "relay"],
                env=self._system.environment(self._database, {}),
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: b"relay.leads" in self._log.read_bytes(), "a relay that leads")

    def kill(self) -> None:
        """End it with no chance to clean up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self.kills += 1
        self._process = None

    def slaughter(self, over: Callable[[], bool]) -> None:
        """Let one after the other live for a moment, until it is `over`."""
        while not over():
            self.start()
            assert self._process is not None
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self._random.uniform(*LIVES))
            self.kill()


@contextmanager
def writing(database: Database, events: int) -> Iterator[threading.Thread]:
    """Two sessions write events while the block runs, whose numbers become visible out of order; half each."""

    def write() -> None:
        with psycopg.connect(database.url, autocommit=True) as session:
            for _ in range(events // 2 // WRITTEN):
                session.execute(_WRITE, (WRITTEN,))

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield threads[0]
    finally:
        for thread in threads:
            thread.join()


class Consumer(threading.Thread):
    """A consumer that goes on reading and acknowledging whatever happens; what it was given, in order."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self._client, self.name_ = make_redis(url), name
        self._client.xgroup_create(OUT, name, id="0", mkstream=True)
        self.given: list[tuple[int, str]] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        """Read until told to stop."""
        while not self.stopping.is_set():
            try:
                found: Any = self._client.xreadgroup(self.name_, "c", {OUT: ">"}, count=READ, block=100)
                for _, entries in found or []:
                    self.given += [read(entry) for entry in entries]
                    self._client.xack(OUT, self.name_, *(id_ for id_, _ in entries))
            except redis.ResponseError:
                self.stopping.wait(0.01)  # its group is lost; it makes none


def read(entry: tuple[bytes, dict[bytes, bytes]]) -> tuple[int, str]:
    """The position and the event id of an entry."""
    return int(entry[0].split(b"-")[0]), msgspec.json.decode(entry[1][b"event"])["id"]


def on_stream(system: System) -> list[tuple[int, str]]:
    entries: Any = system.redis.xrange(OUT)
    return [read(entry) for entry in entries]


def at_the_end(system: System) -> bool:
    """Whether every group has read and acknowledged everything."""
    return all(group["lag"] == 0 and group["pending"] == 0 for group in system.redis.xinfo_groups(OUT))


def in_outbox(database: Database) -> list[tuple[int, str]]:
    found = database.session.execute("SELECT position, CAST(id AS text) FROM outbox ORDER BY position")
    return [(row[0], row[1]) for row in found.fetchall()]


@pytest.mark.parametrize("seed", range(2))
def test_r33_a_relay_killed_again_and_again_publishes_every_event_once_and_in_order(on: System, seed: int) -> None:
    on.redis.flushall()
    with on.database(f"relay_{seed}", 0) as database:
        relays = Relays(on, database, seed)
        with writing(database, EVENTS):
            relays.slaughter(lambda: bool(database.value(_PUBLISHED.format(EVENTS))))

        assert relays.kills > 3
        assert on_stream(on) == in_outbox(database)
        assert [position for position, _ in on_stream(on)] == list(range(1, EVENTS + 1))


def test_r33_after_redis_lost_everything_each_group_gets_once_what_it_had_not_acknowledged(on: System) -> None:
    on.redis.flushall()
    with on.database("relay_lost", 0) as database:
        relays = Relays(on, database, seed=7)
        consumers = [Consumer(on.redis_url, name) for name in ("billing", "platform")]
        for consumer in consumers:
            consumer.start()
        try:
            with writing(database, EVENTS):
                relays.slaughter(lambda: database.value("SELECT published FROM publication") > EVENTS // 3)
            relays.start()
            database.wait_for("SELECT min(acknowledged) > 0 AND count(*) = 2 FROM readers")
            relays.kill()
            wait_until(lambda: at_the_end(on), "consumers at the end")
            remembered = database.session.execute("SELECT name, acknowledged FROM readers").fetchall()
            had: dict[str, int] = {name.decode(): position for name, position in remembered}
            given = {consumer.name_: len(consumer.given) for consumer in consumers}
            on.redis.flushall()
            database.session.execute(_WRITE, (1000,))
            relays.slaughter(lambda: bool(database.value(_PUBLISHED.format(EVENTS + 1000))))
            expected = in_outbox(database)
            wait_until(lambda: all(one.given[-1:] == expected[-1:] for one in consumers), "consumers at the end")
        finally:
            for consumer in consumers:
                consumer.stopping.set()
                consumer.join()
            relays.kill()

        start = min(had.values())
        stream = on_stream(on)
        assert stream == expected[len(expected) - len(stream) :], "in order, each once"
        for consumer in consumers:
            assert consumer.given[: given[consumer.name_]] == expected[: given[consumer.name_]]
            assert consumer.given[given[consumer.name_] :] == expected[had[consumer.name_] :]
        assert start > 0
