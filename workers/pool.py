"""A pool of dramatiq workers: each message names a piece of work, and the piece says what is to be done."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import dramatiq
import structlog
from sqlalchemy.exc import SQLAlchemyError

from config.database import is_connection_problem, transaction
from config.log import without_data
from config.runtime import Runtime
from tasks import erasure, work
from tasks.announcements import actors as announcements
from tasks.enrolments import actors as enrolments
from tasks.events import actors as events
from tasks.mail import actors as mail
from tasks.work import pause_before
from tasks.work.heartbeat import heartbeat
from tasks.work.store import LostLease, accuse, claim
from workers.queues import make_broker

log = structlog.get_logger()

#: What each actor does with its piece; it finishes or releases the piece in the transaction that writes the outcome.
ACTORS: dict[str, Callable[[Runtime, work.Piece], None]] = {
    "enrolments.chunk": enrolments.chunk,
    "enrolments.survey": enrolments.survey,
    "announcements.audience": announcements.audience,
    "announcements.cancel": announcements.cancel_rest,
    "announcements.launch": announcements.launch_scheduled,
    "announcements.survey": announcements.survey,
    "events.retake": events.retake,
    "events.take_turn": events.take_turn,
    "learners.erase": erasure.look,
    "mail.deliver": mail.deliver,
}

#: Milliseconds after which an idle thread looks whether it is to stop; a message wakes it at once.
IDLE_MS = 250

#: Seconds between two looks at whether every thread lives.
LOOK_SECONDS = 1.0


class _Gate:
    """Lets the threads of a process work side by side, or one of them alone, which goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = self._waiting = 0

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._inside >= 0 and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            self._leave(1)

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._inside == 0)
            self._waiting -= 1
            self._inside = -1
        try:
            yield
        finally:
            self._leave(-1)

    def _leave(self, was: int) -> None:
        with self._changed:
            self._inside -= was
            self._changed.notify_all()


_gate = _Gate()


def run(runtime: Runtime, queues: list[str], threads: int) -> None:
    """Work on these queues until told to stop; then finish what was begun. Raises SystemExit where a thread has died:
    the others finish what they have begun, and whoever started this process starts it again."""
    broker = make_broker(runtime.endpoints.redis_url, runtime.stopping)
    for name in ACTORS:
        _declare(runtime, broker, name)
    worker = dramatiq.Worker(broker, queues=set(queues), worker_threads=threads, worker_timeout=IDLE_MS)
    worker.start()
    log.info("pool.started", queues=queues, threads=threads)
    died = False
    while not died and not runtime.stopping.wait(LOOK_SECONDS):
        died = not all(thread.is_alive() for thread in (*worker.workers, *worker.consumers.values()))
    log.info("pool.stopping")
    for consumer in worker.consumers.values():
        consumer.stop()  # `worker.stop` does it only after its workers have ended, and each blocks for a while
    worker.stop(timeout=int(runtime.settings.rollcall_drain_seconds * 1000))
    log.info("pool.stopped")
    if died:
        log.critical("pool.thread_died", queues=queues)
        raise SystemExit(1)


def _declare(runtime: Runtime, broker: dramatiq.Broker, name: str) -> None:
    def perform(organisation: int, number: int) -> None:
        work_on(runtime, name, organisation, number)

    dramatiq.actor(actor_name=name, queue_name="tasks", broker=broker)(perform)


def work_on(runtime: Runtime, name: str, organisation: int, number: int) -> None:
    """Claim a piece and do it. What fails is written down and tried again after a pause; nothing is lost by it."""
    try:
        with transaction(runtime.engine, organisation) as connection:
            piece = claim(connection, organisation, number, runtime.lease)
    except SQLAlchemyError as problem:  # it is offered again
        if not is_connection_problem(problem):
            log.error("work.not_claimed", actor=name, work=number, **without_data(problem))  # noqa: TRY400 - as below
        return
    if piece is None:
        return
    try:
        with heartbeat(runtime, piece), _gate.alone() if piece.lost > 1 else _gate.beside_others():
            if piece.lost > 1:  # it, or what was beside it, took its worker down
                with transaction(runtime.engine, organisation) as connection:
                    accuse(connection, piece)
            ACTORS[name](runtime, piece)
    except LostLease:
        log.warning("work.lease_lost", actor=name, work=number)
    except Exception as problem:  # noqa: BLE001 - whatever it was, the piece is given back
        log.error(  # noqa: TRY400 - a traceback may quote people's data
            "work.failed", actor=name, work=number, failures=piece.failures + 1, **without_data(problem)
        )
        with suppress(LostLease), transaction(runtime.engine, organisation) as connection:
            pause = pause_before(piece.failures, runtime.retry)
            work.release(connection, piece, after=pause, failed=True, written=False)
