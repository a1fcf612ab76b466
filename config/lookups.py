"""One question to the database that many ask at once: a prepared statement on one connection, and no thread for each.

Psycopg's connections serve one question at a time, each in some ten steps of Python. Here, questions go out in a
pipeline (libpq, "Pipeline Mode"): as many as come in one turn of the event loop are one packet, and so are the answers.
Whoever asks has another way to the same answer, and takes it after any trouble: so there is no second try here.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from sqlalchemy import Engine

from config.pooler import session_engine

#: A row as it came, each value as text.
RawRow = tuple[bytes | None, ...]

#: What hears the rows; None after trouble.
Heard = Callable[[list[RawRow] | None], None]

#: Questions in one packet at most: the answers to it come together.
IN_ONE = 8

#: Seconds after which an answer is overdue, and the connection given up.
OVERDUE_SECONDS = 0.5

#: Where a value stands in a statement.
PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")

_STATEMENT = b"lookup"


class LookupLost(Exception):
    """The connection is of no use any more."""


def numbered(statement: str) -> tuple[str, tuple[str, ...]]:
    """A statement with `$1` for the first of its parameters, and so on; and their names in this order."""
    names = tuple(dict.fromkeys(PARAMETER.findall(statement)))
    return PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", statement), names


def prepare(engine: Engine, statement: str) -> "psycopg.Connection[Any]":
    """A connection of its own, past any pooler, on which a statement is prepared. It blocks."""
    lent = session_engine(engine).raw_connection()
    connection = lent.driver_connection
    lent.detach()
    assert isinstance(connection, psycopg.Connection)  # noqa: S101 - it is psycopg's engine
    prepared = connection.pgconn.prepare(_STATEMENT, numbered(statement)[0].encode())
    if prepared.status != pq.ExecStatus.COMMAND_OK:
        connection.close()
        raise psycopg.OperationalError("the statement cannot be prepared")
    return connection


class Lookups:
    """Asks a prepared statement, in an event loop."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection, self._wire = connection, connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._asked: deque[tuple[float, Heard]] = deque()
        self._ends = self._unsent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loaders, self._is_new = Transformer(connection), True
        self.lost = self._is_full = False
        self._wire.nonblocking = 1
        self._wire.enter_pipeline_mode()
        self._socket = self._wire.socket
        self._loop.add_reader(self._socket, self._receive)

    def ask(self, parameters: Sequence[bytes], heard: Heard) -> None:
        """Ask; `heard` is called later, once. Parameters are in binary: of a text, UTF-8. Raises `LookupLost`."""
        if self.lost:
            raise LookupLost
        try:
            self._wire.send_query_prepared(_STATEMENT, parameters, [pq.Format.BINARY] * len(parameters))
        except psycopg.Error:
            self.close()
            raise LookupLost from None
        self._asked.append((self._loop.time(), heard))
        self._unsent += 1
        if not self._ends or self._unsent == IN_ONE:  # nobody waits where there is nothing to do
            self._send()
        elif self._unsent == 1:
            self._loop.call_soon(self._send)
        if self._timer is None:
            self._timer = self._loop.call_later(OVERDUE_SECONDS, self._check_overdue)

    def loaded(self, row: RawRow) -> tuple[Any, ...]:
        """The values of a row that was heard."""
        return self._loaders.load_sequence(row)

    def close(self) -> None:
        """Give the connection up: who still waits hears None."""
        if self.lost:
            return
        self.lost = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        if self._timer is not None:
            self._timer.cancel()
        self._connection.close()
        while self._asked:
            self._asked.popleft()[1](None)

    def _send(self) -> None:
        if self.lost or not self._unsent:
            return
        self._unsent = 0
        try:
            self._wire.pipeline_sync()
            self._ends += 1
            self._flush()
        except psycopg.Error:
            self.close()

    def _flush(self) -> None:
        try:
            more = bool(self._wire.flush())
        except psycopg.Error:
            self.close()
            return
        if more and not self._is_full:
            self._loop.add_writer(self._socket, self._flush)
        elif self._is_full and not more:
            self._loop.remove_writer(self._socket)
        self._is_full = more

    def _receive(self) -> None:
        try:
            self._wire.consume_input()
            while not self.lost and not self._wire.is_busy():
                result = self._wire.get_result() or self._wire.get_result()  # None is the end of one question's
                if result is None:
                    return
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    self._ends -= 1
                elif result.status == pq.ExecStatus.TUPLES_OK:
                    if self._is_new:  # the columns are always the same
                        self._loaders.set_pgresult(result)
                        self._is_new = False
                    value, columns = result.get_value, range(result.nfields)
                    found = [tuple([value(row, column) for column in columns]) for row in range(result.ntuples)]
                    self._asked.popleft()[1](found)
                else:
                    raise psycopg.OperationalError("the question was not answered")
        except psycopg.Error:
            self.close()

    def _check_overdue(self) -> None:
        """Give up a connection whose answers are overdue; those that came while we were busy are read first."""
        self._timer = None
        self._receive()
        if self.lost or not self._asked:
            return
        left = self._asked[0][0] + OVERDUE_SECONDS - self._loop.time()
        if left <= 0:
            self.close()
        else:
            self._timer = self._loop.call_later(left, self._check_overdue)
