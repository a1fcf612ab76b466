"""Databases for the tests: copies of a template, and those of earlier tests that were left as a copy is, but for rows.

A database that is used again, and the sessions in it that are kept, save most of what a test costs the server: what a
new session learns of the tables, and to plan a statement anew, takes it longer than most of what it is asked.
"""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus
from sqlalchemy import Engine

from config.embedded import Embedded
from config.engine import make_engine

#: The database every test's own is a copy of.
TEMPLATE = "rollcall_template"

#: Bytes of a table up to which the planner thinks of it as of one that was never written to: ten pages.
SMALL = 10 * 8192

#: Seconds to wait until the sessions of a test that ended are gone.
ENDS_WITHIN = 0.2

#: After how often a session prepares a statement, and of how many at most.
PREPARED_AFTER, PREPARED = 1, 1000

#: What `DISCARD ALL` does, but for what was prepared and planned.
_AS_IF_NEW = b"""
    CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all();
    DISCARD TEMP; DISCARD SEQUENCES
"""

#: What a copy has, but for rows: each catalog with what is ours in it. A change of a row gives it a newer xmin; rows
#: of triggers are changed here, and back.
_CATALOGS = {
    "pg_attrdef": "oid >= 16384",
    "pg_attribute": "attrelid >= 16384",
    "pg_class": "oid >= 16384",
    "pg_constraint": "oid >= 16384",
    "pg_db_role_setting": "setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
    "pg_default_acl": "true",
    "pg_event_trigger": "true",
    "pg_extension": "true",
    "pg_index": "indexrelid >= 16384",
    "pg_namespace": "nspname NOT LIKE 'pg_temp%' AND nspname NOT LIKE 'pg_toast_temp%'",
    "pg_policy": "true",
    "pg_proc": "oid >= 16384",
    "pg_rewrite": "oid >= 16384",
    "pg_statistic": "starelid >= 16384",
    "pg_statistic_ext": "true",
    "pg_type": "oid >= 16384",
}
_LOOK = (
    """
    WITH sized AS MATERIALIZED (
        SELECT oid, pg_relation_size(oid) AS size FROM pg_class WHERE oid >= 16384 AND relkind = 'r')
    SELECT
        (SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND backend_type = 'client backend') AS sessions,
        ARRAY(SELECT CAST(CAST(oid AS regclass) AS text) FROM sized WHERE size > 0 ORDER BY oid) AS written,
        (SELECT max(size) FROM sized) AS largest,
        (SELECT concat_ws(' ', sum(relpages), sum(reltuples)) FROM pg_class WHERE oid >= 16384) || ' ' ||
        (SELECT sum(hashtext(concat_ws(' ', oid, tgfoid, tgtype, tgenabled))) FROM pg_trigger) || ' ' ||
        (SELECT string_agg(concat_ws(' ', catalog, n, newest), ' ' ORDER BY catalog) FROM (
    """
    + " UNION ALL ".join(
        f"SELECT '{name}' AS catalog, count(*) AS n, max(CAST(CAST(xmin AS text) AS bigint)) AS newest FROM {name}"
        f" WHERE {ours}"
        for name, ours in _CATALOGS.items()
    )
    + ") found) AS shape"
)


class Seen(NamedTuple):
    """How many sessions a database has, the tables that were ever written to, the bytes of the largest, and what tells
    whether anything but rows has changed."""

    sessions: int
    written: list[str]
    largest: int
    shape: str


def database_named(embedded: Embedded, name: str) -> str:
    """The URL of another database on the same server."""
    assert embedded.database_url is not None
    return embedded.database_url.replace("/rollcall?", f"/{name}?")


def administrator(embedded: Embedded) -> "psycopg.Connection[Any]":
    """A session of the server's administrator."""
    assert embedded.database_url is not None
    cloned = "-c file_copy_method=clone"  # the kernel copies whole files: a quarter of the processor's time
    return psycopg.connect(embedded.database_url, autocommit=True, options=cloned)


class Session(psycopg.Connection[Any]):
    """A session that its database keeps when it is closed, with what it has prepared."""

    database: "Database | None" = None

    def rollback(self) -> None:
        """End a transaction, and forget nothing of what was prepared if nothing went wrong in it; psycopg would."""
        if self.pgconn.transaction_status == TransactionStatus.INTRANS and not self._pipeline:
            self.pgconn.exec_(b"ROLLBACK")
        else:
            super().rollback()

    def close(self) -> None:
        """Be kept as if new; end where that cannot be."""
        database, self.database = self.database, None
        if database is None or not database.keep(self):
            super().close()


@dataclass
class Database:
    """A copy of the template, and its sessions that nobody uses now."""

    name: str
    url: str
    _sessions: list[Session] = field(default_factory=list)
    _emptier: "psycopg.Connection[Any] | None" = None
    _gone: bool = False

    def session(self, url: str, **arguments: Any) -> Session:
        """One that is kept, or a new one."""
        while self._sessions:
            found = self._sessions.pop()
            if not found.closed:
                break
        else:
            found = Session.connect(url, **arguments)
        found.prepare_threshold, found.prepared_max = PREPARED_AFTER, PREPARED
        found.database = self
        return found

    def keep(self, session: Session) -> bool:
        """Keep a session that nobody uses any more, as if it were new, unless something happened to it."""
        idle = session.pgconn.transaction_status == TransactionStatus.IDLE
        if self._gone or session.closed or not idle or session.pgconn.pipeline_status != PipelineStatus.OFF:
            return False
        try:
            session.set_isolation_level(None)
            session.set_read_only(None)
            session.set_deferrable(None)
            session.set_autocommit(False)
            done = session.pgconn.exec_(_AS_IF_NEW)
        except psycopg.Error:
            return False
        if done.status != ExecStatus.COMMAND_OK:
            return False
        self._sessions.append(session)
        return True

    def empty(self, statements: str) -> None:
        """Run what empties it, in a session for that alone: one in which `session_replication_role` was changed plans
        anew all that it has prepared. Raises `psycopg.OperationalError` where that session was ended."""
        if self._emptier is None:
            self._emptier = psycopg.connect(
                self.url, autocommit=True, prepare_threshold=None, application_name="rollcall test"
            )
        self._emptier.execute(statements.encode())

    def end(self) -> None:
        """Keep no session."""
        self._gone = True
        for session in self._sessions:
            session.close()
        if self._emptier is not None:
            self._emptier.close()

    @property
    def kept(self) -> int:
        """How many sessions wait."""
        return len(self._sessions) + (self._emptier is not None)


@dataclass(frozen=True)
class Lent:
    """A database that a test is lent: its URL, which nobody had before, and what keeps its sessions, if anything."""

    url: str
    database: Database | None = None

    def engine(self) -> Engine:
        """An engine of one's own, over sessions that are kept; as nobody ends them, none is asked if it is there
        before each transaction."""
        if self.database is None:
            return make_engine(self.url, role="test")
        return make_engine(self.url, role="test", connect=self.connect, ping=False)

    def connect(self, url: str, **arguments: Any) -> "psycopg.Connection[Any]":
        """A session with it that is kept once it is closed; with another database, one that is not."""
        if self.database is None or url != self.url:
            return psycopg.connect(url, **arguments)
        return self.database.session(url, **arguments)


@dataclass(frozen=True)
class Content:
    """What a copy holds at first: all that is not rows, the statements that write its rows again, by their table, and
    set its sequences, and the triggers that nobody passes by, by their table."""

    shape: str
    rows: dict[str, str]
    sequences: str
    guards: dict[str, list[str]]

    @classmethod
    def of(cls, session: Session) -> "Content":
        """What this one does, which nobody has used."""
        seen = _look(session)
        rows = {table: cls._statement(session, table) for table in seen.written}
        asked = "SELECT schemaname, sequencename, coalesce(last_value, 1), last_value IS NOT NULL FROM pg_sequences"
        said = [
            sql.SQL("setval({}, {}, {})").format(sql.Identifier(schema, name).as_string(), last, called)
            for schema, name, last, called in session.execute(asked)
        ]
        sequences = sql.SQL("SELECT {};").format(sql.SQL(", ").join(said))
        asked = (
            "SELECT CAST(CAST(tgrelid AS regclass) AS text), array_agg(quote_ident(tgname)) FROM pg_trigger"
            " WHERE tgenabled = 'A' GROUP BY tgrelid"
        )
        return cls(seen.shape, rows, sequences.as_string(session), dict(session.execute(asked).fetchall()))

    def again(self, written: list[str]) -> str:
        """Statements that make it so again, of one transaction."""
        done = "".join(self._restored(table) for table in written)
        return f"SET session_replication_role = replica; {done} {self.sequences} RESET ALL;"

    def _restored(self, table: str) -> str:
        done, guards = self.rows.get(table, f"DELETE FROM {table};"), self.guards.get(table, [])
        if guards:
            asleep = "".join(f"ALTER TABLE {table} DISABLE TRIGGER {guard};" for guard in guards)
            awake = "".join(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {guard};" for guard in guards)
            done = f"{asleep} {done} {awake}"
        if guards and table not in self.rows:  # what was planned for the table is planned anew then
            done = f"DO $$BEGIN IF EXISTS (SELECT FROM {table}) THEN {done} END IF; END$$;"
        return done

    @staticmethod
    def _statement(session: Session, table: str) -> str:
        """Write a table's rows."""
        asked = (
            "SELECT attname FROM pg_attribute WHERE attrelid = CAST(%s AS regclass) AND attnum > 0"
            " AND attgenerated = '' AND NOT attisdropped ORDER BY attnum"
        )
        columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in session.execute(asked, (table,)))
        name = sql.SQL(table)  # quoted, as the server says it
        found = session.execute(sql.SQL("SELECT CAST(json_agg(x) AS text) FROM {} x").format(name)).fetchone()
        said = sql.SQL(
            "DELETE FROM {table} x WHERE CAST(to_json(x) AS text) NOT IN"
            " (SELECT CAST(said AS text) FROM json_array_elements({rows}) said);"
            "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE"
            " SELECT {columns} FROM json_array_elements({rows}) said, json_populate_record(CAST(NULL AS {table}), said)"
            " WHERE CAST(said AS text) NOT IN (SELECT CAST(to_json(x) AS text) FROM {table} x);"
        )
        return said.format(table=name, columns=columns, rows=found[0] if found else None).as_string(session)


def _look(session: Session) -> Seen:
    found = session.execute(_LOOK).fetchone()
    assert found is not None
    return Seen(*found)


class Databases:
    """What tests are lent: copies of a template. They are made and dropped while tests run: one is always ready."""

    _numbers = itertools.count(1)
    _lent = itertools.count(1)

    def __init__(self, servers: Embedded, template: str = TEMPLATE) -> None:
        self._servers, self._template = servers, template
        self._administrator = administrator(servers)  # for what is done behind, and so for one at a time
        self._behind = ThreadPoolExecutor(1)
        self._next = self._behind.submit(self._copied)
        self._empty: list[Database] = []
        self._content: Content | None = None

    def _copied(self, template: str | None = None) -> Database:
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")  # five times faster than through the WAL
        self._administrator.execute(copy.format(sql.Identifier(name), sql.Identifier(template or self._template)))
        found = Database(name, database_named(self._servers, name))
        if self._content is None:
            with found.session(found.url) as session:
                self._content = Content.of(session)
        return found

    @contextmanager
    def copied(self, name: str) -> Iterator[str]:
        """A copy of a database that nobody has open, by its name."""
        found = self._behind.submit(self._copied, name).result()
        yield found.name
        self._drop(found)

    def _taken(self) -> Database:
        found = self._next.result()
        self._next = self._behind.submit(self._copied)
        return found

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """A migrated, empty database that nobody had before, by its name."""
        found = self._taken()
        found.end()
        yield found.name
        self._drop(found)

    @contextmanager
    def used(self) -> Iterator[Lent]:
        """A migrated, empty database, which an earlier test may have had."""
        found = self._empty.pop() if self._empty else self._taken()
        yield Lent(f"{found.url}&fallback_application_name=test-{next(self._lent)}", found)
        try:
            emptied = self._emptied(found)
        except psycopg.OperationalError:  # its sessions were ended
            emptied = False
        if emptied:
            self._empty.append(found)
        else:
            self._drop(found)

    def _emptied(self, found: Database) -> bool:
        """Whether it is as a copy is: no session of somebody else's is left, and all that was changed were rows, few
        enough for the planner not to know; and these are as they were."""
        if not found.kept or self._content is None:
            return False
        with found.session(found.url) as session:
            deadline = time.monotonic() + ENDS_WITHIN
            while (seen := _look(session)).sessions > found.kept + 1 and time.monotonic() < deadline:
                session.rollback()  # until its transaction ends it is shown the same sessions
                threading.Event().wait(0.002)
            session.rollback()
            if seen.sessions > found.kept + 1 or seen.shape != self._content.shape or seen.largest > SMALL:
                return False
        found.empty(self._content.again(seen.written))
        return True

    def _drop(self, found: Database) -> None:
        found.end()
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(found.name))
        self._behind.submit(self._administrator.execute, drop)

    def close(self) -> None:
        """Make and drop no more."""
        for found in [*self._empty, self._next.result()]:
            self._drop(found)
        self._behind.shutdown()
        self._administrator.close()
