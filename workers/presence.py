"""How a process tells the others that it runs, what it does and what it has counted; and whoever probes it, whether it
lives.

It costs a statement a minute while nothing happens. Nothing of it may end the process: the database may be away.
"""

import os
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from config import clock
from config.counting import counts
from config.database import autocommit, is_connection_problem
from config.log import without_data
from config.runtime import Runtime
from tasks import fleet
from workers import readiness

log = structlog.get_logger()

#: Seconds between two times at which a process says that it runs.
BEAT_SECONDS = 60.0

#: Seconds between two times at which what was counted is stored; nothing is if nothing was.
STORE_SECONDS = 10.0

#: Seconds for which the main part of a process may do one thing; then it is not alive.
SILENT_SECONDS = 120.0


def store_counts(engine: Engine) -> None:
    """Add what this process has counted to what is stored. If that fails, it is kept for the next time."""
    counted = counts.take()
    if not counted:
        return
    try:
        with autocommit(engine) as connection:
            fleet.add_counts(connection, counted)
    except BaseException:
        counts.give_back(counted)
        raise


class Presence:
    """A process, as the others see it. `busy_with`: what its threads work on now."""

    def __init__(
        self,
        runtime: Runtime,
        role: fleet.ProcessRole,
        queues: Sequence[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._runtime, self._role, self._queues = runtime, role, queues
        self._process = uuid.uuid4()
        self._leads = False
        self._doing: Counter[str] = Counter()
        self._due = 0.0
        self._news = threading.Event()
        self._lived = clock()

    def lives(self) -> None:
        """The main part of this process goes on."""
        self._lived = self._clock()
        readiness.alive()

    @property
    def is_alive(self) -> bool:
        """Whether its main part has gone on lately."""
        return self._clock() - self._lived < SILENT_SECONDS

    @contextmanager
    def leading(self) -> Iterator[None]:
        """It leads within the block: that is said at once, and so is that it no longer does."""
        self._set_leading(leads=True)
        try:
            yield
        finally:
            self._set_leading(leads=False)

    def _set_leading(self, *, leads: bool) -> None:
        self._leads, self._due = leads, 0.0
        self._news.set()

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """It does this within the block."""
        self._doing[what] += 1
        try:
            yield
        finally:
            self._doing[what] -= 1

    @contextmanager
    def shown(self) -> Iterator["Presence"]:
        """Be seen until the block ends."""
        ended = threading.Event()
        thread = threading.Thread(target=self._go_on, args=(ended,), name="presence", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            self._news.set()
            thread.join(STORE_SECONDS)

    def _go_on(self, ended: threading.Event) -> None:
        while not ended.is_set():
            self.say()
            self._news.wait(STORE_SECONDS)
            self._news.clear()
        self.store()
        self._try(self._leave)

    def say(self) -> None:
        """Say that it runs, if that is due, and store what was counted, if anything was."""
        self.store()
        now = self._clock()
        if now >= self._due:
            self._due = now + BEAT_SECONDS
            self._try(self._report)

    def store(self) -> None:
        """Store what was counted; it is kept if that cannot be."""
        self._try(lambda: store_counts(self._runtime.engine))

    def _report(self) -> None:
        busy = ", ".join(f"{n} {what}" for what, n in sorted(self._doing.items()) if n) or None
        with autocommit(self._runtime.engine) as connection:
            asked = datetime.now(UTC)
            said = fleet.report(
                connection,
                self._process,
                self._role,
                socket.gethostname(),
                os.getpid(),
                version("rollcall"),
                self._queues,
                leads=self._leads,
                busy_with=busy,
            )
        clock.learn(said, asked)

    def _leave(self) -> None:
        with autocommit(self._runtime.engine) as connection:
            fleet.leave(connection, self._process)

    def _try(self, do: Callable[[], None]) -> None:
        try:
            do()
        except SQLAlchemyError as problem:  # it is said and stored the next time
            if not is_connection_problem(problem):  # that is said by whoever watches the engine
                log.warning("presence.not_said", **without_data(problem))
