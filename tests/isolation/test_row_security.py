"""R31: what serves people sees and changes the rows of one organisation alone, whatever SQL it runs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

import migrations
from config.database import enter_tenant_role, scoped
from config.embedded import Embedded
from config.settings import Settings
from config.streams import make_redis
from migrations.isolation import WRITES
from tasks.announcements import store
from tests.conftest import runtime_over
from tests.databases import Databases, database_named
from tests.isolation.conftest import Rollcall
from tests.isolation.neighbours import OURS, THEIRS, furnish_both, number_of, tables_of_organisations
from tests.mailserver import MailServer
from tests.world import World


@pytest.fixture(scope="module")
def neighbours(
    servers: Embedded, _databases: Databases, _mail_server: MailServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Two organisations side by side, made once: whoever asks for them looks, and undoes what is tried."""
    settings = Settings(rollcall_home=tmp_path_factory.mktemp("neighbours"))
    with (
        _databases.fresh() as name,
        runtime_over(settings, database_named(servers, name), str(servers.redis_url), _mail_server) as runtime,
        make_redis(runtime.endpoints.redis_url) as client,
    ):
        client.flushdb()
        _mail_server.reset()
        world = World(runtime, client, _mail_server)
        furnish_both(world)
        yield world


#: No right to it or against a policy; or a number that nobody gives to himself.
REFUSALS = (psycopg.errors.InsufficientPrivilege, psycopg.errors.GeneratedAlways)


@contextmanager
def people(world: World, organisation: str | None) -> Iterator[Connection]:
    """A transaction with the rights of people, of an organisation or of none; it leaves nothing behind."""
    with world.runtime.engine.connect() as connection:
        if organisation is None:
            connection.exec_driver_sql("SELECT set_config('role', people(), true)")
        else:
            with scoped(connection, number := number_of(world, organisation)):
                enter_tenant_role(connection, number)
        yield connection
        connection.rollback()


def seen(connection: Connection, table: str) -> set[str]:
    """Of which organisations there are rows to be seen in a table."""
    return set(connection.execute(text(f"SELECT CAST(organisation AS text) FROM {table}")).scalars())


def changed(connection: Connection, statement: str, **parameters: object) -> int | None:
    """How many rows a statement would change, or None where it is refused; what it did is undone."""
    attempt = connection.begin_nested()
    try:
        return connection.execute(text(statement), parameters).rowcount
    except ProgrammingError as problem:
        if not isinstance(problem.orig, REFUSALS):
            raise
        return None
    finally:
        attempt.rollback()


def put(table: str) -> str:
    """A statement that puts a whole row, a document, into a table."""
    return f"""
        INSERT INTO {table} OVERRIDING SYSTEM VALUE
        SELECT * FROM jsonb_populate_record(CAST(NULL AS {table}), CAST(:row AS jsonb))
    """


def a_row(world: World, table: str, organisation: str) -> str:
    """Some row of an organisation's, as a document."""
    names = [organisation, str(number_of(world, organisation))]
    row = f"SELECT CAST(to_jsonb(t) AS text) FROM {table} t WHERE CAST(organisation AS text) = ANY(:names) LIMIT 1"
    return str(world.ask(row, names=names))


def test_r31_every_table_of_organisations_is_under_row_security(world: World) -> None:
    open_ = world.list(
        """
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organisation'
        WHERE c.relnamespace = CAST('public' AS regnamespace) AND c.relkind IN ('r', 'p')
          AND (NOT c.relrowsecurity OR c.relforcerowsecurity
               OR ARRAY(SELECT unnest(polroles) FROM pg_policy WHERE polrelid = c.oid)
                  <> ARRAY(SELECT oid FROM pg_roles WHERE rolname = people()))
        """
    )
    as_their_owner = world.list(
        """
        SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = CAST('public' AS regnamespace)
          AND NOT coalesce('security_invoker=true' = ANY(reloptions), false)
        """
    )

    as_their_owner += world.list(
        "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = CAST('public' AS regnamespace)"
    )

    assert open_ == []
    assert as_their_owner == []


def test_r31_people_may_write_what_the_commands_write_and_nothing_else(world: World) -> None:
    granted = world.rows(
        """
        SELECT table_name, privilege_type FROM information_schema.role_table_grants
        WHERE grantee = people() AND table_schema = 'public'
        """
    )
    writes = {(table, privilege) for table, privileges in WRITES.items() for privilege in privileges}

    assert {grant for grant in granted if grant[1] != "SELECT"} == writes
    assert {table for table, privilege in granted if privilege == "SELECT"} == tables_of_organisations(world)
    assert world.rows(
        "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = people()"
    ) == [(False, False, False, False)]


def test_r31_people_see_their_own_organisation_in_every_table(neighbours: World) -> None:
    tables = tables_of_organisations(neighbours)
    own = {str(number_of(neighbours, OURS)), OURS}

    with neighbours.runtime.engine.connect() as connection:
        empty = {table for table in tables if len(seen(connection, table)) < 2}
    with people(neighbours, OURS) as connection:
        ours = {table: seen(connection, table) for table in tables}

    assert empty == set(), "there is nothing in these to be told apart"
    assert {table: theirs for table, organisations in ours.items() if (theirs := organisations - own)} == {}
    assert {table for table, organisations in ours.items() if not organisations} == set()


def test_r31_people_of_no_organisation_see_and_change_nothing(neighbours: World) -> None:
    tables = tables_of_organisations(neighbours)
    with people(neighbours, OURS) as connection:
        connection.commit()  # the setting of a transaction that has ended is no setting
        connection.exec_driver_sql("SELECT set_config('role', people(), true)")
        assert {table for table in tables if seen(connection, table)} == set()
        connection.rollback()
    with people(neighbours, None) as connection:
        assert {table for table in tables if seen(connection, table)} == set()
        assert changed(connection, "UPDATE mailings SET state = 'cancelled'") == 0


def test_r31_people_change_nothing_of_another_organisations(neighbours: World) -> None:
    rows = {
        table: a_row(neighbours, table, THEIRS) for table in tables_of_organisations(neighbours) - {"access", "linked"}
    }
    number = number_of(neighbours, THEIRS)
    crossed = []

    with people(neighbours, OURS) as connection:
        for table, row in rows.items():
            them = f"'{THEIRS}'" if table.startswith(("inbox", "arrivals")) else number
            if changed(connection, put(table), row=row) is not None:
                crossed.append(f"put a row of theirs into {table}")
            if changed(connection, f"UPDATE {table} SET organisation = {them}") is not None:
                crossed.append(f"gave our rows in {table} to them")
            if changed(connection, f"UPDATE {table} SET organisation = organisation WHERE organisation = {them}"):
                crossed.append(f"changed theirs in {table}")
            if changed(connection, f"DELETE FROM {table} WHERE organisation = {them}"):
                crossed.append(f"deleted theirs from {table}")
            if "DELETE" not in WRITES.get(table, []) and changed(connection, f"DELETE FROM {table}") is not None:
                crossed.append(f"deleted from {table}")

    assert crossed == []


def test_r28_people_write_nothing_into_the_ledger(neighbours: World) -> None:
    row = a_row(neighbours, "consumptions", OURS)
    tries = ("UPDATE consumptions SET amount = 0", "DELETE FROM consumptions", "TRUNCATE consumptions")

    with people(neighbours, OURS) as connection:
        assert changed(connection, put("consumptions"), row=row) is None
        assert [statement for statement in tries if changed(connection, statement) is not None] == []
        assert changed(connection, "UPDATE balances SET used = 0") is None
        assert changed(connection, "UPDATE publication SET published = 0") is None


def test_r31_a_statement_that_forgets_its_organisation_gets_ours_alone(
    world: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish_both(world)
    monkeypatch.setattr(store, "_ANNOUNCEMENT", store._ANNOUNCEMENT.replace("organisation = :organisation", "true"))

    listed = rollcall("announcements", "list", "-o", OURS, "--json")

    assert listed.exit_code == 0
    assert "solo" not in listed.output
    assert listed.output.count('"sent"') == 1


def test_r31_people_read_by_the_indexes_that_workers_read_by(world: World) -> None:
    def plan(connection: Connection, query: str) -> str:
        return " ".join(connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {query}").scalars())

    with people(world, OURS) as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        one = plan(connection, "SELECT 1 FROM enrolments WHERE organisation = 1 AND learner = 7")
        view = plan(connection, "SELECT 1 FROM access WHERE organisation = 1 AND learner = 7")
        forgetful = plan(connection, "SELECT 1 FROM learners WHERE id = 'A'")

    assert "Index Cond: ((organisation = 1) AND (learner = 7))" in one
    assert "Seq Scan" not in view
    assert re.search(r"Index Cond: \(\(organisation = .*current_setting.* AND \(id = 'A'", forgetful)


def test_r31_a_table_made_later_comes_under_row_security_with_the_next_migrate(world: World) -> None:
    world.execute("CREATE TABLE badges (organisation int NOT NULL, badge text)")
    world.execute("INSERT INTO badges VALUES (1, 'ours'), (2, 'theirs')")
    world.execute("CREATE VIEW badged AS SELECT * FROM badges")

    migrations.bring_up_to_date(world.runtime.engine)

    with people(world, "acme") as connection:
        assert seen(connection, "badges") == seen(connection, "badged") == {"1"}
