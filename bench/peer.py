"""What a peer does: a task for each learner, by Celery with Redis, each with the same INSERT; beside our fan-out."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
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

app = celery.Celery("peer", broker=os.environ.get(_BROKER))
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=16, broker_connection_retry_on_startup=True)

_sessions: dict[int, psycopg.Connection[tuple[object, ...]]] = {}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    learners: int
    rounds: int


@app.task(name="peer.enrol")  # type: ignore[untyped-decorator]
def enrol(learner: int) -> None:
    """Enrol one learner, over a connection that the process keeps."""
    process = os.getpid()
    if process not in _sessions:
        _sessions[process] = psycopg.connect(os.environ[_DATABASE], autocommit=True)
    _sessions[process].execute(_ONE_LEARNER, {"learner": learner})


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
            with _worker(system, other):
                theirs.append(size.learners / _a_task_each(other, size.learners))
    return [
        Ratio(
            f"everyone, {size.learners:,} learners: XADD to finished, two workers",
            f"Celery {celery.__version__} with Redis, two workers: a task and an INSERT for each learner",
            "learners/s",
            ours,
            theirs,
        )
    ]


def _a_task_each(database: Database, learners: int) -> float:
    """Seconds from the first task sent until every learner is enrolled."""
    database.execute("TRUNCATE enrolments, deliveries")
    begun = time.perf_counter()
    with app.producer_pool.acquire(block=True) as producer:
        for learner in range(1, learners + 1):
            enrol.apply_async((learner,), producer=producer)
    database.wait_for(f"SELECT count(*) = {learners} FROM enrolments")
    return time.perf_counter() - begun


@contextmanager
def _worker(system: System, database: Database) -> Iterator[None]:
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
        yield
    finally:
        app.close()
        worker.terminate()
        worker.wait(timeout=30)
