"""The real servers, started once for the run; an empty database of its own for each test.

Where the run is shared out between processes (`pytest -n 2`), they share the servers: each has names of databases and a
number in Valkey of its own.
"""

import fcntl
import gc
import os
import re
import shutil
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import psycopg
import pytest
import structlog
from psycopg import sql
from redis import Redis
from sqlalchemy import Engine
from xdist.scheduler import LoadFileScheduling

import migrations
from config import services
from config.counting import counts
from config.embedded import Embedded, embedded_services
from config.engine import make_engine
from config.runtime import Endpoints, Runtime
from config.settings import Settings
from config.streams import make_redis
from tasks.mail.sending import Mailer
from tests import mailserver
from tests.databases import TEMPLATE, Databases, Lent, administrator, database_named
from tests.mailserver import MailServer
from tests.world import World
from workers.relay.retention import KeepPartitions
from workers.relay.statistics import AnalyzeGrown

#: The first example of a run makes tables of all characters, which takes a second.
hypothesis.settings.register_profile(
    "rollcall", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("fast", hypothesis.settings.get_profile("rollcall"), max_examples=20)
hypothesis.settings.load_profile("rollcall")

#: A file system in memory, if there is one with room for the databases: to copy one there takes a tenth of the time.
MEMORY, ROOM = Path("/dev/shm"), 4 << 30  # noqa: S108 - nobody else can read what we make there

#: What the servers of a run are kept in there begins with this, and ends with the number of the run's first process.
SERVERS_OF = "rollcall-tests-"
SHARED = "PYTEST_XDIST_WORKER" in os.environ
RUN = os.getppid() if SHARED else os.getpid()

#: Which of the processes that share the run this is: gw0, gw1, …; where there is but one, gw0.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")

#: The fixtures that start servers. A test that uses none of them is `fast`, unless it is marked `serves` or is chaos.
SERVERS = {"servers", "_mail_server", "valkey", "receiver"}

#: What a `fast` test does not do, as Python's audit events name it.
NOT_FAST = {"os.fork", "os.posix_spawn", "socket.bind", "socket.connect", "subprocess.Popen"}


def pytest_configure(config: pytest.Config) -> None:
    """Remove what runs that were killed have left in memory. Look for no garbage while tests are collected."""
    gc.disable()
    for left in MEMORY.glob(f"{SERVERS_OF}*"):
        if not psutil.pid_exists(int(left.name.removeprefix(SERVERS_OF))):
            shutil.rmtree(left, ignore_errors=True)  # a PostgreSQL that still runs there ends by itself


@pytest.fixture(autouse=True)
def _logs_as_a_process_does_that_begins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What one test configures of the log is not the next one's: no logger keeps it for good."""
    configure = structlog.configure
    monkeypatch.setattr(structlog, "configure", lambda **said: configure(**said | {"cache_logger_on_first_use": False}))
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _nothing_goes_on_beside_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does in a thread of its own ends with its round: no database is used by a test that has ended."""
    for chore in (AnalyzeGrown, KeepPartitions):
        monkeypatch.setattr(chore, "beside", False)


@pytest.fixture(autouse=True)
def _no_mailer_tells_a_later_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process keeps its mailer, whose connections idle for seconds: how many it has is said to its own test alone."""
    told, report = set[Mailer](), Mailer.report_use_to

    def report_use_to(mailer: Mailer, hold: Callable[..., None]) -> None:
        told.add(mailer)
        report(mailer, hold)

    monkeypatch.setattr(Mailer, "report_use_to", report_use_to)
    yield
    for mailer in told:
        report(mailer, lambda _use: None)


@pytest.fixture(autouse=True)
def _counts_as_a_process_does_that_begins() -> None:
    """What other tests of this process made it count is not this one's."""
    counts.take()


def pytest_xdist_auto_num_workers() -> int:
    """Two processes more than there are cores, for `-n auto`: many tests wait for processes, or for time to pass."""
    return len(os.sched_getaffinity(0)) + 2


#: Files whose tests look at all the sources: one process parses them (tests/sources.py), for `--dist loadfile`.
READERS = re.compile(r"tests/(architecture/|isolation/test_statements|mail/test_layout|commands/test_terminal).*")


class _ReadersTogether(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """The tests of a file are done by one process, and those of all readers by one, too."""

    def _split_scope(self, nodeid: str) -> str:
        return READERS.sub("readers", super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """How tests are shared out, where files are."""
    return _ReadersTogether(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Let the processes that share a run begin with other modules each, where all are collected: one compiles a module,
    and writes down what comes of it before the others need it."""
    if SHARED and session.config.args_source == pytest.Config.ArgsSource.TESTPATHS:
        given = vars(session.config)["workerinput"]
        files = sorted(set(Path(__file__).parent.rglob("test_*.py")) - {*Path(__file__).parent.glob("chaos/*")})
        for file in files[int(WORKER.removeprefix("gw")) :: given["workercount"]]:
            with suppress(Exception):  # it is collected later, and said then
                import_module(".".join(file.relative_to(session.config.rootpath).with_suffix("").parts))


#: After how many objects more, and after how many rounds, garbage is looked for: seldom, as what is parsed and drawn is
#: much, and stays until its test ends.
GARBAGE = (10_000, 20, 20)

#: Folders of the tests that start whole processes, tell many histories, make much, or make schemas and wheels.
LONGEST = ("workers", "servers", "failover", "hosts", "model", "scale", "console", "tests")


@pytest.hookimpl(tryfirst=True)  # before the marks are asked for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs no server as `fast`. Begin with the folders whose files take longest: at the end others would
    wait for them."""
    for item in items:
        served = SERVERS & set(getattr(item, "fixturenames", ()))
        marked = any(item.get_closest_marker(name) for name in ("serves", "slow"))
        if not served and not marked and item.path.parent.name != "chaos":
            item.add_marker("fast")
    items.sort(key=lambda item: LONGEST.index(item.path.parent.name) if item.path.parent.name in LONGEST else 9)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was collected stays, and is not looked at again for garbage: that takes longer than what tests leave."""
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a `fast` test neither start nor reach a server."""
    _fast.running = item.get_closest_marker("fast") is not None
    try:
        return (yield)
    finally:
        _fast.running = False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Let the last test of a process end what others have started."""
    _fast.running = False


class _Fast:
    """Refuses what a `fast` test may not do, while one runs. An audit hook stays for good."""

    def __init__(self) -> None:
        self.running = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, _arguments: object) -> None:
        if self.running and event in NOT_FAST:
            raise AssertionError(f"{event} in a fast test: mark a test that starts or reaches servers `serves`")


_fast = _Fast()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """PostgreSQL and Valkey, for the whole run, with a migrated template database."""
    home = home_of_servers(tmp_path_factory.getbasetemp())
    with embedded_services(home, database=True, redis=True, smtp=False, durable=False) as embedded:
        _make_template(embedded, home)
        redis_url = f"{embedded.redis_url}?db={WORKER.removeprefix('gw')}"
        yield replace(embedded, redis_url=redis_url)
    if home.parent == MEMORY and not (home / "embedded.json").exists():  # the last has stopped them
        shutil.rmtree(home, ignore_errors=True)


def home_of_servers(base: Path) -> Path:
    """The same for all processes of a run."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
        return MEMORY / f"{SERVERS_OF}{RUN}"
    return (base.parent if SHARED else base) / "servers"


def _make_template(embedded: Embedded, home: Path) -> None:
    """Make the database that the tests' own are copies of, unless another process of the run has."""
    with (home / "template.made").open("a+") as made:
        fcntl.flock(made, fcntl.LOCK_EX)
        if made.seek(0, os.SEEK_END):
            return
        with administrator(embedded) as connection:
            connection.execute("ALTER SYSTEM SET autovacuum = off")  # what was analysed is changed, and not used again
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        engine = make_engine(database_named(embedded, TEMPLATE), role="template")
        migrations.bring_up_to_date(engine)
        engine.dispose()
        psycopg.connect(database_named(embedded, TEMPLATE)).close()  # which keeps what a session must know: for copies
        made.write("made")


@pytest.fixture(scope="session")
def _databases(servers: Embedded) -> Iterator[Databases]:
    databases = Databases(servers)
    yield databases
    databases.close()


#: Folders of the tests that count what the server reads, or ask what the planner thinks: each has its own database.
APART = ("servers", "scale", "chaos")


@pytest.fixture
def used_before(request: pytest.FixtureRequest) -> bool:
    """Whether a test can do with the database of an earlier one, and with sessions that are kept when they are closed:
    a module whose tests rename databases, or change more than is seen in one, overrides this fixture."""
    return request.path.parent.name not in APART


@pytest.fixture
def copies(_databases: Databases) -> Databases:
    """What this test's database is a copy of, and who had it before; a test may have others by overriding this."""
    return _databases


@pytest.fixture
def database(servers: Embedded, copies: Databases, used_before: bool) -> Iterator[Lent]:
    """A migrated, empty database, this test's own, with sessions that commands keep, too, if anybody does."""
    if used_before:
        with copies.used() as lent, pytest.MonkeyPatch.context() as patch:
            patch.setattr(services, "make_engine", partial(make_engine, connect=lent.connect))
            yield lent
    else:
        with copies.fresh() as name:
            yield Lent(database_named(servers, name))


@pytest.fixture
def database_url(database: Lent) -> str:
    """Where it is."""
    return database.url


@pytest.fixture(scope="session")
def _emptier(servers: Embedded) -> Iterator[Redis]:
    with make_redis(str(servers.redis_url)) as client:
        yield client


@pytest.fixture
def redis_url(servers: Embedded, _emptier: Redis) -> str:
    """Valkey, emptied."""
    _emptier.flushdb()
    return str(servers.redis_url)


@pytest.fixture(scope="session")
def _mail_server() -> Iterator[MailServer]:
    server, controller = mailserver.start()
    yield server
    controller.stop()


@pytest.fixture
def mail_server(_mail_server: MailServer) -> MailServer:
    """A mail server that takes everything and keeps it, until the test tells it otherwise."""
    _mail_server.reset()
    return _mail_server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with times a test can live with; a test may give its own by overriding this fixture."""
    return Settings(rollcall_home=tmp_path, rollcall_retry_seconds=0.05, rollcall_smtp_connections=4)


@contextmanager
def runtime_over(
    settings: Settings, database_url: str, redis_url: str, mail_server: MailServer, engine: Engine | None = None
) -> Iterator[Runtime]:
    """What a process works with, over these."""
    endpoints = Endpoints(
        database_url=database_url,
        redis_url=redis_url,
        smtp_url=mail_server.url,
        mail_from="Acme <learning@rollcall.example>",
        public_url="http://127.0.0.1:1",
        secret_key="only for tests",
        bounce_address="bounces@bounces.rollcall.example",
    )
    engine = engine or make_engine(database_url, role="test")
    yield Runtime(settings, endpoints, engine)
    engine.dispose()


@pytest.fixture
def runtime(
    settings: Settings, database_url: str, redis_url: str, mail_server: MailServer, request: pytest.FixtureRequest
) -> Iterator[Runtime]:
    """What a process works with, over this test's own database."""
    own = "database" in request.fixturenames and request.getfixturevalue("database")
    engine = own.engine() if own and own.url == database_url else None
    with runtime_over(settings, database_url, redis_url, mail_server, engine) as found:
        yield found


@pytest.fixture(scope="session")
def copies_of(
    servers: Embedded, _databases: Databases, _mail_server: MailServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Databases]]:
    """Makes databases that are copies of one in which something has happened: what takes longer than most tests is done
    once, with these settings."""
    with ExitStack() as kept:

        def made(happens: Callable[[World], object], **settings: Any) -> Databases:
            name = kept.enter_context(_databases.fresh())
            told = Settings(rollcall_home=tmp_path_factory.mktemp("made"), **settings)
            url, redis_url = database_named(servers, name), str(servers.redis_url)
            with runtime_over(told, url, redis_url, _mail_server) as runtime, make_redis(redis_url) as client:
                client.flushdb()
                happens(World(runtime, client, _mail_server))
            found = Databases(servers, name)
            kept.callback(found.close)
            return found

        yield made


@pytest.fixture
def world(runtime: Runtime, mail_server: MailServer) -> Iterator[World]:
    """A platform with one organisation."""
    with make_redis(runtime.endpoints.redis_url) as client:
        found = World(runtime, client, mail_server)
        found.has_organisation()
        yield found


@pytest.fixture
def empty_world(runtime: Runtime, mail_server: MailServer) -> Iterator[World]:
    """A platform of which nothing is known yet."""
    with make_redis(runtime.endpoints.redis_url) as client:
        yield World(runtime, client, mail_server)
