"""A pool of dramatiq workers: each message names a piece of work, and the piece says what is to be done."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import dramatiq
import redis
import structlog
from dramatiq.broker import MessageProxy
from sqlalchemy.exc import SQLAlchemyError
from tenacity import stop_after_delay, stop_when_event_set

from config.counting import counts
from config.database import autocommit, is_connection_problem, retrying, transaction
from config.log import without_data
from config.runtime import Runtime
from config.tracing import tracing
from tasks import analytics, announcements, enrolments, erasure, imports, intake, mail, work
from tasks.fleet import ProcessRole
from tasks.work import Fuses, LostLease, Piece, accuse, claim, heartbeat, pause_before
from workers.presence import Presence
from workers.queues import Broker

log = structlog.get_logger()

#: What does the work that there is; each registers where it stands.
ACTORS = (
    analytics.count,
    announcements.audience,
    announcements.cancel_rest,
    announcements.launch_scheduled,
    announcements.survey,
    enrolments.chunk,
    enrolments.survey,
    erasure.erase,
    imports.drop,
    imports.run,
    intake.retake,
    intake.take_turn,
    mail.deliver,
)

#: Milliseconds after which an idle thread looks whether it is to stop; a message wakes it at once.
IDLE_MS = 250

#: Seconds between two looks at whether every thread lives.
LOOK_SECONDS = 1.0


class _SharedLock:
    """Lets the threads of a process work side by side, or one of them alone, which goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = self._waiting = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._inside >= 0 and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            self._leave(1)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
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


class Leases(dramatiq.Middleware):
    """Claims the piece of work that a message names, and hands it to the actor in place of its number; keeps the lease
    for as long as the actor works, and gives the piece back if that fails: nothing is lost by it. A piece that may have
    taken its worker down is worked on with nothing beside it (R31)."""

    def __init__(self, runtime: Runtime, presence: Presence | None = None) -> None:
        self._runtime = runtime
        self._presence = presence or Presence(runtime, ProcessRole.POOL)
        self._lock = _SharedLock()
        self._held: dict[str, tuple[Piece, float, ExitStack]] = {}
        self._fuses, self._fusing = Fuses(), threading.Lock()

    def before_process_message(self, _broker: dramatiq.Broker, message: MessageProxy) -> None:
        """Drop the message, unless its piece can be had."""
        message.fail()
        piece = self._claim(message)
        if piece is None:
            return
        try:
            with ExitStack() as stack:
                stack.enter_context(tracing(piece.traceparent))
                stack.enter_context(heartbeat(self._runtime, piece))
                stack.enter_context(self._presence.doing(piece.actor))
                stack.enter_context(self._lock.exclusive() if piece.lost > 1 else self._lock.shared())
                if piece.lost > 1:  # it, or what was beside it, took its worker down
                    with transaction(self._runtime.engine, piece.organisation) as connection:
                        accuse(connection, piece)
                self._held[message.message_id] = piece, time.monotonic(), stack.pop_all()
        except Exception as problem:  # noqa: BLE001 - whatever it was, the piece is given back
            self._give_back(piece, problem)
            return
        message.args, message.failed = (self._runtime, piece), False

    def after_process_message(
        self,
        _broker: dramatiq.Broker,
        message: MessageProxy,
        *,
        result: object = None,  # noqa: ARG002 - there is none
        exception: BaseException | None = None,
    ) -> None:
        """Let go of the piece; what failed is written down, and tried again after a pause."""
        if message.message_id in self._held:
            piece, begun, held = self._held.pop(message.message_id)
            held.close()
            counts.observe("rollcall_work_seconds", time.monotonic() - begun, queue=piece.queue)
            if exception is not None:
                self._give_back(piece, exception)
            else:
                with self._fusing:
                    self._fuses.succeeded(piece.actor, piece.organisation)

    def _claim(self, message: MessageProxy) -> Piece | None:
        organisation, number = message.args
        try:
            with autocommit(self._runtime.engine, organisation) as connection:
                piece = claim(connection, organisation, number, self._runtime.lease)
        except SQLAlchemyError as problem:  # it is offered again
            if not is_connection_problem(problem):
                log.error(  # noqa: TRY400 - as below
                    "work.not_claimed", actor=message.actor_name, work=number, **without_data(problem)
                )
            return None
        if piece is not None:
            counts.count("rollcall_work_claims_total", queue=piece.queue)
            counts.observe("rollcall_work_begun_seconds", piece.waited, queue=piece.queue)
            if piece.lost > 1:
                counts.count("rollcall_work_leases_lost_total", queue=piece.queue)
        return piece

    def _give_back(self, piece: Piece, problem: BaseException) -> None:
        if isinstance(problem, LostLease):
            counts.count("rollcall_work_leases_lost_total", queue=piece.queue)
            log.warning("work.lease_lost", actor=piece.actor, work=piece.work)
            return
        counts.count("rollcall_work_retries_total", queue=piece.queue)
        log.error(  # a traceback may quote people's data
            "work.failed", actor=piece.actor, work=piece.work, failures=piece.failures + 1, **without_data(problem)
        )
        self._release(piece)
        self._count_against_its_kind(piece, problem)

    def _release(self, piece: Piece) -> None:
        """Let somebody else have the piece. It is tried for as long as the lease may stand, should the database be away
        for a while: nobody could have the piece before the lease runs out."""
        lease, stopping = self._runtime.lease.total_seconds(), self._runtime.stopping
        tries = retrying().copy(stop=stop_after_delay(lease) | stop_when_event_set(stopping))
        pause = pause_before(piece.failures, self._runtime.retry)
        with suppress(LostLease):
            for attempt in tries:
                with attempt, transaction(self._runtime.engine, piece.organisation) as connection:
                    work.release(connection, piece, after=pause, failed=True, written=False)

    def _count_against_its_kind(self, piece: Piece, problem: BaseException) -> None:
        """Open the fuse of a kind of work that fails again and again. No piece is to blame if a server is away."""
        if is_connection_problem(problem) or isinstance(problem, redis.RedisError):
            return
        with self._fusing:
            whose = self._fuses.failed(piece.actor, piece.organisation, piece.work)
        if whose is not None:
            with suppress(SQLAlchemyError), transaction(self._runtime.engine) as connection:
                work.blow(connection, whose, piece.actor, type(problem).__name__)


def run(runtime: Runtime, queues: list[str], threads: int, presence: Presence | None = None) -> None:
    """Work on these queues until told to stop; then finish what was begun. Raises SystemExit where a thread has died:
    the others finish what they have begun, and whoever started this process starts it again."""
    broker = Broker(runtime.endpoints.redis_url, runtime.stopping)
    presence = presence or Presence(runtime, ProcessRole.POOL, queues)
    broker.add_middleware(Leases(runtime, presence))
    worker = dramatiq.Worker(broker, queues=set(queues), worker_threads=threads, worker_timeout=IDLE_MS)
    worker.start()
    log.info("pool.started", queues=queues, threads=threads)
    died = False
    while not died and not runtime.stopping.wait(LOOK_SECONDS):
        presence.lives()
        died = not all(thread.is_alive() for thread in (*worker.workers, *worker.consumers.values()))
    log.info("pool.stopping")
    for consumer in worker.consumers.values():
        consumer.stop()  # `worker.stop` does it only after its workers have ended, and each blocks for a while
    worker.stop(timeout=int(runtime.settings.rollcall_drain_seconds * 1000))
    log.info("pool.stopped")
    if died:
        log.critical("pool.thread_died", queues=queues)
        raise SystemExit(1)
