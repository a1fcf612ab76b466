"""Staying the owner of a piece for as long as it is worked on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from config.database import is_connection_problem, transaction
from config.log import without_data
from config.runtime import Runtime
from tasks.work.store import LostLease, Piece, extend

log = structlog.get_logger()

#: Beats in one lease: two may be missed.
BEATS = 3


@contextmanager
def heartbeat(runtime: Runtime, piece: Piece) -> Iterator[None]:
    """Extend the lease of a piece until the block ends. A beat that fails is not an error here, and the next one is
    tried all the same: the fence is checked again where the outcome is written."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(runtime.lease.total_seconds() / BEATS):
            try:
                with transaction(runtime.engine, piece.organisation) as connection:
                    extend(connection, piece, runtime.lease)
            except LostLease:
                return
            except SQLAlchemyError as problem:
                if not is_connection_problem(problem):  # that is said by whoever watches the engine
                    log.warning("work.beat_missed", work=piece.work, **without_data(problem))

    thread = threading.Thread(target=beat, name=f"lease of {piece.work}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
