"""How often a process asks its servers, and waits for the answer."""

import fcntl
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg.pq import Trace
from redis.connection import AbstractConnection as RedisConnection
from sqlalchemy import event

from config.engine import make_engine
from config.runtime import Runtime

#: What a client sends to PostgreSQL that it is answered.
_ASKED = ("Query", "Sync")


@dataclass
class RoundTrips:
    """A runtime of its own, whose round trips are counted: what libpq says of each connection, and what was sent to
    Redis. `statements`: what the database was asked, without the pool's own question whether it is there."""

    runtime: Runtime
    trace: int
    redis: list[int] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)

    def since(self) -> dict[str, int]:
        """How many there were since the last time."""
        lines = os.pread(self.trace, 10_000_000, 0).decode(errors="replace").splitlines()
        asked = [line for line in lines if line.split("\t")[:1] == ["F"] and line.split("\t")[2] in _ASKED]
        os.ftruncate(self.trace, 0)
        found = {"postgresql": len(asked), "redis": len(self.redis)}
        self.redis.clear()
        self.statements.clear()
        return found


@contextmanager
def counted(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[RoundTrips]:
    """The same runtime with connections of its own, and what they do is counted. None was unused for so long that it
    is asked whether it is there."""
    engine = make_engine(runtime.endpoints.database_url, role="counted")
    with tempfile.NamedTemporaryFile("ab+") as file, monkeypatch.context() as patched:
        fcntl.fcntl(file.fileno(), fcntl.F_SETFL, os.O_APPEND)  # what is read is cut off

        traced: list[psycopg.Connection[Any]] = []

        @event.listens_for(engine, "connect")
        def trace(connection: psycopg.Connection[Any], _record: object) -> None:
            traced.append(connection)
            connection.pgconn.trace(file.fileno())
            connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS | Trace.REGRESS_MODE)

        found = RoundTrips(Runtime(runtime.settings, runtime.endpoints, engine), file.fileno())

        @event.listens_for(engine, "before_cursor_execute")
        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            found.statements.append(statement)

        send, ours = RedisConnection.send_packed_command, threading.get_ident()

        def sent(self: RedisConnection, command: Any, check_health: bool = True) -> None:
            if threading.get_ident() == ours:  # and not what an earlier test has left
                found.redis.append(1)
            send(self, command, check_health)  # type: ignore[no-untyped-call]

        patched.setattr("config.engine.QUIET_SECONDS", 600)  # whatever a slow machine takes
        patched.setattr(RedisConnection, "send_packed_command", sent)
        yield found
        for connection in traced:
            if not connection.closed:
                connection.pgconn.untrace()  # or it writes on where the file was, to whoever has that number by then
        engine.dispose()
