"""Questions to the database whose answer somebody waits for: nobody waits long for one that does not come.

A page of its own has its own connections, so that what takes all of one's takes none of another's. A statement, a lock
and a connection each have a bound in the database or its pool; the bound here is for a database that is silent.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Generic, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config import outages
from config.database import autocommit, execute, is_connection_problem
from config.engine import Patience, make_engine
from config.runtime import Runtime
from workers.web import stopping

Answer = TypeVar("Answer")

#: Seconds to wait for one of the connections, for a connection to be made, and for a lock.
POOL_SECONDS, CONNECT_SECONDS, LOCK_SECONDS = 1.0, 2, 1.0

#: Seconds after which to ask again where too much is asked at once.
AGAIN = 2

#: Seconds that the database has to show that it is there, before it is asked what may take longer.
THERE_SECONDS = 3.0


class Busy(Exception):
    """Too much is asked at once, or the database is silent."""


class TooLong(Busy):
    """It took longer than it may."""


class Bulkhead:
    """Asks so many questions `at_once`; each waits at most `wait` seconds for its turn, and `seconds` for its answer.

    `statement`: seconds that one statement may take; None where the server's own limit is to decide, as of an event:
    what exceeds that is set aside, and what exceeds ours would be sent for ever. Before it is asked what may take
    long, the database has to show that it is there. `connections`: those that one question may need at once; `kept`:
    those that stay open while nobody asks; `ping`: see `make_engine`.
    """

    def __init__(
        self,
        runtime: Runtime,
        role: str,
        *,
        at_once: int,
        wait: float,
        seconds: float,
        statement: float | None,
        connections: int = 1,
        kept: int = 1,
        ping: bool = True,
    ) -> None:
        patience = Patience(POOL_SECONDS, CONNECT_SECONDS, LOCK_SECONDS, statement)
        more = max(0, at_once * connections + 1 - kept)
        url, pooler = runtime.endpoints.database_url, runtime.endpoints.pooler_url

        def connect(url: str, pooler: str = "") -> Engine:
            engine = make_engine(url, role=role, pool=kept, more=more, patience=patience, ping=ping, pooler=pooler)
            stopping.watch(engine)
            return engine

        self.runtime = replace(
            runtime, engine=connect(url, pooler), cells=None if runtime.cells is None else runtime.cells.like(connect)
        )
        outages.watch(self.runtime.engine)
        self._wait, self._seconds, self._probed = wait, seconds, seconds > THERE_SECONDS
        self._bounded = statement is not None
        self._turns = CapacityLimiter(at_once)

    async def ask(self, question: Callable[..., Answer], *about: object) -> Answer:
        """The answer to a question, asked in a thread. Raises `Busy`, and what the question raises."""
        turn = await self.enter()
        try:
            return await self.within(question, *about)
        finally:
            self.leave(turn)

    async def enter(self) -> object:
        """Wait for a turn, which is given back by `leave`. Raises `Busy`."""
        turn = object()
        stopping.ASKED.set(stopping.Question())
        try:
            with anyio.fail_after(self._wait):
                await self._turns.acquire_on_behalf_of(turn)
            if self._probed:
                await self._probe(turn)
        except TimeoutError:
            raise Busy from None
        return turn

    def leave(self, turn: object) -> None:
        """Give a turn back."""
        self._turns.release_on_behalf_of(turn)

    async def within(self, question: Callable[..., Answer], *about: object) -> Answer:
        """The answer to a question of somebody whose turn it is. Raises `Busy`, and what the question raises."""
        return await self._ask(self._seconds, self._bounded, question, *about)

    async def _probe(self, turn: object) -> None:
        try:
            await self._ask(THERE_SECONDS, True, self._is_there)
        except BaseException:
            self.leave(turn)
            raise

    async def _ask(self, seconds: float, bounded: bool, question: Callable[..., Answer], *about: object) -> Answer:
        """`bounded`: the database itself ends what takes that long, so if there is no answer, it is silent."""
        try:
            return await in_time(seconds, question, *about)
        except Busy:
            if bounded:
                outages.POSTGRESQL.begin(TimeoutError("timed out"))
            await self.stop()
            raise

    def close(self) -> None:
        """Close the connections."""
        self.runtime.engine.dispose()
        if self.runtime.cells is not None:
            self.runtime.cells.close()

    async def stop(self) -> None:
        """End what this task asks: nobody waits for it any more."""
        if asked := stopping.ASKED.get():
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(asked.stop, abandon_on_cancel=True, limiter=CapacityLimiter(1))

    def _is_there(self) -> None:
        with autocommit(self.runtime.engine) as connection:
            execute(connection, "SELECT")


async def in_time(seconds: float, question: Callable[..., Answer], *about: object) -> Answer:
    """The answer to a question, asked in a thread of its own. Raises `Busy` if there is none after so many seconds."""
    try:
        with anyio.fail_after(seconds):
            return await to_thread.run_sync(question, *about, abandon_on_cancel=True, limiter=CapacityLimiter(1))
    except TimeoutError:
        raise TooLong from None


class Shared(Generic[Answer]):
    """A question that costs as much however many ask it: whoever asks while the answer is being found gets that one."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Answer]]) -> None:
        self._ask = ask
        self._asked: asyncio.Task[Answer] | None = None

    async def __call__(self) -> Answer:
        """The answer. Raises what the question raises."""
        if self._asked is None:
            self._asked = asyncio.create_task(self._ask())
            self._asked.add_done_callback(self._forget)
        return await asyncio.shield(self._asked)

    def _forget(self, asked: asyncio.Task[Answer]) -> None:
        self._asked = None
        if not asked.cancelled():
            asked.exception()  # seen, though everybody who asked may have gone


def is_busy(problem: Exception) -> bool:
    """Whether what was asked is to be asked again soon: connections, locks or time were used up."""
    state = getattr(getattr(problem, "orig", None), "sqlstate", None)
    return isinstance(problem, (Busy, PoolTimeout)) or state in {"55P03", "57014", "53300"}


def took_too_long(problem: Exception) -> bool:
    """Whether it was ended because it took longer than it may."""
    return isinstance(problem, TooLong) or getattr(getattr(problem, "orig", None), "sqlstate", None) == "57014"


def is_passing(problem: Exception) -> bool:
    """Whether a problem is one of the database's, which passes, and not one of what was asked."""
    return (
        is_busy(problem)
        or is_connection_problem(problem)
        or (isinstance(problem, DBAPIError) and problem.connection_invalidated)
    )
