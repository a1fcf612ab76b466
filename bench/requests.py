"""Work for many learners that the platform names one by one: a request by ticked boxes, a file of toggles."""

import time
from dataclasses import dataclass

from bench.fanout import finished, prepare
from bench.figures import Ratio
from bench.system import INGRESS, RELAY, TASKS, Database, System, event, id_of, wait_until
from tasks.system import unread

_COURSE = """
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    VALUES (1, 'course', 'Course', 1, false, 'manual', now(), now())
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    learners: int
    rounds: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Seconds, each beside a bare statement that writes as many rows."""
    asked, inserted, toggled, updated = [], [], [], []
    with (
        system.database("requests", size.learners) as database,
        system.processes(database, INGRESS | RELAY | TASKS),
    ):
        for turn in range(size.rounds):
            asked.append(_request(system, database, size, turn))
            inserted.append(_bare_insert(database))
            toggled.append(_toggle(system, database, size, turn))
            updated.append(_timed(database, "UPDATE learners SET saved_at = saved_at"))
    return [
        Ratio(
            f"a request for {size.learners:,} learners by ticked boxes: XADD to finished",
            "as many enrolments by one bare INSERT … SELECT",
            "s",
            asked,
            inserted,
            digits=2,
        ),
        Ratio(
            f"{size.learners:,} learners made inactive by one file: XADD to applied",
            "as many learners by one bare UPDATE",
            "s",
            toggled,
            updated,
            digits=2,
        ),
    ]


def _request(system: System, database: Database, size: Size, turn: int) -> float:
    """Seconds from the request until it is finished."""
    prepare(database)
    database.execute(_COURSE)
    learners = [id_of(number) for number in range(1, size.learners + 1)]
    body = event(
        "enrolment.requested", {"request": f"request-{turn}", "course": "course", "learners": learners, "tab": "all"}
    )
    begun = time.perf_counter()
    system.publish([body])
    wait_until(lambda: finished(database), "the request to be finished")
    seconds = time.perf_counter() - begun
    if database.value("SELECT count(*) FROM enrolments") != size.learners:
        raise RuntimeError("the request did not enrol everybody")
    return seconds


def _bare_insert(database: Database) -> float:
    database.execute("CREATE TABLE plain (LIKE enrolments INCLUDING ALL)")
    seconds = _timed(database, "INSERT INTO plain SELECT * FROM enrolments")
    database.execute("DROP TABLE plain")
    return seconds


def _toggle(system: System, database: Database, size: Size, turn: int) -> float:
    """Seconds for everybody to be made inactive, by an event each."""
    database.execute("UPDATE learners SET standing = 'active'; DELETE FROM status_changes")
    bodies = [
        event("learner.status_changed", {"learner": id_of(number), "status": "inactive", "version": turn + 2})
        for number in range(1, size.learners + 1)
    ]
    begun = time.perf_counter()
    system.publish(bodies)
    wait_until(lambda: unread(system.redis) == 0, "every event to be taken")
    seconds = time.perf_counter() - begun
    if database.value("SELECT count(*) FROM learners WHERE standing = 'active'"):
        raise RuntimeError("somebody is still active")
    return seconds


def _timed(database: Database, statement: str) -> float:
    begun = time.perf_counter()
    database.execute(statement)
    return time.perf_counter() - begun
