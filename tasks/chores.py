"""What is done for everybody at once; and where that fails, for each by itself: nobody's trouble is another's (R31)."""

import time
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import Connection, Engine

from config.database import is_connection_problem, transaction
from config.log import without_data
from config.pipeline import savepoint

log = structlog.get_logger()

Item = TypeVar("Item")

#: Seconds between two lines of the log about the same trouble.
SELDOM_SECONDS = 60.0

_said: dict[str, float] = {}


class Precheck(Protocol):
    """Says whether there may be anything to do."""

    def __call__(self, connection: Connection) -> object:
        """Anything that is true, if there may be."""


class Sweep(Protocol):
    """Does all there is of a kind; `in_savepoints`: each in one of its own. How much it was."""

    def __call__(self, connection: Connection, *, in_savepoints: bool = False) -> int: ...


def do(engine: Engine, name: str, chore: Sweep) -> int:
    """Do a chore in a transaction of its own; how much it was. Raises only where the database is away."""
    for in_savepoints in (False, True):
        try:
            with transaction(engine) as connection:
                return chore(connection, in_savepoints=in_savepoints)
        except Exception as problem:
            if is_connection_problem(problem):
                raise
            complain(name, problem)
    return 0


def one_by_one(connection: Connection, name: str, items: Iterable[Item], do_: Callable[[Item], int]) -> int:
    """Do each in a savepoint of its own, so that one that fails is left out; how much it was."""
    done = 0
    for item in items:
        try:
            with savepoint(connection):
                done += do_(item)
        except Exception as problem:
            if is_connection_problem(problem):
                raise
            complain(f"{name} {item}", problem)
    return done


def complain(name: str, problem: Exception) -> None:
    """Say in the log what went wrong, once a minute: it is tried again many times a second."""
    now = time.monotonic()
    if now - _said.get(name, -SELDOM_SECONDS) >= SELDOM_SECONDS:
        _said[name] = now
        log.error("chore.failed", chore=name, **without_data(problem))
