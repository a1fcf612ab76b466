"""A pool of dramatiq workers: each message names a piece of work, and the piece says what is to be done."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import dramatiq
import structlog

from config.database import transaction
from config.log import without_data
from config.runtime import Runtime
from tasks import erasure, work
from tasks.announcements import actors as announcements
from tasks.enrolments import actors as enrolments
from tasks.intake import retake
from tasks.mail import actors as mail
from tasks.work.heartbeat import heartbeat
from tasks.work.store import LostLease, accuse, claim, pause_before
from workers.queues import make_broker

log = structlog.get_logger()

#: What each actor does with its piece; it finishes or releases the piece in the transaction that writes the outcome.
ACTORS: dict[str, Callable[[Runtime, work.Piece], None]] = {
    "enrolments.chunk": enrolments.chunk,
    "enrolments.survey": enrolments.survey,
    "announcements.audience": announcements.audience,
    "announcements.cancel": announcements.cancel_rest,
    "announcements.launch": announcements.launch_scheduled,
    "events.retake": retake,
    "learners.erase": erasure.look,
    "mail.deliver": mail.deliver,
}

#: Milliseconds an idle consumer may sleep between two looks at its queue: the latency of a wake-up.
IDLE_MS = 50


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
    """Work on these queues until told to stop; then finish what was begun."""
    broker = make_broker(runtime.endpoints.redis_url)
    for name in ACTORS:
        _declare(runtime, broker, name)
    worker = dramatiq.Worker(broker, queues=set(queues), worker_threads=threads, worker_timeout=IDLE_MS)
    worker.start()
    log.info("pool.started", queues=queues, threads=threads)
    runtime.stopping.wait()
    log.info("pool.stopping")
    worker.stop(timeout=int(runtime.settings.rollcall_drain_seconds * 1000))
    log.info("pool.stopped")


def _declare(runtime: Runtime, broker: dramatiq.Broker, name: str) -> None:
    def perform(organisation: int, number: int) -> None:
        work_on(runtime, name, organisation, number)

    dramatiq.actor(actor_name=name, queue_name="tasks", broker=broker)(perform)


def work_on(runtime: Runtime, name: str, organisation: int, number: int) -> None:
    """Claim a piece and do it. What fails is written down and tried again after a pause; nothing is lost by it."""
    with transaction(runtime.engine, organisation) as connection:
        piece = claim(connection, organisation, number, runtime.lease)
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
