"""Connections to PostgreSQL that are of no use any more are given up by themselves."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

import migrations
from config.database import (
    EPOCH_BITS,
    MONTH_BITS,
    after_commit,
    autocommit,
    execute,
    is_connection_problem,
    is_locked,
    is_retryable,
    later,
    transaction,
    value,
)
from config.embedded import Embedded
from config.engine import DEADLINES, deadlines, make_engine, session_options
from config.pipeline import savepoint
from tests.databases import database_named
from tests.round_trips import counted
from tests.world import World

WRITE = "INSERT INTO segments (organisation, id, saved_at) VALUES (1, 's', now())"


@pytest.fixture
def used_before() -> bool:
    """A database for each test: these are renamed, or told what holds in all that is asked of them."""
    return False


def administer(url: str, statement: str) -> None:
    """Say something to the server about this database."""
    name = urlsplit(url).path.removeprefix("/")
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


@pytest.mark.parametrize("pipelined", [False, True])
def test_a_session_that_began_where_nothing_can_be_written_is_given_up(database_url: str, pipelined: bool) -> None:
    administer(database_url, "ALTER DATABASE {} SET default_transaction_read_only = on")
    engine = make_engine(database_url, role="test", pool=1)
    with pytest.raises(OperationalError) as refused, transaction(engine, pipelined=pipelined) as connection:
        (later if pipelined else execute)(connection, WRITE)
    assert is_connection_problem(refused.value), "nothing is wrong with what was asked"

    administer(database_url, "ALTER DATABASE {} RESET default_transaction_read_only")
    with transaction(engine) as connection:
        assert execute(connection, WRITE) == 1
    engine.dispose()


def test_a_connection_has_deadlines_unless_its_url_says_otherwise(database_url: str) -> None:
    engine = make_engine(f"{database_url}&tcp_user_timeout=1234", role="test")
    with engine.connect() as connection:
        said = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
    engine.dispose()

    assert {name: int(said[name]) for name in DEADLINES} == {**DEADLINES, "tcp_user_timeout": 1234}
    assert deadlines("postgresql://h/d?connect_timeout=1").keys() == DEADLINES.keys() - {"connect_timeout"}


def test_the_server_gives_up_a_host_that_it_hears_nothing_of_unless_the_url_says_otherwise() -> None:
    told = session_options("postgresql://h/d?options=-c%20tcp_user_timeout%3D1234", timezone="UTC")

    given_up = (
        "-c tcp_keepalives_idle=3 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=4 -c tcp_user_timeout=7000"
    )
    assert told == f"{given_up} -c tcp_user_timeout=1234 -c timezone=UTC", "the last one wins"


def test_what_our_statements_take_for_granted_holds_whatever_the_database_says(database_url: str) -> None:
    odd = {
        "timezone": "Asia/Kathmandu", "datestyle": "SQL, DMY", "intervalstyle": "iso_8601", "bytea_output": "escape",
        "standard_conforming_strings": "off", "transform_null_equals": "on", "array_nulls": "off",
        "extra_float_digits": "-5", "row_security": "off", "default_transaction_isolation": "serializable",
    }  # fmt: skip
    for name, said in odd.items():
        administer(database_url, f"ALTER DATABASE {{}} SET {name} = '{said}'")
    with psycopg.connect(database_url) as session:
        assert session.execute("SHOW row_security").fetchone() == ("off",), "the database says so"
    engine = make_engine(database_url, role="test")

    with engine.connect() as connection:
        shown = {name: connection.exec_driver_sql(f"SHOW {name}").scalar() for name in odd}
        moment = connection.exec_driver_sql("SELECT timestamptz '2026-02-01 00:00Z'").scalar()
    engine.dispose()

    assert {name: shown[name] for name in odd if shown[name] == odd[name]} == {}
    assert moment == datetime(2026, 2, 1, tzinfo=UTC)


def test_who_may_make_no_tables_is_told_which_right_is_missing(servers: Embedded, database_url: str) -> None:
    name = f"weak_{os.getpid()}"
    with psycopg.connect(database_url, autocommit=True) as session:
        session.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    engine = make_engine(database_named(servers, name).replace("postgres@", f"{name}@"), role="test")
    said = (
        f"its user {name} may not make tables in the schema public: let the owner of the database GRANT USAGE, CREATE"
    )

    with pytest.raises(migrations.NotAllowed, match=said):
        migrations.bring_up_to_date(engine)

    engine.dispose()
    with psycopg.connect(database_url, autocommit=True) as session:
        session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        session.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_r31_an_organisation_has_many_rows_of_each_table_whatever_was_sampled(world: World) -> None:
    """Otherwise the planner takes any index that begins with the organisation for as good as the right one."""
    found = dict(
        world.rows(
            """
            SELECT c.relname, coalesce('n_distinct=-0.001' = ANY(a.attoptions), false)
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
              AND a.attname = 'organisation' AND a.atttypid = 'int'::regtype AND c.relname <> 'organisations'
            """
        )
    )

    assert {"learners", "enrolments", "memberships"} <= found.keys()
    assert [table for table, many in found.items() if not many] == []


def test_the_number_of_a_mailing_has_the_bits_for_the_database_that_it_has_for_us(world: World) -> None:
    first, last = 84 << MONTH_BITS, (85 << MONTH_BITS) - 1
    assert world.ask("SELECT number_of_month(month_of_number(:last))", last=last) == first
    assert world.ask("SELECT same_month(:last, :first) AND NOT same_month(:last + 1, :first)", first=first, last=last)
    assert world.ask(
        "SELECT NOT same_month(:first - 1, :first) AND in_months(:last, :first, :last)", first=first, last=last
    )
    for other in (last, (1 << EPOCH_BITS) + first):
        assert world.ask("SELECT month_of_number(:n) = month_of_number(:first)", n=other, first=first), (
            "of another epoch"
        )
    assert world.ask("SELECT month_of_number(:n)", n=(1 << EPOCH_BITS) - 1).year > 2100, "the last month of an epoch"


LONG = "INSERT INTO segments (organisation, id, name, saved_at) VALUES (1, :id, :name, now())"


@pytest.mark.parametrize("octets", [300_000, 20_000_000])
def test_r31_statements_longer_than_what_is_sent_at_once_do_not_stop_a_pipeline(world: World, octets: int) -> None:
    names = ["x" * octets, "y" * octets, "z" * octets]
    with transaction(world.runtime.engine, pipelined=True) as connection:
        later(connection, LONG, id="first", name=names[0])
        execute(connection, LONG, id="second", name=names[1])
        later(connection, LONG, id="third", name=names[2])

    assert [
        world.ask("SELECT name FROM segments WHERE id = :id", id=id_) for id_ in ("first", "second", "third")
    ] == names


def test_r31_a_pipeline_ends_if_something_goes_wrong_behind_a_long_statement(world: World) -> None:
    def go_wrong() -> None:
        with transaction(world.runtime.engine, pipelined=True) as connection:
            later(connection, LONG, id="first", name="x" * 20_000_000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        go_wrong()

    with transaction(world.runtime.engine, pipelined=True) as connection:
        assert value(connection, "SELECT count(*) FROM segments") == 0


SHORT = "INSERT INTO segments (organisation, id, saved_at) VALUES (1, :id, now())"
NAMED = "UPDATE segments SET name = 'named' WHERE id = :id"


def count(world: World) -> int:
    """How many segments there are, by a pipelined transaction on the connection that was used last."""
    with transaction(world.runtime.engine, pipelined=True) as connection:
        return int(value(connection, "SELECT count(*) FROM segments"))


def pipelined(world: World, run: Callable[[Connection], None]) -> None:
    with transaction(world.runtime.engine, pipelined=True) as connection:
        run(connection)


def within_savepoint(connection: Connection, run: Callable[[Connection], None]) -> None:
    with savepoint(connection):
        run(connection)


def test_a_connection_used_just_now_is_not_asked_whether_it_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted(world.runtime, monkeypatch) as trips:
        for _ in range(3):
            with autocommit(trips.runtime.engine) as connection:
                trips.since()
                value(connection, "SELECT 1")
        before = trips.since()["postgresql"]
        monkeypatch.setattr("config.engine.QUIET_SECONDS", 0.0)
        with autocommit(trips.runtime.engine) as connection:
            value(connection, "SELECT 1")
        assert before == 1
        assert trips.since()["postgresql"] == 2, "one that rested is asked first"


def test_a_connection_that_the_server_ended_just_now_is_replaced(world: World) -> None:
    engine = make_engine(world.runtime.endpoints.database_url, role="test", pool=1, more=0)
    with autocommit(engine) as connection:
        before = value(connection, "SELECT pg_backend_pid()")
    assert world.ask("SELECT pg_terminate_backend(:pid, 5000)", pid=before)

    with autocommit(engine) as connection:
        after = value(connection, "SELECT pg_backend_pid()")

    engine.dispose()
    assert before != after


@pytest.mark.parametrize("at", ["statement", "later", "commit"])
def test_r31_a_connection_that_is_lost_in_a_pipeline_is_the_databases_fault(world: World, at: str) -> None:
    def run(connection: Connection) -> None:
        execute(connection, SHORT, id="a")
        assert world.ask("SELECT pg_terminate_backend(:pid, 5000)", pid=value(connection, "SELECT pg_backend_pid()"))
        if at != "commit":
            later(connection, SHORT, id="b")
        if at == "statement":
            execute(connection, SHORT, id="c")

    with pytest.raises(OperationalError) as lost:
        pipelined(world, run)

    assert is_connection_problem(lost.value)
    assert is_retryable(lost.value)
    assert count(world) == 0


def test_r31_what_is_run_later_fails_as_what_it_is(world: World) -> None:
    def twice(connection: Connection) -> None:
        execute(connection, SHORT, id="a")
        later(connection, SHORT, id="a")

    def locked(connection: Connection) -> None:
        with transaction(world.runtime.engine) as other:
            execute(other, "SELECT pg_advisory_xact_lock(1, 2)")
            later(connection, "SET LOCAL lock_timeout = '10ms'")
            later(connection, "SELECT pg_advisory_xact_lock(1, 2)")
            value(connection, "SELECT 1")

    def slow(connection: Connection) -> None:
        later(connection, "SET LOCAL statement_timeout = '10ms'")
        later(connection, "SELECT pg_sleep(60)")

    problems: list[DBAPIError] = []
    for run in (twice, locked, slow):
        with pytest.raises(DBAPIError) as raised:
            pipelined(world, run)
        problems.append(raised.value)

    assert [is_retryable(each) for each in problems] == [True, False, False]
    assert [is_locked(each) for each in problems] == [False, True, False]
    assert not is_connection_problem(problems[2])
    assert count(world) == 0


@pytest.mark.parametrize("octets", [1, 3_000_000], ids=["short", "sent before its turn"])
@pytest.mark.parametrize("followed_by", ["nothing", "a statement", "an error of ours"])
def test_r31_a_savepoint_undoes_what_was_run_later_and_the_transaction_goes_on(
    world: World, octets: int, followed_by: str
) -> None:
    def run(connection: Connection) -> None:
        later(connection, LONG, id="b", name="x" * octets)
        later(connection, LONG, id="a", name="x" * octets)
        later(connection, LONG, id="c", name="x" * octets)
        if followed_by == "a statement":
            execute(connection, NAMED, id="a")
        if followed_by == "an error of ours":
            raise ZeroDivisionError

    with transaction(world.runtime.engine, pipelined=True) as connection:
        execute(connection, SHORT, id="a")
        for _ in range(3):
            with pytest.raises((IntegrityError, ZeroDivisionError)):
                within_savepoint(connection, run)
            assert value(connection, "SELECT count(*) FROM segments") == 1

    assert count(world) == 1


def test_r31_what_an_error_kept_from_being_prepared_is_prepared_anew(world: World) -> None:
    """psycopg prepares what is run for the sixth time, and takes it for prepared as soon as it is sent."""

    def fail(_connection: Connection) -> None:
        raise ZeroDivisionError

    def run(connection: Connection) -> None:
        later(connection, SHORT, id="1")
        execute(connection, NAMED, id="1")

    with transaction(world.runtime.engine, pipelined=True) as connection:
        with pytest.raises(ZeroDivisionError):
            within_savepoint(connection, fail)
        for n in range(7):
            execute(connection, SHORT, id=f"{n}")
        for _ in range(5):
            execute(connection, NAMED, id="1")
        with pytest.raises(IntegrityError):
            within_savepoint(connection, run)

        assert execute(connection, NAMED, id="1") == 1


def test_r35_no_log_quotes_what_goes_wrong_behind_an_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def run(connection: Connection) -> None:
        execute(connection, SHORT, id="ada@example.com")
        later(connection, SHORT, id="ada@example.com")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pipelined(world, run)

    assert caplog.text == ""
    assert count(world) == 0


def test_r31_a_pipeline_ends_though_something_is_tried_that_none_can_do(world: World) -> None:
    def run(connection: Connection) -> None:
        execute(connection, SHORT, id="a")
        execute(connection, "COPY segments TO STDOUT")

    with pytest.raises(DBAPIError):
        pipelined(world, run)

    assert count(world) == 0


@pytest.mark.parametrize("pipelined", [False, True])
def test_what_comes_after_a_commit_does_not_come_of_what_was_undone(database_url: str, pipelined: bool) -> None:
    engine = make_engine(database_url, role="test")
    done: list[str] = []

    def fail(connection: Connection) -> None:
        after_commit(connection, lambda: done.append("undone"))
        raise LookupError

    with transaction(engine, pipelined=pipelined) as connection:
        after_commit(connection, lambda: done.append("before"))
        with pytest.raises(LookupError):
            within_savepoint(connection, fail)
        with savepoint(connection):
            after_commit(connection, lambda: done.append("behind"))
        assert done == []

    assert done == ["before", "behind"]
    engine.dispose()
