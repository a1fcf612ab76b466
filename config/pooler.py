"""The way to PostgreSQL through a pooler in transaction mode, such as PgBouncer.

Each transaction may be in another session there, and others come after it. So it relies on nothing that a session
keeps, and leaves nothing in it; what needs a session of its own goes past the pooler."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from secrets import randbits
from threading import Lock
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, ExceptionContext, event
from sqlalchemy.exc import DBAPIError

from config.errors import ConfigurationError

#: The setting that names it, which is noted on what is raised if it cannot be reached.
SETTING = "DATABASE_POOLER_URL"

#: What is told to connections through it: no startup option, which PgBouncer refuses, and nothing is prepared, which
#: would be in one session only.
WITHOUT_SESSION: dict[str, Any] = {"options": "", "prepare_threshold": None}

#: The database in which PgBouncer answers questions about itself.
CONSOLE = "pgbouncer"

#: What a connection past the pooler was told, by its URL or by us; but for when the server gives up its host, which is
#: between the server and the pooler.
_TOLD = """
    SELECT name, current_setting(name) FROM pg_settings
    WHERE source IN ('client', 'session') AND context IN ('user', 'superuser')
      AND name NOT IN ('application_name', 'client_encoding') AND NOT starts_with(name, 'tcp_')
"""


class Pooler:
    """What an engine knows of its pooler, once a connection through it was compared with one past it."""

    def __init__(self, url: str, direct: Engine) -> None:
        self.direct = direct
        #: What a transaction is told, as its session was not; and the statement that does it, if there is anything.
        self.told: dict[str, str] = {}
        self.tells = ""
        self._url = url
        self._lock, self._compared = Lock(), False

    def serve(self, engine: Engine) -> None:
        """Be the way of this engine's connections."""
        engine.update_execution_options(pooler=self)
        event.listen(engine, "begin", self._send_settings)
        event.listen(engine, "before_cursor_execute", self._begin)
        event.listen(engine, "after_cursor_execute", self._commit)
        event.listen(engine, "handle_error", self._roll_back)
        event.listen(engine, "engine_disposed", lambda _: self.direct.dispose())

    def connected(
        self, connect: Callable[[], psycopg.Connection[Any]], arguments: Mapping[str, Any]
    ) -> psycopg.Connection[Any]:
        """A connection through it. The first is compared with one past it: raises ConfigurationError if the pooler
        leads elsewhere, or does not lend a session for a whole transaction and no longer."""
        try:
            connection = connect()
        except psycopg.OperationalError as problem:
            problem.add_note(SETTING)
            raise
        try:
            with self._lock:
                if not self._compared:
                    self._refuse_sessions(connection.info.dbname, arguments)
                    self._compare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _send_settings(self, connection: Connection) -> None:
        if self.tells and not _autocommits(connection):
            connection.exec_driver_sql(self.tells.replace("%", "%%"))

    def _begin(self, connection: Connection, *_: object) -> None:
        if not self.tells or not _autocommits(connection):
            return
        try:
            _driver(connection).execute(f"BEGIN; {self.tells}")
        except psycopg.Error as problem:  # raised as what a statement raises
            lost = _driver(connection).closed
            if lost:
                connection.invalidate(problem)
            raise DBAPIError.instance(
                None,
                None,
                problem,
                psycopg.Error,
                hide_parameters=True,
                connection_invalidated=lost,
                dialect=connection.dialect,
            ) from problem

    def _commit(self, connection: Connection, *_: object) -> None:
        if self.tells and _autocommits(connection):
            _driver(connection).execute("COMMIT")

    def _roll_back(self, context: ExceptionContext) -> None:
        connection = context.connection
        if connection is not None and self.tells and _autocommits(connection) and not connection.invalidated:
            with suppress(psycopg.Error):  # it is closed, and its transaction has ended with it
                _driver(connection).rollback()

    def _compare(self, connection: psycopg.Connection[Any]) -> None:
        try:
            with self.direct.connect() as past, connection.transaction():
                past.detach()  # it is closed then
                self.told = _lacking(past, connection)
                self.tells = _telling(self.told, connection)
        except psycopg.errors.ProtocolViolation as problem:
            if "statement pooling" not in str(problem):
                raise
            raise ConfigurationError(f"{SETTING}: its pool_mode is statement, and must be transaction.") from None
        self._compared = True

    def _refuse_sessions(self, database: str, arguments: Mapping[str, Any]) -> None:
        """Ask PgBouncer itself for its mode, if it tells our user (`stats_users`): nothing else shows it for sure."""
        try:
            with psycopg.connect(self._url, **{**arguments, "dbname": CONSOLE, "autocommit": True}) as console:
                found = console.pgconn.exec_(b"SHOW POOLS")  # it only understands simple queries
        except psycopg.Error:
            return
        names = {(found.fname(n) or b"").decode(): n for n in range(found.nfields)}
        for row in range(found.ntuples):
            cells = {name: (found.get_value(row, n) or b"").decode() for name, n in names.items()}
            if cells["database"] == database and cells.get("pool_mode", "transaction") == "session":
                raise ConfigurationError(f"{SETTING}: its pool_mode is session, and must be transaction.")


def _autocommits(connection: Connection) -> bool:
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _lacking(past: Connection, through: psycopg.Connection[Any]) -> dict[str, str]:
    """What a connection past the pooler is told, and one through it is not. Raises ConfigurationError."""
    key = randbits(62)
    past.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (key,))
    if through.execute("SELECT pg_try_advisory_xact_lock(%s)", (key,)).fetchone() != (False,):
        raise ConfigurationError(f"{SETTING} leads to another database than DATABASE_URL: name the same in both.")
    told: dict[str, str] = dict(map(tuple, past.exec_driver_sql(_TOLD)))
    asked = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)"
    known: dict[str, str] = dict(through.execute(asked, ([*told],)))
    lacking = {name: said for name, said in sorted(told.items()) if known[name] != said}
    for name, said in lacking.items():
        if name.startswith("default_transaction_"):  # as a transaction begins it is too late
            raise ConfigurationError(
                f"{SETTING}: {name} is {known[name]!r} there, and must be {said!r}: ALTER ROLE … SET {name} = '{said}'"
            )
    return lacking


def _telling(told: dict[str, str], connection: psycopg.Connection[Any]) -> str:
    each = [sql.SQL("set_config({}, {}, true)").format(name, said) for name, said in told.items()]
    return (sql.SQL("SELECT ") + sql.SQL(", ").join(each)).as_string(connection) if each else ""


def pooler_of(of: Connection | Engine) -> Pooler | None:
    """The pooler that this goes through, if there is one."""
    return of.get_execution_options().get("pooler")


def session_engine(engine: Engine) -> Engine:
    """An engine whose connections are sessions of the database: past the pooler, if there is one."""
    pooler = pooler_of(engine)
    return engine if pooler is None else pooler.direct
