"""Connections to PostgreSQL that are of no use any more are given up by themselves."""

import os
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.exc import OperationalError

import migrations
from config.database import DEADLINES, deadlines, execute, is_connection_problem, later, make_engine, transaction, value
from config.embedded import Embedded
from tests.conftest import database_named
from tests.world import World

WRITE = "INSERT INTO segments (organisation, id, saved_at) VALUES (1, 's', now())"


def administer(url: str, statement: str) -> None:
    """Say something to the server about this database."""
    name = urlsplit(url).path.removeprefix("/")
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def test_a_session_that_began_where_nothing_can_be_written_is_given_up(database_url: str) -> None:
    administer(database_url, "ALTER DATABASE {} SET default_transaction_read_only = on")
    engine = make_engine(database_url, role="test", pool=1)
    with pytest.raises(OperationalError) as refused, transaction(engine) as connection:
        execute(connection, WRITE)
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
