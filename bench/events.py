"""Events a second through one ingress, beside the relay, without which nobody runs one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg

from bench.fanout import PUBLISHED
from bench.figures import Goal, Ratio
from bench.system import INGRESS, RELAY, Database, System, event, id_of, wait_until
from config.streams import OUT
from tasks.system import unread

#: Rows in one transaction of the bare INSERT, as many as an ingress takes at once.
_BATCH = 500

_PLAIN = """
    CREATE TABLE plain (source text, id text, type text, organisation text, learner text, version bigint,
                        PRIMARY KEY (source, id))
"""

_COURSE = """
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    VALUES (1, 'course', 'Course', 1, false, 'manual', now(), now())
"""

_ENROL = """
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, activated_at)
    SELECT 1, course, 1, learner, false, 1, now(), now() FROM courses, learners
    ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    events: int
    rounds: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Events of three kinds, each beside a bare INSERT of as many rows."""
    kinds: dict[str, Callable[[int], bytes]] = {
        "learner.saved (new learners)": _saved,
        "learner.status_changed": _status_changed,
        "course.started (each charged)": _started,
    }
    ours: dict[str, list[float]] = {kind: [] for kind in kinds}
    theirs: dict[str, list[float]] = {kind: [] for kind in kinds}
    with system.database("events", 0) as database:
        database.execute(_PLAIN)
        database.execute(_COURSE)
        with system.processes(database, INGRESS | RELAY):
            for turn in range(size.rounds + 1):
                first = _BATCH + (turn - 1) * size.events  # the first turn is a short one, to warm up
                numbers = range(first + 1, first + size.events + 1) if turn else range(1, _BATCH + 1)
                for kind, make in kinds.items():
                    if make is _started:
                        database.execute(_ENROL)
                    taken = _through_the_ingress(system, [make(number) for number in numbers])
                    inserted = _inserted(database, kind, numbers)
                    if turn:
                        ours[kind].append(len(numbers) / taken)
                        theirs[kind].append(len(numbers) / inserted)
        _check(database, size)
    return [
        Ratio(
            f"{kind}: XADD to applied, one ingress",
            f"a bare INSERT of as many rows by psycopg's executemany, {_BATCH} a transaction",
            "/s",
            ours[kind],
            theirs[kind],
        )
        for kind in kinds
    ]


def measure_toggles(system: System, size: Size) -> list[Ratio]:
    """Learners made inactive and active again, each twice in one go, from stream to stream."""
    ours, theirs = [], []
    with system.database("toggles", size.events // 2) as database, system.processes(database, INGRESS | RELAY):
        database.execute("UPDATE learners SET standing = 'active'; DELETE FROM status_changes")
        database.execute(_PLAIN)
        database.execute(_COURSE)
        database.execute(_ENROL)
        for turn in range(size.rounds + 1):
            numbers = range(1, size.events // 2 + 1)
            bodies = [
                event("learner.status_changed", {"learner": id_of(n), "status": status, "version": 2 * turn + 2 + step})
                for step, status in enumerate(("inactive", "active"))
                for n in numbers
            ]
            system.redis.delete(OUT)
            database.execute("TRUNCATE outbox; UPDATE publication SET ordered = 0, published = 0")
            begun = time.perf_counter()
            system.publish(bodies)
            wait_until(lambda: unread(system.redis) == 0, "every event to be taken")
            database.wait_for(PUBLISHED)
            taken = time.perf_counter() - begun
            _check_order(system, len(numbers))
            inserted = _inserted(database, f"turn {turn}", range(1, size.events + 1))
            if turn:
                ours.append(size.events / taken)
                theirs.append(size.events / inserted)
    return [
        Ratio(
            f"{size.events:,} learner.status_changed, two a learner: XADD to published",
            f"a bare INSERT of as many rows by psycopg's executemany, {_BATCH} a transaction",
            "/s",
            ours,
            theirs,
            goal=Goal(2000, of_ratio=False),
        )
    ]


def _check_order(system: System, learners: int) -> None:
    """Of each learner the stream must say first that access ended, then that it began."""
    said: dict[str, list[str]] = {}
    entries: Any = system.redis.xrange(OUT)
    for _, fields in entries:
        told = msgspec.json.decode(fields[b"event"])
        if told["type"].startswith("rollcall.access."):
            said.setdefault(told["data"]["learner"], []).append(told["type"])
    expected = ["rollcall.access.suspended", "rollcall.access.activated"]
    if len(said) != learners or any(types != expected for types in said.values()):
        raise RuntimeError("what was published of a learner is not in the order in which it happened")


def _saved(number: int) -> bytes:
    described: dict[str, object] = {
        "learner": id_of(number),
        "username": f"user{number}",
        "email": f"first{number}.last@learners.acme.example",
        "first_name": f"First{number}",
        "last_name": "Last",
        "locale": "en",
        "time_zone": "Europe/Amsterdam",
        "status": "inactive",
        "version": 1,
    }
    return event("learner.saved", described)


def _status_changed(number: int) -> bytes:
    return event("learner.status_changed", {"learner": id_of(number), "status": "active", "version": 2})


def _started(number: int) -> bytes:
    return event("course.started", {"learner": id_of(number), "course": "course"})


def _through_the_ingress(system: System, bodies: list[bytes]) -> float:
    """Seconds until every event is applied and acknowledged."""
    begun = time.perf_counter()
    system.publish(bodies)
    wait_until(lambda: unread(system.redis) == 0, "every event to be taken")
    return time.perf_counter() - begun


def _inserted(database: Database, kind: str, numbers: range) -> float:
    """Seconds."""
    rows = [("urn:bench", f"{kind} {number}", kind, "acme", id_of(number), 1) for number in numbers]
    with psycopg.connect(database.url) as connection:
        begun = time.perf_counter()
        for first in range(0, len(rows), _BATCH):
            _insert(connection, rows[first : first + _BATCH])
        return time.perf_counter() - begun


def _insert(connection: psycopg.Connection[Any], rows: Sequence[tuple[object, ...]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO plain VALUES (%s, %s, %s, %s, %s, %s)", rows)
    connection.commit()


def _check(database: Database, size: Size) -> None:
    """Every event must have done what it was to do."""
    expected = size.events * size.rounds + _BATCH
    for query in (
        "SELECT count(*) FROM learners WHERE standing = 'active'",
        "SELECT count(*) FROM consumptions",
    ):
        found = database.value(query)
        if found != expected:
            raise RuntimeError(f"{query} gives {found}, not {expected}: some events were not applied")
