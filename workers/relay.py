"""Wakes workers for what is due, publishes the outbox in order, closes what is finished, quarantines what waited long.

One relay leads, by an advisory lock on a connection of its own; any number may stand by. It holds no state: whatever it
does is read from the tables, so it may be killed at any moment.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
import redis
import structlog
from sqlalchemy.exc import OperationalError

from config.database import deadlines, is_connection_problem, statement_by_statement, transaction
from config.outages import POSTGRESQL, REDIS, is_redis_outage
from config.runtime import Runtime
from config.streams import IN, OUT, make_redis
from tasks import chores
from tasks.announcements import finish_mailings
from tasks.enrolments import finish_fanouts
from tasks.events import inbox, outbox
from tasks.events import readers as kept
from tasks.events.outbox import cloud_event
from tasks.mail import Witness, notice_restore
from tasks.work import store as work
from workers import readers
from workers.queues import QUEUES, make_broker, message_for

log = structlog.get_logger()

Result = TypeVar("Result")

#: Advisory lock that the leading relay holds for as long as its connection lives.
LEADER_LOCK = 7402

#: The channel on which every transaction that leaves something to do says so, at its commit.
CHANNEL = "rollcall_relay"

#: Seconds between two looks where nothing was announced: the longest that lost news can cost.
LOOK_SECONDS = 2.5

#: Seconds within which an idle relay obeys.
OBEY_SECONDS = 0.5

#: Seconds between two rounds of chores at least: what is announced meanwhile is answered together.
PACE_SECONDS = 0.02

#: Seconds between two tries to become the leader, and between two while Redis is away.
STANDBY_SECONDS = 1.0
PAUSE_SECONDS = 0.5

#: Events put in order, and published, at once.
PUBLISH_BATCH = 1000

#: Batches published before the other chores have their turn.
PUBLISH_AT_MOST = 20

#: Writes entries to a stream that ends where we think; a fifth of what as many XADD in a MULTI cost a client.
_APPEND = """
local at = '0-0'
if redis.call('EXISTS', KEYS[1]) == 1 then
    local about = redis.call('XINFO', 'STREAM', KEYS[1])
    for n = 1, #about, 2 do
        if about[n] == 'last-generated-id' then at = about[n + 1] end
    end
end
if at ~= ARGV[1] then return 0 end
for n = 2, #ARGV, 2 do redis.call('XADD', KEYS[1], ARGV[n], 'event', ARGV[n + 1]) end
return 1
"""

#: What is done for everybody in the database.
CHORES: dict[str, chores.Chore] = {
    "finish fan-outs": finish_fanouts,
    "finish mailings": finish_mailings,
    "quarantine": inbox.quarantine_overdue,
}

#: Seconds between two looks whether the database is the one that was seen last.
WITNESS_SECONDS = 3.0

#: Seconds between two looks at how far the readers of the streams have come.
READERS_SECONDS = 5.0


def run(runtime: Runtime) -> None:
    """Lead whenever nobody else does, until told to stop."""
    log.info("relay.started")
    while not runtime.stopping.is_set():
        try:
            with _leadership(runtime) as news:
                if news is None:
                    runtime.stopping.wait(STANDBY_SECONDS)
                else:
                    log.info("relay.leads")
                    Relay(runtime).lead(news)
        except (psycopg.OperationalError, OperationalError) as problem:
            POSTGRESQL.begin(problem)
            runtime.stopping.wait(STANDBY_SECONDS)


@contextmanager
def _leadership(runtime: Runtime) -> Iterator[psycopg.Connection[Any] | None]:
    """A connection that holds the lock and hears the news, or None where another relay leads."""
    with psycopg.connect(
        runtime.endpoints.database_url,
        autocommit=True,
        application_name="rollcall relay lead",
        **deadlines(runtime.endpoints.database_url),
    ) as connection:
        POSTGRESQL.end()
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)).fetchone()
        if row is None or not row[0]:
            yield None
            return
        connection.execute(f"LISTEN {CHANNEL}")
        yield connection


class Relay:
    """The leader's chores, each of which leaves the tables so that it can be killed and begun again."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.redis = make_redis(runtime.endpoints.redis_url)
        self.append = self.redis.register_script(_APPEND)
        self.broker = make_broker(runtime.endpoints.redis_url, runtime.stopping)
        self.began = 0.0
        self.saw_readers = 0.0
        self.saw_witness = -WITNESS_SECONDS
        self.witness = Witness(runtime.endpoints.redis_url, runtime.home)
        self.until_due = LOOK_SECONDS
        self._resting: dict[str, float] = {}

    def lead(self, news: psycopg.Connection[Any]) -> None:
        """Do the chores whenever something was announced, but not without a pause, and when it is time to look."""
        while not self.runtime.stopping.wait(max(PACE_SECONDS - (time.monotonic() - self.began), 0)):
            self.began = time.monotonic()
            self.chores()
            self._hear(news)

    def _hear(self, news: psycopg.Connection[Any]) -> None:
        """Wait until something is announced, a piece becomes due, or it is time to look."""
        until = time.monotonic() + self.until_due
        heard = False
        while not heard and not self.runtime.stopping.is_set() and (left := until - time.monotonic()) > 0:
            heard = any(True for _ in news.notifies(timeout=min(left, OBEY_SECONDS), stop_after=1))
        for _ in news.notifies(timeout=0):
            pass  # the chores answer all that was said until now

    def chores(self) -> None:
        """Every chore once. One that fails, or that needs Redis while it is away, does not keep the others from being
        done. Nobody is woken by a database that nobody has looked at."""
        if time.monotonic() - self.saw_witness >= WITNESS_SECONDS:
            self._do("witness", self.see_witness)
        for name, chore in CHORES.items():
            chores.do(self.runtime.engine, name, chore)
        self.until_due = LOOK_SECONDS
        try:
            more = self._do("publish", lambda: self.publish(PUBLISH_AT_MOST))
            self._do("wake", self.wake)
            self.until_due = 0 if more else self.until_due
            if time.monotonic() - self.saw_readers >= READERS_SECONDS:
                self._do("readers", self.see_readers)
            REDIS.end()
        except redis.RedisError as problem:
            REDIS.begin(problem, self.runtime.endpoints.redis_url)
            self.runtime.stopping.wait(PAUSE_SECONDS)
            self.until_due = 0

    def _do(self, name: str, do: Callable[[], Result]) -> Result | None:
        """Do a chore that needs Redis, unless it failed a moment ago; what it says, or None. Raises where the database
        or Redis is away."""
        if self._resting.get(name, 0) > time.monotonic():
            return None
        try:
            return do()
        except Exception as problem:
            if is_connection_problem(problem) or is_redis_outage(problem):
                raise
            chores.complain(name, problem)
            self._resting[name] = time.monotonic() + LOOK_SECONDS
            return None

    def wake(self) -> None:
        """Offer what is due to the workers, organisations in turns (R31). A wake-up that is lost is repeated."""
        settings = self.runtime.settings
        with transaction(self.runtime.engine) as connection:
            offers = {
                queue: work.offer(
                    connection,
                    queue,
                    bound=settings.rollcall_in_flight,
                    repeat=timedelta(seconds=settings.rollcall_offer_seconds),
                )
                for queue in QUEUES
            }
            seconds = work.next_due_seconds(connection)
        self.until_due = LOOK_SECONDS if seconds is None else min(max(seconds, PACE_SECONDS), LOOK_SECONDS)
        for queue, offered in offers.items():
            self.broker.wake(queue, [message_for(queue, one.actor, one.organisation, one.work) for one in offered])

    def publish(self, at_most: int | None = None) -> bool:
        """Put the outbox in order and write it to the stream, each event under an id that can be written once; at most
        so many batches. Whether there is more to do."""
        batches = itertools.count() if at_most is None else range(at_most)
        return all(not self.runtime.stopping.is_set() and self._publish_next() for _ in batches)

    def _publish_next(self) -> bool:
        """Go on where the stream ends; whether there is more to do.

        The stream itself says how far it has come, and what is remembered is put right by it: where Redis lost the end
        of the stream, that is written again under the same ids; where it lost all of it, what not every group had
        acknowledged is. Looking again at where it ends and writing is one act.
        """
        end = after = _stream_end(self.redis)
        with transaction(self.runtime.engine, pipelined=True) as connection:
            outbox.alone(connection)
            state = outbox.publication(connection)
            if state.rests(end.first):
                return False
            if end.first > state.ordered:  # before anything new has its place: none of that is on the stream
                log.warning("relay.stream_is_ahead", ordered=state.ordered, end=end.first)
                outbox.order_after_stream(connection, end.first)
                return True
            outbox.put_in_order(connection, PUBLISH_BATCH)
            lost = end.first < state.published
            known = kept.known(connection) if lost else {}
            if end.first == 0 and known:
                after = readers.Entry(min(*known.values(), state.published), 0)
            batch = outbox.ordered_after(connection, after.first, PUBLISH_BATCH)
        if lost:
            log.warning("relay.stream_lost", published=state.published, left=end.first, again_after=after.first)
            if not readers.restore(self.redis, end, known, after):
                return True
        if batch and not self._append(after, batch):
            return True
        through = batch[-1].position if batch else after.first
        with statement_by_statement(self.runtime.engine) as connection:  # until now, what was lost is known as lost
            return outbox.published_through(connection, through) and bool(batch)

    def _append(self, end: readers.Entry, batch: Sequence[outbox.Outgoing]) -> bool:
        """Write events to the stream if it ends there; not if somebody wrote to it, or it was lost, in between."""
        arguments: list[str | bytes] = [str(end)]
        for event in batch:
            arguments += (f"{event.position}-0", cloud_event(event))
        return bool(self.append(keys=[OUT], args=arguments))

    def see_witness(self) -> None:
        """Hold all mail if the database was restored; else remember in the home how far it has come."""
        with transaction(self.runtime.engine) as connection:
            if not notice_restore(connection, self.witness):
                self.witness.keep(connection)
        self.saw_witness = time.monotonic()

    def see_readers(self) -> None:
        """Remember how far every group has come, and trim both streams behind all of them."""
        self.saw_readers = time.monotonic()
        with transaction(self.runtime.engine) as connection:
            state = outbox.publication(connection)
            readers.remember(connection, self.redis, state.ordered, state.published)
        for stream in (IN, OUT):
            readers.trim(self.redis, stream)


def _stream_end(client: redis.Redis) -> readers.Entry:
    """The last entry that was ever written to the stream, whose position is 0 where there is none."""
    try:
        last: bytes = client.xinfo_stream(OUT)["last-generated-id"]
    except redis.ResponseError as problem:
        if "no such key" not in str(problem):
            raise
        return readers.Entry(0, 0)
    return readers.Entry.parse(last)
