"""Reactivation: from the event on the stream to the commit that gives access, with everybody idle or at work."""

import time
from dataclasses import dataclass

import psycopg

from bench.fanout import finished, prepare
from bench.figures import Goal, Ratio, percentile, percentiles
from bench.system import INGRESS, RELAY, TASKS, Database, System, course_for_everyone, event, id_of

#: What every transaction that leaves something to publish notifies, as its commit becomes visible.
_CHANNEL = "rollcall_relay"

#: Seconds of rest before each event, so that it finds everybody idle; uneven, to fall on any moment of anybody's pause.
_RESTS = (0.003, 0.011, 0.006, 0.017, 0.008)

#: Courses that each of the learners gets back.
_COURSES = 3

#: Reactivations for one round.
_ROUND = 50

_ALL_INACTIVE = f"""
    UPDATE learners SET standing = 'inactive';
    INSERT INTO status_changes (organisation, learner, version, occurred_at, active, cause)
    SELECT organisation, learner, 1, saved_at, false, 'bench' FROM learners ON CONFLICT DO NOTHING;
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    SELECT 1, 'course-' || n, 'Course ' || n, 1, false, 'manual', now(), now() FROM generate_series(1, {_COURSES}) AS n;
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at)
    SELECT 1, course, 1, learner, true, 1, now() FROM courses, learners;
    CREATE TABLE plain (learner int PRIMARY KEY, active boolean NOT NULL);
    INSERT INTO plain SELECT learner, false FROM learners;
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    reactivations: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Milliseconds at the median and at the 99th percentile, beside one durable UPDATE of one row."""
    ours, theirs = [], []
    with system.database("latency", size.reactivations) as database:
        database.execute(_ALL_INACTIVE)
        database.execute("VACUUM ANALYZE")
        with (
            system.processes(database, INGRESS | RELAY | TASKS),
            psycopg.connect(database.url, autocommit=True) as listener,
        ):
            listener.execute(f"LISTEN {_CHANNEL}")
            for learner in range(1, size.reactivations + 1):
                time.sleep(_RESTS[learner % len(_RESTS)])
                ours.append(_reactivate(system, database, listener, learner))
                theirs.append(_update(database, learner))
    what, against = "reactivation: XADD to committed", "one row updated and committed by psycopg"
    return percentiles(what, against, ours, theirs, _ROUND)


@dataclass(frozen=True, slots=True)
class Busy:
    """How much is measured."""

    learners: int
    rounds: int


def measure_busy(system: System, size: Busy) -> list[Ratio]:
    """Milliseconds at the 99th percentile of reactivations, one after the other for as long as a fan-out over everybody
    is running, beside what they take with nobody else at work."""
    busy, idle = [], []
    with (
        system.database("busy", size.learners) as database,
        system.processes(database, INGRESS | RELAY | TASKS),
        psycopg.connect(database.url, autocommit=True) as listener,
    ):
        listener.execute(f"LISTEN {_CHANNEL}")
        inactive = (n for n in range(1, size.learners + 1) if n % 50 < 3)
        for turn in range(size.rounds):
            alone = [_reactivate(system, database, listener, next(inactive)) for _ in range(_ROUND)]
            prepare(database)
            system.publish([course_for_everyone(f"course-{turn}")])
            during = [_reactivate(system, database, listener, next(inactive))]
            while not finished(database):
                during.append(_reactivate(system, database, listener, next(inactive)))
            busy.append(percentile(during, 99))
            idle.append(percentile(alone, 99))
    return [
        Ratio(
            f"reactivation during a fan-out over {size.learners:,}: XADD to committed, p99",
            "the same, with nobody else at work, p99",
            "ms",
            busy,
            idle,
            digits=1,
            goal=Goal(250, most=True, of_ratio=False),
        )
    ]


def _reactivate(
    system: System, database: Database, listener: psycopg.Connection[tuple[object, ...]], learner: int
) -> float:
    """Milliseconds."""
    body = event("learner.status_changed", {"learner": id_of(learner), "status": "active", "version": 2})
    begun = time.perf_counter()
    system.publish([body])
    while True:
        for _ in listener.notifies(timeout=5, stop_after=1):
            break
        heard = time.perf_counter()
        if database.value(f"SELECT standing = 'active' FROM learners WHERE organisation = 1 AND learner = {learner}"):
            return (heard - begun) * 1000


def _update(database: Database, learner: int) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    database.execute(f"UPDATE plain SET active = true WHERE learner = {learner}")
    return (time.perf_counter() - begun) * 1000
