"""Does the chores, one at a time, each when it is due; one that may take seconds is done beside the others.

One relay leads, by an advisory lock on a connection of its own; any number may stand by. It holds no state: whatever it
does is read from the tables, so it may be killed at any moment.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import redis
import structlog
from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy.exc import OperationalError

from config.database import is_connection_problem
from config.engine import deadlines, session_options
from config.locks import LEADER_LOCK
from config.outages import POSTGRESQL, REDIS, is_redis_outage
from config.runtime import Runtime
from config.streams import make_redis
from tasks.chores import complain
from tasks.fleet import ProcessRole
from workers.presence import Presence
from workers.relay.audit import KeepAudit
from workers.relay.chore import FAILED_SECONDS, Chore
from workers.relay.fanouts import FinishFanouts
from workers.relay.forgetting import ForgetEvents
from workers.relay.mailings import FinishMailings
from workers.relay.publish import Publish
from workers.relay.quarantine import Quarantine
from workers.relay.readers import WatchReaders
from workers.relay.repeats import ForgetRepeats
from workers.relay.retention import KeepPartitions
from workers.relay.sampling import TakeSamples
from workers.relay.searching import IndexLearners
from workers.relay.statistics import AnalyzeGrown
from workers.relay.wake import Wake
from workers.relay.witness import WatchWitness

log = structlog.get_logger()

#: The channel on which every transaction that leaves something to do says so, at its commit.
CHANNEL = "rollcall_relay"

#: The chores, in the order in which those that are due are done. Nobody is woken by a database that nobody has looked
#: at; and a mailing is finished after the fan-out that it belongs to.
CHORES: tuple[type[Chore], ...] = (
    WatchWitness,
    Wake,
    Publish,
    FinishFanouts,
    FinishMailings,
    Quarantine,
    WatchReaders,
    ForgetRepeats,
    ForgetEvents,
    KeepAudit,
    KeepPartitions,
    AnalyzeGrown,
    IndexLearners,
    TakeSamples,
)

#: Seconds within which an idle relay obeys.
OBEY_SECONDS = 0.5

#: Seconds between two tries to become the leader, and between two while Redis is away.
STANDBY_SECONDS = 1.0
PAUSE_SECONDS = 0.5


def run(runtime: Runtime, presence: Presence | None = None) -> None:
    """Lead whenever nobody else does, until told to stop."""
    log.info("relay.started")
    presence = presence or Presence(runtime, ProcessRole.RELAY)
    while not runtime.stopping.is_set():
        presence.lives()
        try:
            with _leadership(runtime) as news:
                if news is None:
                    runtime.stopping.wait(STANDBY_SECONDS)
                else:
                    log.info("relay.leads")
                    with presence.leading():
                        Relay(runtime, presence).lead(news)
        except (psycopg.OperationalError, ReadOnlySqlTransaction, OperationalError) as problem:
            POSTGRESQL.begin(problem)
            runtime.stopping.wait(STANDBY_SECONDS)


@contextmanager
def _leadership(runtime: Runtime) -> Iterator[psycopg.Connection[Any] | None]:
    """A connection that holds the lock and hears the news, or None where another relay leads. Raises
    ReadOnlySqlTransaction from a standby, as a server still is that was made the primary a moment ago."""
    with psycopg.connect(
        runtime.endpoints.database_url,
        autocommit=True,
        application_name="rollcall relay lead",
        options=session_options(runtime.endpoints.database_url),
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
    """Whoever does the chores. One that fails, or needs Redis while it is away, does not keep the others from being
    done. Raises where the database is away."""

    def __init__(
        self, runtime: Runtime, presence: Presence | None = None, chores: Iterable[type[Chore]] = CHORES
    ) -> None:
        self.runtime = runtime
        self._presence = presence or Presence(runtime, ProcessRole.RELAY)
        self.chores = [chore(runtime) for chore in chores]
        self._redis = make_redis(runtime.endpoints.redis_url)
        self._away = REDIS.under_way
        self._beside: dict[Chore, threading.Thread] = {}

    def lead(self, news: psycopg.Connection[Any]) -> None:
        """Do each chore when it is due, or something was announced, until told to stop."""
        while not self.runtime.stopping.is_set():
            self.round()
            self._hear(news)

    def _hear(self, news: psycopg.Connection[Any]) -> None:
        """Wait until a chore is due; what is announced meanwhile may make one due sooner."""
        while not self.runtime.stopping.is_set():
            self._presence.lives()
            patience = min(max(self._seconds_left(), 0), OBEY_SECONDS)
            heard = {each.payload for each in news.notifies(timeout=patience, stop_after=1)}
            for chore in self.chores if heard else ():
                chore.hear(heard)
            if self._seconds_left() <= 0:
                return

    def _seconds_left(self) -> float:
        return min(chore.due_at for chore in self.chores) - time.monotonic()

    def round(self) -> None:
        """Do every chore that is due."""
        for chore in self.chores:
            self._presence.lives()
            if chore.due_at <= time.monotonic() and not self.runtime.stopping.is_set():
                self._do(chore)

    def _do(self, chore: Chore) -> None:
        try:
            if chore.needs_redis and self._away:
                self._redis.ping()
            if chore.beside:
                self._start(chore)
            else:
                chore.run()
        except Exception as problem:
            if is_connection_problem(problem):
                raise
            if not (isinstance(problem, redis.RedisError) and is_redis_outage(problem)):
                complain(chore.name, problem)
                return
            REDIS.begin(problem, self.runtime.endpoints.redis_url)
            self._away = True
            for other in self.chores:
                if other.needs_redis:
                    other.put_off(PAUSE_SECONDS)
        else:
            if chore.needs_redis:
                self._away = False
                REDIS.end()

    def _start(self, chore: Chore) -> None:
        """Do a chore in a thread of its own, unless it is still being done."""
        before = self._beside.get(chore)
        if before is not None and before.is_alive():
            chore.put_off(FAILED_SECONDS)
            return
        self._beside[chore] = threading.Thread(target=_done_beside, args=(chore,), daemon=True)
        self._beside[chore].start()


def _done_beside(chore: Chore) -> None:
    try:
        chore.run()
    except Exception as problem:  # noqa: BLE001 - it is due again soon; if the database is away, the others say so
        if not is_connection_problem(problem):
            complain(chore.name, problem)
