"""What a peer does: a task for each learner, by Celery with Redis, each with the same INSERT; beside our fan-out."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import celery
import psycopg

from bench.fanout import through_the_queue
from bench.figures import Ratio
from bench.system import INGRESS, RELAY, TASKS, Database, System, wait_until

#: What one task does: the rows a fan-out writes for one learner, by the same keys.
_ONE_LEARNER = """
    WITH enrolled AS (
        INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, notice, enrolled_at, activated_at)
        SELECT organisation, 1, 1, learner, standing = 'inactive', 1, CASE WHEN standing = 'active' THEN 1 END, now(),
               CASE WHEN standing = 'active' THEN now() END
        FROM learners WHERE organisation = 1 AND learner = %(learner)s AND standing IN ('active', 'inactive')
        ON CONFLICT DO NOTHING
    )
    INSERT INTO deliveries (organisation, mailing, recipient, state, reason, settled_at)
    SELECT organisation, 1, learner, CAST(CASE WHEN email IS NULL THEN 'skipped' ELSE 'pending' END AS delivery_state),
           CASE WHEN email IS NULL THEN 'no address' END, CASE WHEN email IS NULL THEN now() END
    FROM learners WHERE organisation = 1 AND learner = %(learner)s AND standing = 'active'
    ON CONFLICT DO NOTHING
"""

#: Where the worker finds its servers.
_BROKER = "BENCH_BROKER"
_DATABASE = "BENCH_DATABASE"

#: What one task does about a course start, each in one transaction: what Rollcall writes of it, by the same keys.
_ONE_START = (
    """
    SELECT seq FROM claim_events(ARRAY[%(source)s], ARRAY[%(id)s], ARRAY[%(organisation)s])
    """,
    """
    WITH started AS (
        UPDATE enrolments e SET started_at = least(e.started_at, %(time)s)
        FROM learners l, courses c
        WHERE l.organisation = 1 AND l.id = %(learner)s AND c.organisation = 1 AND c.id = %(course)s
          AND status_at(1, l.learner, %(time)s) AND e.withdrawn_at IS NULL
          AND e.organisation = 1 AND e.course = c.course AND e.cycle = 1 AND e.learner = l.learner
        RETURNING e.learner, e.course, c.cost
    ), charged AS (
        INSERT INTO consumptions (organisation, learner, course, cycle, unit, amount, period, overdrawn, occurred_at,
                                  event)
        SELECT 1, learner, course, 1, 'credit', cost, '1970-01-01', false, %(time)s, %(id)s FROM started
        ON CONFLICT DO NOTHING RETURNING consumption, amount
    ), announced AS (
        INSERT INTO outbox (organisation, type, data)
        SELECT 1, 'rollcall.seat.consumed', json_build_object('consumption', consumption, 'learner', %(learner)s::text,
               'course', %(course)s::text, 'cycle', 1, 'unit', 'credit', 'amount', amount) FROM charged
    )
    INSERT INTO balances AS known (organisation, unit, period, used)
    SELECT 1, 'credit', '1970-01-01', amount FROM charged
    ON CONFLICT (organisation, unit, period) DO UPDATE SET used = known.used + excluded.used
    """,
)

app = celery.Celery("peer", broker=os.environ.get(_BROKER))
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=16, broker_connection_retry_on_startup=True)

_sessions: dict[int, psycopg.Connection[tuple[object, ...]]] = {}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    learners: int
    rounds: int


def _session() -> psycopg.Connection[tuple[object, ...]]:
    """The connection that a process keeps."""
    process = os.getpid()
    if process not in _sessions:
        _sessions[process] = psycopg.connect(os.environ[_DATABASE], autocommit=True)
    return _sessions[process]


@app.task(name="peer.enrol")  # type: ignore[untyped-decorator]
def enrol(learner: int) -> None:
    """Enrol one learner."""
    _session().execute(_ONE_LEARNER, {"learner": learner})


@app.task(name="peer.start")  # type: ignore[untyped-decorator]
def start(body: str) -> None:
    """Take one course start, in one transaction."""
    event = json.loads(body)
    about = {name: event[name] for name in ("source", "id", "type", "organisation", "time")} | event["data"]
    session = _session()
    with session.transaction():
        for statement in _ONE_START:
            session.execute(statement.encode(), about)


def measure(system: System, size: Size) -> list[Ratio]:
    """Learners a second, both with two worker processes, in alternating rounds."""
    ours, theirs = [], []
    with (
        system.database("queue", size.learners) as database,
        system.database("peer", size.learners) as other,
    ):
        for turn in range(size.rounds):
            with system.processes(database, INGRESS | RELAY | TASKS):
                through_the_queue(system, database, f"warm-{turn}")
                ours.append(size.learners / through_the_queue(system, database, f"course-{turn}"))
            with _worker(system, other) as done:
                theirs.append(size.learners / _a_task_each(other, size.learners, done))
    return [
        Ratio(
            f"everyone, {size.learners:,} learners: XADD to finished, two workers",
            f"Celery {celery.__version__} with Redis, two workers: a task and an INSERT for each learner",
            "learners/s",
            ours,
            theirs,
        )
    ]


def _a_task_each(database: Database, learners: int, done: "Done") -> float:
    """Seconds from the first task sent until every learner is enrolled."""
    database.execute("TRUNCATE enrolments, deliveries")
    begun = time.perf_counter()
    with app.producer_pool.acquire(block=True) as producer:
        for learner in range(1, learners + 1):
            enrol.apply_async((learner,), producer=producer)
    done(f"SELECT count(*) = {learners} FROM enrolments")
    return time.perf_counter() - begun


def a_start_each(system: System, database: Database, bodies: Sequence[bytes]) -> float:
    """Seconds from the first task sent until every start is charged."""
    with _worker(system, database) as done:
        begun = time.perf_counter()
        with app.producer_pool.acquire(block=True) as producer:
            for body in bodies:
                start.apply_async((body.decode(),), producer=producer)
        done(f"SELECT count(*) = {len(bodies)} FROM consumptions")
        return time.perf_counter() - begun


#: Returns as soon as a query answers true. Raises `RuntimeError` once a task of Celery's has failed: it would never.
Done = Callable[[str], None]


@contextmanager
def _worker(system: System, database: Database) -> Iterator[Done]:
    """A Celery worker of two processes, ready; the queue is empty."""
    system.redis.flushall()
    url = system.redis_url.replace("unix://", "redis+socket://")
    app.conf.broker_url = url
    log = system.home / "celery.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "bench.peer", "worker", "--pool=prefork", "--concurrency=2",
             "--loglevel=info", "--without-gossip", "--without-mingle", "--without-heartbeat"],
            env={**os.environ, _BROKER: url, _DATABASE: database.url},
            stdout=output,
            stderr=output,
        )  # fmt: skip
    try:
        wait_until(lambda: b" ready." in log.read_bytes(), "Celery to be ready")
        with log.open(encoding="utf-8", errors="replace") as said:

            def answers(query: str) -> bool:
                if failed := next((line for line in said if " raised unexpected: " in line), None):
                    raise RuntimeError(f"Celery: {failed.strip()}")
                return bool(database.value(query))

            yield lambda query: wait_until(lambda: answers(query), query)
    finally:
        app.close()
        worker.terminate()
        worker.wait(timeout=30)
