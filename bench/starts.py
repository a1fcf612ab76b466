"""Course starts through the whole pipe: from XADD to `rollcall.seat.consumed` on the outgoing stream."""

import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import redis

from bench.figures import Goal, Ratio, percentile
from bench.peer import a_start_each
from bench.system import RELAY, Commands, Database, System, event, id_of, wait_until
from config.streams import IN, OUT, make_redis

#: Two processes that take events, one that publishes.
PIPE: Commands = {"ingress 1": ("ingress",), "ingress 2": ("ingress",), "tasks": ("pool", "tasks"), **RELAY}

#: Starts of a round that are not counted: the first thousands find everything cold.
_WARM = 2_000

#: Events that the platform puts on the stream in one round trip.
_TOGETHER = 500

#: Sessions of pgbench, as the rows it inserts come from so many users at once.
_CLIENTS = 8

#: Everyone is enrolled in a course, and a table for what it is compared with.
PREPARE = """
    UPDATE learners SET standing = 'active';
    DELETE FROM status_changes;
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    VALUES (1, 'course', 'Course', 3, false, 'manual', now() - interval '1 day', now() - interval '1 day');
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, activated_at)
    SELECT 1, course, 1, learner, false, 1, now() - interval '1 day', now() - interval '1 day' FROM courses, learners;
    CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, source text, event text, learner text,
                        course text, amount int, occurred_at timestamptz DEFAULT now(), UNIQUE (source, event));
"""

_INSERT = """\\set n random(1, 1000000000000)
INSERT INTO plain (source, event, learner, course, amount)
VALUES ('platform', CAST(:n AS text), CAST(:client_id AS text), 'course', 3);
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: starts of a round, rounds, starts that Celery gets, and starts for the latency."""

    starts: int
    rounds: int
    celery: int
    paced: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Starts a second, beside one INSERT for each from pgbench, and beside a task and a transaction for each from
    Celery, in alternating rounds."""
    ours: list[float] = []
    inserts: list[float] = []
    tasks: list[float] = []
    for turn in range(size.rounds):
        with _prepared(system, f"starts-{turn}", size.starts + _WARM) as database:
            with system.processes(database, PIPE):
                _through(system, range(1, _WARM + 1))
                ours.append(size.starts / _through(system, range(_WARM + 1, _WARM + size.starts + 1)))
            _check(system, database, size.starts + _WARM)
            inserts.append(_pgbench(system, database))
        with _prepared(system, f"tasks-{turn}", size.celery) as database:
            bodies = [started(number) for number in range(1, size.celery + 1)]
            tasks.append(size.celery / a_start_each(system, database, bodies))
    what = f"{size.starts:,} course.started: XADD to rollcall.seat.consumed, two ingresses, a relay and a pool"
    return [
        Ratio(
            what,
            f"pgbench, {_CLIENTS} clients: one INSERT for each, into a table with two keys",
            "/s",
            ours,
            inserts,
            goal=Goal(8_000, of_ratio=False),
        ),
        Ratio(
            "the same",
            f"Celery with Redis, two workers, {size.celery:,} starts: a task and a transaction for each",
            "/s",
            ours,
            tasks,
            goal=Goal(10),
        ),
    ]


def measure_pace(system: System, size: Size) -> list[Ratio]:
    """Milliseconds from XADD to readable, at a steady 500 starts a second; the 50th and the 99th percentile."""
    with _prepared(system, "paced", size.paced + _WARM) as database, system.processes(database, PIPE):
        _through(system, range(1, _WARM + 1))
        took = _paced(system, range(_WARM + 1, _WARM + size.paced + 1), rate=500)
        _check(system, database, size.paced + _WARM)
    round_ = len(took) // 5
    parts = [took[first : first + round_] for first in range(0, round_ * 5, round_)]
    return [
        Ratio(
            f"{size.paced:,} starts at 500 a second: XADD to readable, p99",
            "p50",
            "ms",
            [percentile(part, 99) for part in parts],
            [percentile(part, 50) for part in parts],
            digits=1,
            goal=Goal(250, most=True, of_ratio=False),
        )
    ]


@contextmanager
def _prepared(system: System, name: str, learners: int) -> Iterator[Database]:
    """A database in which so many learners are active and enrolled in a course that costs three credits."""
    with system.database(name, learners) as database:
        database.execute(PREPARE)
        database.execute("VACUUM ANALYZE")
        database.execute("CHECKPOINT")
        yield database


def started(number: int) -> bytes:
    """A learner starts the course."""
    return event("course.started", {"learner": id_of(number), "course": "course"})


def _through(system: System, learners: range) -> float:
    """Seconds from the first XADD until every consumption can be read."""
    bodies = [started(number) for number in learners]
    before = system.redis.xlen(OUT)
    begun = time.perf_counter()
    system.publish(bodies, _TOGETHER)
    wait_until(lambda: system.redis.xlen(OUT) == before + len(bodies), "every consumption to be published")
    return time.perf_counter() - begun


def _paced(system: System, learners: range, rate: int) -> list[float]:
    """Milliseconds for each start, sent at its time whatever has become of those before."""
    sent: dict[str, float] = {}
    took: list[float] = []
    reader = threading.Thread(target=_read, args=(system.redis_url, len(learners), sent, took))
    bodies = [(id_of(number), started(number)) for number in learners]
    reader.start()
    begun = time.perf_counter()
    for n, (learner, body) in enumerate(bodies):
        time.sleep(max(0.0, begun + n / rate - time.perf_counter()))
        sent[learner] = begun + n / rate
        system.redis.xadd(IN, {"event": body})
    reader.join()
    return took


def _read(url: str, expected: int, sent: Mapping[str, float], took: list[float]) -> None:
    """Follow the outgoing stream as a consumer does."""
    with make_redis(url) as client:
        last: Any = _last(client)
        while len(took) < expected:
            found: Any = client.xread({OUT: last}, count=1000, block=1000)
            now = time.perf_counter()
            for entry, fields in found[0][1] if found else []:
                last = entry
                learner = msgspec.json.decode(fields[b"event"])["data"]["learner"]
                took.append((now - sent[learner]) * 1000)


def _last(client: redis.Redis) -> bytes:
    entry: bytes = client.xinfo_stream(OUT)["last-generated-id"]
    return entry


def _check(system: System, database: Database, starts: int) -> None:
    """Each start must have made one entry, and one event."""
    charged = database.value("SELECT count(DISTINCT learner) FROM consumptions")
    entries: Any = system.redis.xrange(OUT)
    told = {msgspec.json.decode(fields[b"event"])["data"]["consumption"] for _, fields in entries}
    if charged != starts or len(told) != starts:
        raise RuntimeError(f"{starts} starts made {charged} entries and {len(told)} events")


def _pgbench(system: System, database: Database) -> float:
    """Rows a second."""
    script = system.home / "insert.sql"
    script.write_text(_INSERT)
    said = subprocess.run(
        [str(system.psql.with_name("pgbench")), "--no-vacuum", "--protocol=prepared", f"--client={_CLIENTS}",
         "--jobs=2", "--time=10", f"--file={script}", database.url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout  # fmt: skip
    (line,) = (line for line in said.splitlines() if line.startswith("tps = "))
    return float(line.split()[2])
