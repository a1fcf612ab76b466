"""What nobody waits for any more is ended in the database too.

Whoever gives up on an answer leaves a thread behind. Its statement is cancelled, and it begins no other: so it ends,
and its transaction with it.
"""

from contextlib import suppress
from contextvars import ContextVar
from threading import Lock
from typing import Any

import psycopg
from sqlalchemy import Engine, event

#: Seconds that cancelling a statement may take.
CANCEL_SECONDS = 2.0


class TookTooLong(Exception):
    """The question was given up before it had its answer."""


class Question:
    """The connections that a question has, in whatever threads it is asked."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connections: list[Any] = []
        self.stopped = False

    def hold(self, connection: Any) -> None:
        """Note a connection that was taken for it."""
        with self._lock:
            self._connections.append(connection)

    def release(self, connection: Any) -> None:
        """Note that it was given back. While it is being cancelled, nobody else gets it."""
        with self._lock, suppress(ValueError):
            self._connections.remove(connection)

    def stop(self) -> None:
        """Cancel what it is doing, and let it do nothing more."""
        self.stopped = True
        with self._lock:
            for connection in self._connections:
                with suppress(psycopg.Error, OSError):
                    connection.cancel_safe(timeout=CANCEL_SECONDS)


#: What is being asked. The threads of a task see what the task asks.
ASKED: ContextVar[Question | None] = ContextVar("asked", default=None)


def watch(engine: Engine) -> None:
    """Note whose the connections of an engine are."""

    def checked_out(connection: Any, record: Any, _proxy: Any) -> None:
        if question := ASKED.get():
            record.info["question"] = question
            question.hold(connection)

    def checked_in(connection: Any, record: Any) -> None:
        if question := record.info.pop("question", None):
            question.release(connection)

    def before(*_said: object) -> None:
        if (question := ASKED.get()) and question.stopped:
            raise TookTooLong

    event.listen(engine, "checkout", checked_out)
    event.listen(engine, "checkin", checked_in)
    event.listen(engine, "before_cursor_execute", before)
