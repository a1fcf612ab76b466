"""The broker and its queues: one for each latency class, so that a million announcements hold up no notice (R31).

A message is a wake-up: the piece it names stands in the table of work, and is offered again if the message is lost. So
a queue is a plain list in Redis, with nothing to acknowledge, and a consumer blocks on it: an idle one costs a command
a second and hears of work within milliseconds.
"""

import threading
import time
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import dramatiq
import msgspec
import redis
import structlog
from dramatiq.broker import MessageProxy

from config.outages import REDIS
from config.streams import make_redis
from tasks.work import REGISTRY

log = structlog.get_logger()

#: `tasks` fans out, `mail` carries what somebody waits for, `bulk` carries announcements.
QUEUES = ("tasks", "mail", "bulk")

#: Seconds that a consumer blocks in Redis: less than the client's own socket timeout, and what stopping takes at most.
BLOCK_SECONDS = 1

#: Seconds to wait before Redis is asked again where it cannot be used.
PAUSE_SECONDS = 0.5

#: Messages kept in one queue; of more, which only a pool that is away leaves, the oldest are dropped.
MOST = 1000

#: Lines in the log for messages that are none of ours, from each consumer in a minute; of more, a count.
MOST_TOLD = 10

#: What a message may name: `int` and `bigint` of PostgreSQL.
_ORGANISATIONS, _PIECES = range(1, 2**31), range(1, 2**63)


class _WakeUp(msgspec.Struct):
    """What counts of a message; whatever else it has is not looked at."""

    queue_name: str
    actor_name: str
    args: tuple[int, int]


class Broker(dramatiq.Broker):
    """dramatiq's way to the queues, with none of its retries, delays or acknowledgements."""

    def __init__(self, redis_url: str, stopping: threading.Event | None = None) -> None:
        super().__init__(middleware=[])
        self.url = redis_url
        self.stopping = stopping or threading.Event()
        self.queues = dict.fromkeys(QUEUES)
        self.actors = REGISTRY.actors

    @cached_property
    def client(self) -> redis.Redis:
        """The way to Redis, made for who needs it."""
        return make_redis(self.url)

    def wake(self, queue: str, messages: Iterable[dramatiq.Message[Any] | MessageProxy]) -> None:
        """Wake somebody up for each of these pieces, in one round trip."""
        encoded: list[bytes] = [message.encode() for message in messages]
        if not encoded:
            return
        try:
            self._push(queue, encoded)
        except redis.ResponseError as problem:
            if "WRONGTYPE" not in str(problem):
                raise
            self.mend(queue)
            self._push(queue, encoded)

    def _push(self, queue: str, messages: list[bytes]) -> None:
        with self.client.pipeline(transaction=False) as pipe:
            pipe.rpush(key(queue), *messages)
            pipe.ltrim(key(queue), -MOST, -1)
            pipe.execute()

    def mend(self, queue: str) -> None:
        """Remove what stands in a queue's place and is no list."""
        log.warning("queue.replaced", queue=queue, why="what stood in its place was no list")
        self.client.delete(key(queue))

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 0) -> "Consumer":  # noqa: ARG002
        """Whoever reads a queue; `timeout` is what dramatiq's own would sleep, and is not needed."""
        return Consumer(self, queue_name, prefetch)


class Dropped:
    """Tells of messages that are none of ours: of the first in a minute one by one, of the others how many."""

    def __init__(self, queue: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._until = 0.0
        self._told = self._untold = 0

    def add(self, size: int) -> None:
        """One was dropped."""
        self.log_count()
        if self._told < MOST_TOLD:
            self._told += 1
            log.warning("queue.message_dropped", queue=self._queue, bytes=size, why="it is none of ours")
        else:
            self._untold += 1

    def log_count(self) -> None:
        """Say, if a minute has passed, how many more were dropped in it."""
        if self._clock() < self._until:
            return
        if self._untold:
            log.warning("queue.messages_dropped", queue=self._queue, more=self._untold, why="they are none of ours")
        self._until = self._clock() + 60
        self._told = self._untold = 0


class Consumer(dramatiq.Consumer):
    """Blocks in Redis until a message comes, unless as many as may be are being worked on. Redis may go and come."""

    def __init__(self, broker: Broker, queue: str, prefetch: int) -> None:
        self._broker = broker
        self._queue = queue
        self._room = threading.Semaphore(prefetch)
        self._open: set[str] = set()
        self._dropped = Dropped(queue)

    def __next__(self) -> MessageProxy | None:
        """The next message, or None where none came in time, or it was none of ours."""
        if not self._room.acquire(timeout=BLOCK_SECONDS):
            return None
        message = self._next()
        if message is None:
            self._room.release()
            return None
        self._open.add(message.message_id)
        return MessageProxy(message)

    def _next(self) -> dramatiq.Message[Any] | None:
        self._dropped.log_count()
        try:
            found: Any = self._broker.client.blpop([key(self._queue)], timeout=BLOCK_SECONDS)
            REDIS.end()
        except redis.ResponseError as problem:
            if "WRONGTYPE" in str(problem):
                self._broker.mend(self._queue)
            else:
                self._rest(problem)
            return None
        except redis.RedisError as problem:
            self._rest(problem)
            return None
        if not found:
            return None
        message = self._read(found[1])
        if message is None:
            self._dropped.add(len(found[1]))
        return message

    def _rest(self, problem: redis.RedisError) -> None:
        """Wait before Redis is asked again, which cannot be used."""
        REDIS.begin(problem, self._broker.url)
        self._broker.stopping.wait(PAUSE_SECONDS)

    def _read(self, message: bytes) -> dramatiq.Message[Any] | None:
        """What a message says, or None where it is not one that this queue may have."""
        try:
            wake_up = msgspec.json.decode(message, type=_WakeUp)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        organisation, piece = wake_up.args
        known = wake_up.queue_name == self._queue and wake_up.actor_name in self._broker.actors
        fits = organisation in _ORGANISATIONS and piece in _PIECES
        return message_for(self._queue, wake_up.actor_name, organisation, piece) if known and fits else None

    def ack(self, message: MessageProxy) -> None:
        """One more may come; the message left Redis when it was read. What an earlier consumer read took no room."""
        if message.message_id in self._open:
            self._open.discard(message.message_id)
            self._room.release()

    nack = ack

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give back what was read and not begun, for another process to have at once."""
        try:
            self._broker.wake(self._queue, messages)
        except redis.RedisError as problem:
            REDIS.begin(problem, self._broker.url)


def key(queue: str) -> str:
    """Where a queue is kept in Redis."""
    return f"rollcall:queue:{queue}"


def message_for(queue: str, actor: str, organisation: int, work: int) -> dramatiq.Message[Any]:
    """What wakes a worker up for a piece of work."""
    return dramatiq.Message(queue_name=queue, actor_name=actor, args=(organisation, work), kwargs={}, options={})
