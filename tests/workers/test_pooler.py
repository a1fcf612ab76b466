"""Through a pooler in transaction mode a session is lent for a transaction: nothing is lost or doubled by that."""

import io
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from config.database import (
    autocommit,
    enter_tenant_role,
    execute,
    is_retryable,
    later,
    nobody_to_blame,
    snapshot,
    transaction,
    value,
)
from config.engine import OURS, Patience, make_engine
from config.errors import ConfigurationError
from config.outages import LOST, why
from tasks import imports
from tasks.acts.acting import Doing
from tasks.acts.idempotency import once
from tests.acts.doing import caller
from tests.chaos.conftest import DOUBTED
from tests.commands.console import invoke_over
from tests.mailserver import MailServer, free_port
from tests.pgbouncer import SESSIONS, PgBouncer, pgbouncer
from tests.workers.deployment import Deployment, until
from tests.workers.test_losing_the_queue import GROUP, Held, announcement, everyone_course, mails, told_everything
from tests.workers.test_pool import woken
from tests.world import World
from workers.pool import Leases
from workers.queues import Broker


@pytest.fixture
def used_before() -> bool:
    """A database for each test: who else has a session there is counted, and what it tells sessions is changed."""
    return False


@pytest.fixture
def pooler(database_url: str) -> Iterator[PgBouncer]:
    """PgBouncer in front of this test's database."""
    with pgbouncer(database_url) as found:
        yield found


def shown(engine: Engine, name: str, *, pipelined: bool = False) -> str:
    """A setting within a transaction."""
    with transaction(engine, pipelined=pipelined) as connection:
        later(connection, "SET LOCAL work_mem = '4MB'")
        return str(value(connection, "SELECT current_setting(:name)", name=name))


def test_r31_what_a_transaction_relies_on_holds_in_a_session_that_nobody_told(database_url: str) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    odd = {"timezone": "Asia/Kathmandu", "intervalstyle": "iso_8601", "bytea_output": "escape", "row_security": "off"}
    with psycopg.connect(database_url, autocommit=True) as session:
        for setting, said in odd.items():
            session.execute(f"ALTER DATABASE {name} SET {setting} = '{said}'")
    told = f"{database_url}&options=-csearch_path%3Dpublic,pg_temp"
    expected = OURS | {
        "datestyle": "ISO, MDY", "default_transaction_isolation": "read committed", "lock_timeout": "7s",
        "statement_timeout": "9s", "search_path": "public,pg_temp",
    }  # fmt: skip
    with pgbouncer(database_url) as pooler:
        engine = make_engine(told, role="test", patience=Patience(5, 5, 7, 9), pooler=pooler.url)
        for pipelined in (False, True):
            assert {each: shown(engine, each, pipelined=pipelined) for each in expected} == expected
        with autocommit(engine) as connection:
            found = {each: value(connection, "SELECT current_setting(:name)", name=each) for each in expected}
            with pytest.raises(DBAPIError):
                execute(connection, "SELECT 1 / 0")
            assert value(connection, "SHOW timezone") == "UTC", "each statement is a transaction of its own"
            pooler.kill()
            with pytest.raises(OperationalError) as lost:
                value(connection, "SELECT 1")
        assert lost.value.connection_invalidated
        pooler.start()
        assert found == expected
        with snapshot(engine, None, read_only=True) as connection:
            assert value(connection, "SELECT current_setting('transaction_isolation')") == "repeatable read"
            assert value(connection, "SHOW timezone") == "UTC"
        with transaction(engine) as connection:
            with nobody_to_blame(connection, 1):
                assert value(connection, "SHOW lock_timeout") == "1s"
            assert value(connection, "SHOW lock_timeout") == "7s"
        engine.dispose()
        with psycopg.connect(pooler.url) as other:
            assert other.execute("SHOW timezone").fetchone() == ("Asia/Kathmandu",), "it ends with the transaction"


#: What is left in a session for whoever has it next.
LEFT = """
    SELECT array_agg(said ORDER BY said) FROM (
        SELECT name || ' is ' || setting AS said FROM pg_settings
        WHERE source = 'session' AND name <> 'application_name'
        UNION ALL SELECT 'prepared ' || name FROM pg_prepared_statements
        UNION ALL SELECT 'hears ' || channel FROM pg_listening_channels() channel
        UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE is_holdable
        UNION ALL SELECT 'temporary ' || relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()
        UNION ALL SELECT 'locks ' || objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
        UNION ALL SELECT 'acts as ' || current_user WHERE current_user <> session_user
        UNION ALL SELECT 'about ' || current_setting('rollcall.organisation', true)
                  WHERE current_setting('rollcall.organisation', true) <> ''
    ) found
"""


def left(pooler: PgBouncer) -> tuple[int, list[str]]:
    """Which session is lent, and what is left in it."""
    with psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None) as session:
        found = session.execute(f"SELECT pg_backend_pid(), ({LEFT})").fetchone()
    assert found is not None
    return found[0], found[1] or []


def test_r31_nothing_is_left_in_a_session_that_everybody_shares(
    world: World, database_url: str, mail_server: MailServer
) -> None:
    """With one session, whoever wants a second one within a transaction would wait for ever."""
    with pgbouncer(database_url, default_pool_size=1, query_wait_timeout=5) as pooler:
        engine = make_engine(database_url, role="test", pooler=pooler.url)
        runtime = replace(world.runtime, engine=engine)
        shared = World(runtime, world.redis, mail_server)
        session = left(pooler)
        assert session == (session[0], [])

        shared.has_learners(*(f"L{n}" for n in range(8)))
        shared.has_course("safety", "everyone")
        shared.settle()
        for n in range(8):
            shared.starts(f"L{n}", "safety")
        shared.announces()
        shared.comes_to_rest()
        with shared.about() as (connection, organisation):
            enter_tenant_role(connection, organisation.organisation)
        source = io.BytesIO(b"learner,email,active\nM1,m1@acme.example,yes\nL1,l1@acme.example,yes\n")
        options = imports.ImportOptions(runtime.home / "refused.csv")
        imports.import_file(engine, runtime.settings, organisation, source, imports.layout_of(source), options)

        assert shared.ask("SELECT count(*) FROM learners") == 9
        assert len(shared.ledger()) == 8
        assert shared.progress("news").accepted == 8
        assert left(pooler) == session
        engine.dispose()


SEEN = "SELECT array_agg(DISTINCT organisation ORDER BY organisation) FROM learners"


def seen(engine: Engine, organisation: int, *, pipelined: bool) -> list[int]:
    """Of which organisations somebody of this one sees learners."""
    with transaction(engine, organisation, pipelined=pipelined) as connection:
        enter_tenant_role(connection, organisation)
        return list(value(connection, SEEN))


#: A row that lacks what it must have.
WRONG = "INSERT INTO suppressions (organisation) VALUES (1)"


def fail(engine: Engine, do: Callable[[Connection], object], *, pipelined: bool) -> None:
    """A transaction of somebody of the first organisation, in which something goes wrong."""
    with transaction(engine, 1, pipelined=pipelined) as connection:
        enter_tenant_role(connection, 1)
        value(connection, SEEN)
        do(connection)


def driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def test_r31_row_security_scopes_each_transaction_in_a_session_that_others_had(world: World, database_url: str) -> None:
    world.has_learners("A")
    other = replace(world, organisation="other")
    other.has_organisation()
    other.has_learners("B")
    with pgbouncer(database_url, default_pool_size=1, query_wait_timeout=5) as pooler:
        first, second = (make_engine(database_url, role="test", pooler=pooler.url) for _ in range(2))
        with autocommit(first) as one, autocommit(second) as another:
            pid = "SELECT pg_backend_pid()"
            assert value(one, pid) == value(another, pid), "they do share a session"
        for pipelined in (False, True):
            assert seen(first, 1, pipelined=pipelined) == [1]
            assert seen(second, 2, pipelined=pipelined) == [2]
            with pytest.raises(IntegrityError):
                fail(first, lambda connection: execute(connection, WRONG), pipelined=pipelined)
            assert seen(second, 2, pipelined=pipelined) == [2]
            with pytest.raises(OperationalError):
                fail(first, lambda connection: driver(connection).close(), pipelined=pipelined)
        for engine in (first, second):
            with autocommit(engine) as connection:
                assert value(connection, SEEN) == [1, 2], "a worker has all of its rights"
        first.dispose()
        second.dispose()


def test_r33_what_is_done_while_a_request_is_kept_to_oneself_waits_for_no_second_session(
    world: World, database_url: str
) -> None:
    with pgbouncer(database_url, default_pool_size=1, query_wait_timeout=1) as pooler:
        engine = make_engine(database_url, role="test", pooler=pooler.url)
        doing = Doing(replace(world.runtime, engine=engine), caller(), "courses.save", None, expected="any")
        for at_once in (once(engine, ["secret"], caller(), None, "key", b"asked"), doing.alone("course safety")):
            with at_once, transaction(engine) as connection:
                assert value(connection, "SELECT count(*) FROM learners") == 0
        engine.dispose()


@pytest.mark.parametrize("pipelined", [False, True])
def test_r33_who_gets_no_session_in_time_fails_as_in_an_outage_and_goes_on_after_it(
    database_url: str, pipelined: bool
) -> None:
    with pgbouncer(database_url, default_pool_size=1, query_wait_timeout=1) as pooler:
        engine = make_engine(database_url, role="test", pooler=pooler.url)
        assert shown(engine, "timezone", pipelined=pipelined)
        with psycopg.connect(pooler.url) as other:
            other.execute("SELECT 1")
            with pytest.raises(OperationalError) as waited:
                shown(engine, "timezone", pipelined=pipelined)
        for _ in range(2):
            assert shown(engine, "timezone", pipelined=pipelined)
        engine.dispose()

    assert is_retryable(waited.value)
    assert why(waited.value) in {"all sessions of the pooler are in use", LOST}


def test_a_pooler_that_cannot_serve_is_refused_in_one_line(database_url: str, pooler: PgBouncer) -> None:
    def refusal(url: str) -> str:
        engine = make_engine(database_url, role="test", pooler=url)
        with pytest.raises((ConfigurationError, OperationalError)) as refused:
            engine.connect()
        engine.dispose()
        problem = refused.value
        notes = getattr(getattr(problem, "orig", None), "__notes__", None)
        return str(problem) if notes is None else f"{why(problem)} {notes}"

    noted = "['DATABASE_POOLER_URL']"
    assert (
        refusal(pooler.url_of("rollcall"))
        == "DATABASE_POOLER_URL leads to another database than DATABASE_URL: name the same in both."
    )
    assert refusal(pooler.url_of("none")) == f"there is no such database {noted}"
    assert refusal(pooler.url.replace("let%20me", "no")) == f"the user name or the password is wrong {noted}"
    pooler.change(pool_mode="session")
    assert refusal(pooler.url) == "DATABASE_POOLER_URL: its pool_mode is session, and must be transaction."
    pooler.change(pool_mode="statement")
    assert refusal(pooler.url) == "DATABASE_POOLER_URL: its pool_mode is statement, and must be transaction."
    pooler.kill()
    assert refusal(pooler.url) == f"nothing listens there {noted}"


def test_a_pooler_in_the_place_of_the_database_is_recognised(pooler: PgBouncer) -> None:
    engine = make_engine(pooler.url, role="test")
    with pytest.raises(OperationalError) as refused:
        engine.connect()
    engine.dispose()

    assert why(refused.value) == "a pooler answers there, which DATABASE_POOLER_URL is for"


def test_r33_what_fails_while_the_pooler_is_away_is_given_back_once_it_is_there(
    world: World, database_url: str, pooler: PgBouncer
) -> None:
    """Not only once the lease has run out."""
    tries: list[str] = []

    def connect(url: str, **arguments: Any) -> psycopg.Connection[Any]:
        tries.append(url)
        return psycopg.connect(url, **arguments)

    engine = make_engine(database_url, role="test", pooler=pooler.url, connect=connect)
    runtime = replace(world.runtime, engine=engine)
    broker, leases = Broker(runtime.endpoints.redis_url), Leases(runtime)
    woken(world)
    message = next(broker.consume("mail"))
    assert message is not None
    leases.before_process_message(broker, message)
    assert not message.failed
    pooler.kill()
    tries.clear()
    with ThreadPoolExecutor() as threads:
        lost = OperationalError("", {}, psycopg.OperationalError())
        given_back = threads.submit(leases.after_process_message, broker, message, exception=lost)
        until(lambda: given_back.done() or len(tries) > 2, "it was tried again", 10)
        pooler.start()
        given_back.result(PATIENCE)
    assert world.rows("SELECT state, failures FROM work") == [("due", 1)]
    engine.dispose()


LEARNERS = 300

#: Seconds that something may take on a busy machine.
PATIENCE = 120.0

#: Seconds for which the pooler is away at most: whoever held work then still holds it.
LEASE = 20.0

#: Mails that went before the pooler dies: it does in the middle of a mailing.
BEFORE = 100

#: Who is connected past the pooler, but for the test itself.
DIRECT = """
    SELECT coalesce(array_agg(DISTINCT application_name ORDER BY application_name), '{}') FROM pg_stat_activity
    WHERE datname = current_database() AND application_name <> 'rollcall test' AND pid <> ALL(:lent)
"""


def test_r31_r33_a_pooler_that_dies_costs_time_but_no_work_and_nothing_is_sent_twice(
    platform: World, deployment: Deployment, pooler: PgBouncer
) -> None:
    learners = [f"L{n}" for n in range(LEARNERS)]
    platform.has_learners(*learners)
    deployment.env |= {
        "DATABASE_POOLER_URL": pooler.url, "ROLLCALL_WEB_PORT": str(port := free_port()),
        "ROLLCALL_LEASE_SECONDS": str(LEASE),
    }  # fmt: skip
    held = Held(platform, free=BEFORE)
    deployment.start("ingress", "relay", "worker", "other worker", "web")
    until(lambda: ready(port), "the pages are ready", PATIENCE)
    deployment.publish(everyone_course(platform))
    until(lambda: platform.ask("SELECT count(*) FROM enrolments") == LEARNERS, "all enrolments", PATIENCE)
    held.reached()
    deployment.publish(announcement(platform))
    starts = [platform.event("course.started", {"learner": one, "course": "safety", "cycle": 1}) for one in learners]
    deployment.publish(*starts[::2])
    until(lambda: platform.ask("SELECT count(*) FROM consumptions") >= BEFORE, "the first starts", PATIENCE)
    [pool] = (one for one in pooler.ask("POOLS") if one["database"] != "pgbouncer")
    assert int(pool["cl_active"]) + int(pool["cl_waiting"]) > SESSIONS, "more connections than sessions"
    lent = [int(one["remote_pid"]) for one in pooler.ask("SERVERS")]
    assert 0 < len(lent) <= SESSIONS
    assert platform.ask(DIRECT, lent=lent) == ["rollcall relay lead"]

    pooler.kill()
    deployment.publish(*starts)
    held.let_go()
    pooler.start()

    until(lambda: platform.ask("SELECT count(*) FROM consumptions") == LEARNERS, "all starts", PATIENCE)
    deployment.rests(PATIENCE)
    assert ready(port)
    sent, progress = mails(platform), platform.progress("news")
    only_the_doubted_twice(platform, sent)
    accepted, uncertain, all_ = platform.rows(
        "SELECT count(*) FILTER (WHERE state = 'accepted'), count(*) FILTER (WHERE state = 'uncertain'), count(*)"
        " FROM deliveries WHERE mailing IN (SELECT mailing FROM deliveries GROUP BY mailing HAVING count(*) > 1)"
    )[0]
    assert progress.accepted + progress.uncertain == LEARNERS
    assert accepted + uncertain == all_
    assert accepted <= len(sent) <= accepted + uncertain
    assert uncertain <= 8 * GROUP
    assert sum(entry.amount for entry in platform.ledger()) == LEARNERS
    told_everything(deployment, platform)
    verified = invoke_over(deployment.env, "verify")
    assert (verified.exit_code, verified.stderr) == (0, "")


def only_the_doubted_twice(platform: World, sent: Mapping[tuple[str, str], int]) -> None:
    """Nobody got an announcement twice, and a notice only if nobody knew of the first, by its Message-ID (R19)."""
    doubted = {(address, "enrolment") for address in platform.list(DOUBTED)}
    assert {what for what, n in sent.items() if n > 1} <= doubted
    ids = {(address, message["Feedback-ID"], message["Message-ID"]) for address, message in platform.mail.taken}
    assert len(ids) == len(sent), "a second copy is known by its Message-ID"


def ready(port: int) -> bool:
    """Whether web says that it can work."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return int(answer.status) == 200
    except OSError:
        return False


def test_r33_a_session_is_given_back_as_soon_as_a_transaction_has_ended(database_url: str, pooler: PgBouncer) -> None:
    engine = make_engine(database_url, role="test", pooler=pooler.url)
    for _ in range(40):
        assert shown(engine, "timezone", pipelined=True)
        until(lambda: all(one["sv_active"] == "0" for one in pooler.ask("POOLS")), "a session that nobody has", 5)
    engine.dispose()
