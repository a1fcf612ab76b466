"""Engines: the connections of a process to PostgreSQL, and what they take for granted."""

import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.array import ListBinaryDumper
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import OperationalError

from config import clock
from config.errors import ConfigurationError
from config.pipeline import READ_ONLY, pipeline_of
from config.pooler import WITHOUT_SESSION, Pooler

#: How soon libpq gives up a connection, unless the URL says otherwise: one that does not come about, in seconds; one
#: that went without a word, by probes when nothing is said on it (seconds, seconds, how many) and by what is not
#: acknowledged when something is (milliseconds). Linux alone takes 15 minutes, and two hours where nothing is said.
DEADLINES = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

#: How soon the server ends a session of whose host it hears nothing, and so lets go of its locks and of the relay's
#: lead: by probes when nothing is said (seconds, seconds, how many: one lost packet ends nothing) and by what is not
#: acknowledged (milliseconds). Linux alone takes two hours, or 15 minutes. Options of the URL come after, and win.
GIVEN_UP = {
    "tcp_keepalives_idle": 3,
    "tcp_keepalives_interval": 1,
    "tcp_keepalives_count": 4,
    "tcp_user_timeout": 7_000,
}

#: What our statements, and whoever reads their results, take for granted, whatever the server, the database or the role
#: says. What an operator decides (time-outs, search_path, whether to write at all) stays as they say.
OURS = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "extra_float_digits": "1",
    "row_security": "on",
    "default_transaction_isolation": "read\\ committed",
}


#: Seconds after its last use for which a connection on which nothing came in is taken for open.
QUIET_SECONDS = 1.0


def deadlines(url: str) -> dict[str, Any]:
    """The deadlines of connections to this URL that it does not give itself."""
    said = conninfo_to_dict(url)
    return {name: value for name, value in DEADLINES.items() if name not in said}


def session_options(url: str, **told: object) -> str:
    """What the server is told as a session begins: when to give it up, what the URL says, and `told`."""
    said = str(conninfo_to_dict(url).get("options") or os.environ.get("PGOPTIONS", ""))
    given_up, ours = (" ".join(f"-c {name}={value}" for name, value in those.items()) for those in (GIVEN_UP, told))
    return f"{given_up} {said} {ours}"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for a free connection of the pool, for a new one, for a lock and, unless that is None, for a
    statement."""

    pool: float
    connect: int
    lock: float
    statement: float | None


def make_engine(
    url: str,
    *,
    role: str,
    pool: int = 4,
    more: int = 4,
    patience: Patience | None = None,
    ping: bool = True,
    connect: Callable[..., psycopg.Connection[Any]] = psycopg.connect,
    pooler: str = "",
) -> Engine:
    """An engine whose connections speak UTC, name their `role` and send lists in binary (four times cheaper). It keeps
    `pool` connections open, and makes so many `more` while all are in use; `patience` bounds how long it waits. The URL
    means what it means to libpq. `ping`: whether a connection is asked if it is there before it is used again, unless
    it was used just now and the server has not hung up since; else its user asks anew if it was not. `connect` is what
    makes one. `pooler`: the URL of one in front of the same database, for what needs no session of its own."""
    past = make_engine(url, role=role, pool=1, more=pool + more, patience=patience, connect=connect) if pooler else None
    through = None if past is None else Pooler(pooler, past)
    bounds = deadlines(pooler or url)
    options = session_options(url, **OURS)
    if patience is not None:
        bounds["connect_timeout"] = patience.connect
        options += f" -c lock_timeout={patience.lock * 1000:.0f}"
        if patience.statement is not None:
            options += f" -c statement_timeout={patience.statement * 1000:.0f}"
    engine = create_engine(
        "postgresql+psycopg://",
        pool_size=pool,
        max_overflow=more,
        pool_timeout=30 if patience is None else patience.pool,
        pool_pre_ping=ping,
        hide_parameters=True,
        use_native_hstore=False,  # nothing is kept in one, and to look for the type is a question to the server
        connect_args={
            "application_name": f"rollcall {role}",
            "client_encoding": "utf8",
            "options": options,
            **bounds,
            **({} if through is None else WITHOUT_SESSION),
        },
    )
    if through is not None:
        through.serve(engine)
    if ping:
        _ask_seldom(engine)

    @event.listens_for(engine, "handle_error", retval=True)
    def _leave_what_only_reads(context: ExceptionContext) -> OperationalError | None:
        problem = context.original_exception
        if getattr(problem, "sqlstate", None) != READ_ONLY:
            return None
        context.is_disconnect = True
        return OperationalError(context.statement, None, problem)

    place = _Place()

    @event.listens_for(engine, "do_connect")
    def _as_libpq_does(_dialect: object, _record: object, _words: object, arguments: dict[str, Any]) -> object:
        if through is not None:
            return through.connected(lambda: connect(pooler, **arguments), arguments)
        connection = connect(url, **arguments)
        place.enter(connection)
        return connection

    @event.listens_for(engine, "connect", insert=True)
    def _in_unicode(connection: psycopg.Connection[Any], _record: object) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in {None, "UTF8"}:
            raise ConfigurationError(
                f"DATABASE_URL: the database is in {encoding}, and names need UTF8: CREATE DATABASE … ENCODING 'UTF8'"
                " TEMPLATE template0."
            )

    @event.listens_for(engine, "connect")
    def _binary_lists(connection: psycopg.Connection[Any], _record: object) -> None:
        connection.adapters.register_dumper(list, ListBinaryDumper)

    @event.listens_for(engine, "after_cursor_execute")
    def _wait(connection: Connection, _cursor: object, _sql: object, _words: object, run: Any, _many: bool) -> None:
        pipeline = pipeline_of(connection)
        if pipeline is not None and not run.execution_options.get("later"):
            pipeline.wait()

    return engine


def _ask_seldom(engine: Engine) -> None:
    """Ask no connection whether it is there that was used just now and says nothing: who ends a session says so, or
    hangs up. An act takes several connections one after the other, and a question to each is a fifth of its round
    trips."""
    ask = engine.dialect.do_ping
    used: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def is_there(dbapi_connection: Any) -> bool:
        if time.monotonic() - used.get(dbapi_connection, 0.0) < QUIET_SECONDS and not _has_news(dbapi_connection):
            return True
        return ask(dbapi_connection)

    @event.listens_for(engine, "checkin")
    def _note(connection: Any, _record: object) -> None:
        if connection is not None:
            used[connection] = time.monotonic()

    engine.dialect.do_ping = is_there  # type: ignore[method-assign]


def _has_news(connection: psycopg.Connection[Any]) -> bool:
    """Whether something came in on a connection that nobody uses: a notice, or its end."""
    if connection.closed:
        return True
    looked = select.poll()
    looked.register(connection.pgconn.socket, select.POLLIN)
    return bool(looked.poll(0))


#: The schemas with Rollcall's tables that are this user's to read; none if its search_path leads to some, or was set.
_ELSEWHERE = """
    SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname IN ('alembic_version', 'enrolments', 'deliveries', 'consumptions') AND c.relkind IN ('r', 'p')
      AND pg_has_role(c.relowner, 'USAGE') AND to_regclass('consumptions') IS NULL
      AND (SELECT source IN ('default', 'configuration file') FROM pg_settings WHERE name = 'search_path')
    GROUP BY n.nspname HAVING count(*) = 4 ORDER BY n.nspname
"""


class _Place:
    """The schema with Rollcall's tables: where search_path leads. If nobody set that and it leads to none, they may be
    in another schema, made when it was set; a second set of tables, empty, would be no help to anybody."""

    def __init__(self) -> None:
        self._elsewhere: str | None = None

    def enter(self, connection: psycopg.Connection[Any]) -> None:
        """Lead a new connection there. Raises ConfigurationError where there are several."""
        if self._elsewhere is None:
            asked = datetime.now(UTC)
            [(said,)] = connection.execute("SELECT clock_timestamp()")
            clock.learn(said, asked)
            found = [name for (name,) in connection.execute(_ELSEWHERE)]
            if len(found) > 1:
                connection.close()
                raise ConfigurationError(
                    f"DATABASE_URL: Rollcall's tables are in the schemas {' and '.join(found)}: say which with"
                    " ?options=-csearch_path%3D…"
                )
            self._elsewhere = next(iter(found), "")
        if self._elsewhere:
            connection.execute("SELECT set_config('search_path', quote_ident(%s), false)", (self._elsewhere,))
        connection.commit()
