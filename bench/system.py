"""The system under measurement: embedded servers of its own, a database for each measurement, real processes."""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec
import psutil
import psycopg
import redis
from psycopg import sql
from psycopg.rows import TupleRow

import migrations
from config.embedded import embedded_services
from config.engine import make_engine
from config.streams import IN, make_redis

#: The organisation everything is measured with: the first one of its database.
ORGANISATION = "acme"
NUMBER = 1

#: The migrated, empty database that the others are copies of.
TEMPLATE = "bench_template"

#: Seconds between two looks at whether something has happened.
LOOK_SECONDS = 0.01

#: Seconds after which what is waited for has failed.
PATIENCE_SECONDS = 300.0

#: What `rollcall run` is told, by the names the processes get here.
Commands: TypeAlias = dict[str, tuple[str, ...]]

#: The processes of a fan-out without mail. Mail pools are left out.
INGRESS: Commands = {"ingress": ("ingress",)}
RELAY: Commands = {"relay": ("relay",)}
TASKS: Commands = {"tasks 1": ("pool", "tasks"), "tasks 2": ("pool", "tasks")}

#: The pool that sends the notices of a fan-out, to an embedded mail server.
MAIL: Commands = {"mail": ("pool", "mail")}

#: Learners as a platform has them: six in a hundred inactive, four in a hundred without an address. They are taken for
#: indexed, or the relay would do that for minutes beside what is measured; `bench.lists.index` does it for searches.
_FILL = """
    INSERT INTO organisations (id, name, licence, pool, licence_starts, licence_ends, admin_emails, reactivation_digest,
                               saved_at, learners)
    VALUES (%(id)s, 'Acme Academy', 'credits', NULL, NULL, NULL, '{admin@acme.example}', false,
            now() - interval '1 year', %(learners)s);

    INSERT INTO learners (organisation, learner, id, standing, version, saved_version, saved_at, username, email,
                          first_name, last_name, locale, time_zone)
    SELECT 1, n, CAST(CAST(md5('learner ' || n) AS uuid) AS text),
           CAST(CASE WHEN n %% 50 < 3 THEN 'inactive' ELSE 'active' END AS standing), 1, 1, now() - interval '30 days',
           'user' || n, CASE WHEN n %% 25 <> 7 THEN 'First' || n || '.Last' || n %% 977 || '@learners.acme.example' END,
           'First' || n, 'Last' || n %% 977, 'en', 'Europe/Amsterdam'
    FROM generate_series(1, %(learners)s) AS n;

    INSERT INTO status_changes (organisation, learner, version, occurred_at, active, cause)
    SELECT organisation, learner, 1, saved_at, false, 'bench' FROM learners WHERE standing = 'inactive';

    INSERT INTO search_ends (organisation, through) VALUES (1, %(learners)s);
"""

#: For processes that are told nothing of their own.
NOTHING: Mapping[str, str] = MappingProxyType({})

_encode = msgspec.json.encode


def id_of(number: int) -> str:
    """The platform's id of the learner with this number."""
    return str(uuid.UUID(hashlib.md5(f"learner {number}".encode(), usedforsecurity=False).hexdigest()))


def event(type_: str, data: dict[str, object], organisation: str = ORGANISATION) -> bytes:
    """An event of the platform that happens now."""
    return _encode(
        {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": "urn:bench",
            "type": f"platform.{type_}",
            "time": datetime.now(UTC),
            "organisation": organisation,
            "data": data,
        }
    )


def course_for_everyone(course: str) -> bytes:
    """A course is described that everyone is to take: with learners present, this begins a fan-out over all of them."""
    described: dict[str, object] = {"course": course, "title": f"Course {course}", "cost": 1, "method": "everyone"}
    return event("course.saved", described)


@dataclass(frozen=True)
class Process:
    """A running process of ours."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def peak_megabytes(self) -> float:
        """The most memory it ever had, in MB."""
        return peak_megabytes(self.popen.pid)

    def ready(self) -> bool:
        """Whether it has begun to work. Raises RuntimeError where it never will."""
        said = self.log.read_text()
        if self.popen.poll() is not None:
            raise RuntimeError(f"{self.name} ended at its start:\n{said[-2000:]}")
        return any(word in said for word in ("ingress.started", "relay.leads", "pool.started"))


@dataclass
class Database:
    """A database of one measurement, and a connection that looks into it. `new`: it was not kept from another."""

    name: str
    url: str
    session: psycopg.Connection[TupleRow]
    new: bool = True

    def execute(self, statement: str) -> None:
        """Run a statement of the measurement's own."""
        self.session.execute(statement.encode())

    def value(self, query: str) -> Any:
        """The first column of the first row."""
        row = self.session.execute(query.encode()).fetchone()
        return None if row is None else row[0]

    def wait_for(self, query: str) -> None:
        """Return as soon as a query answers true."""
        wait_until(lambda: bool(self.value(query)), query)


@dataclass
class System:
    """The servers, and what is started on them. `kept`: a database is there again at the next measurement."""

    home: Path
    database_url: str
    redis_url: str
    redis: redis.Redis
    pids: dict[str, int]
    kept: bool = False

    def setting(self, name: str) -> str:
        """A setting of the PostgreSQL."""
        with psycopg.connect(self.database_url) as session:
            row = session.execute("SELECT current_setting(%s)", (name,)).fetchone()
        return "" if row is None else str(row[0])

    @property
    def durable(self) -> bool:
        """Whether what is committed survives a crash of the machine."""
        return {self.setting(name) for name in ("fsync", "synchronous_commit", "full_page_writes")} == {"on"}

    @property
    def psql(self) -> Path:
        """The psql that belongs to the running PostgreSQL."""
        return Path(psutil.Process(self.pids["postgresql"]).exe()).with_name("psql")

    def url_of(self, database: str) -> str:
        """The URL of a database on this server."""
        return self.database_url.replace("/rollcall?", f"/{database}?")

    @contextmanager
    def database(self, name: str, learners: int, template: str = TEMPLATE) -> Iterator[Database]:
        """A database with one organisation of so many learners, as a system has it that has known them for a while."""
        if self.kept and self.has(name):
            self.bring_up_to_date(name)
            with psycopg.connect(self.url_of(name), autocommit=True, application_name="bench") as session:
                yield Database(name, self.url_of(name), session, new=False)
            return
        named = sql.Identifier(name)
        self.administer(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(named, sql.Identifier(template)))
        try:
            with psycopg.connect(self.url_of(name), autocommit=True, application_name="bench") as session:
                session.execute("UPDATE mail_control SET installation = gen_random_uuid()")  # no backup of another
                psycopg.ClientCursor(session).execute(_FILL, {"id": ORGANISATION, "learners": learners})
                session.execute("VACUUM ANALYZE")
                yield Database(name, self.url_of(name), session)
        finally:
            if not self.kept:
                self.administer(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(named))

    @contextmanager
    def empty(self, name: str) -> Iterator[str]:
        """The URL of a database without a schema."""
        named = sql.Identifier(name)
        self.administer(sql.SQL("CREATE DATABASE {}").format(named))
        try:
            yield self.url_of(name)
        finally:
            self.administer(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(named))

    def has(self, database: str) -> bool:
        """Whether there is a database of this name."""
        with psycopg.connect(self.database_url) as session:
            return bool(session.execute("SELECT FROM pg_database WHERE datname = %s", (database,)).rowcount)

    def bring_up_to_date(self, database: str) -> None:
        """Migrate a database."""
        engine = make_engine(self.url_of(database), role="bench")
        migrations.bring_up_to_date(engine)
        engine.dispose()

    def administer(self, statement: sql.Composed) -> None:
        """Run a statement that no transaction may hold."""
        with psycopg.connect(self.database_url, autocommit=True) as admin:
            admin.execute(statement)

    @contextmanager
    def processes(
        self, database: Database, commands: Commands, settings: Mapping[str, str] = NOTHING
    ) -> Iterator[list[Process]]:
        """Processes of ours on a database, each ready when the block begins; Valkey is empty."""
        self.redis.flushall()
        with ExitStack() as stack:
            started = [
                stack.enter_context(self.process(database, name, words, settings)) for name, words in commands.items()
            ]
            for process in started:
                wait_until(process.ready, f"{process.name} to be ready")
            yield started

    def environment(self, database: Database, settings: Mapping[str, str] = NOTHING) -> dict[str, str]:
        """What a process of ours is told: our servers, a database, and settings of a measurement's own."""
        known = {key: text for key, text in os.environ.items() if key not in {"REDIS_URL", "SMTP_URL", "DATABASE_URL"}}
        ours = {"ROLLCALL_HOME": str(self.home), "DATABASE_URL": database.url, "ROLLCALL_LOG_LEVEL": "info"}
        ours["ROLLCALL_EMBEDDED"] = "redis,smtp"
        return {**known, **ours, **settings}

    @contextmanager
    def process(
        self, database: Database, name: str, words: tuple[str, ...], settings: Mapping[str, str] = NOTHING
    ) -> Iterator[Process]:
        """One process of ours, told to finish at the end; its log is begun anew."""
        log = self.home / f"{name}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", "workers.cli", "run", *words],
                env=self.environment(database, settings),
                stdout=output,
                stderr=output,
            )
        try:
            yield Process(name, popen, log)
        finally:
            popen.terminate()
            try:
                popen.wait(timeout=30)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()

    def publish(self, events: Iterable[bytes], batch: int = 1000) -> None:
        """Put events on the inbound stream."""
        waiting = list(events)
        for first in range(0, len(waiting), batch):
            with self.redis.pipeline(transaction=False) as pipe:
                for body in waiting[first : first + batch]:
                    pipe.xadd(IN, {"event": body})
                pipe.execute()


@contextmanager
def system(database_url: str = "", keep: Path | None = None) -> Iterator[System]:
    """Durable embedded servers of our own, gone at the end or, with their databases, kept in a folder; the PostgreSQL
    of a URL in place of an embedded one."""
    with (
        nullcontext(str(keep)) if keep else tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder,
        embedded_services(Path(folder), database=not database_url, redis=True, smtp=False, durable=True) as embedded,
    ):
        url = database_url or embedded.database_url
        assert url is not None  # noqa: S101 - both were asked for
        assert embedded.redis_url is not None  # noqa: S101
        connected = make_redis(embedded.redis_url)
        found = System(Path(folder), url, embedded.redis_url, connected, embedded.pids, kept=keep is not None)
        if not (found.kept and found.has(TEMPLATE)):
            found.administer(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        found.bring_up_to_date(TEMPLATE)
        with found.redis:
            yield found


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Return as soon as something has happened. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {PATIENCE_SECONDS:g} s still waiting for {what}")
        time.sleep(LOOK_SECONDS)


def peak_megabytes(pid: int) -> float:
    """The most memory a process ever had, what it shares with others (shared buffers) apart, in MB: `VmHWM` without
    `RssShmem`. Where the system does not tell, what it has now."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return (int(fields["VmHWM"].split()[0]) - int(fields["RssShmem"].split()[0])) / 1024


def forget_peak(pid: int) -> None:
    """Count a process's peak from now on (proc(5), clear_refs); where that cannot be done, it stays what it was."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
