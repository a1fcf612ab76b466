"""R31: row security where the owner of the database is no superuser, as on a PostgreSQL that somebody else runs."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import md5
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.exc import ProgrammingError

import migrations
from config.database import enter_tenant_role, execute, scoped, transaction
from config.embedded import Embedded
from config.engine import make_engine
from migrations import RoleRefused
from tests.conftest import WORKER
from tests.databases import database_named
from tests.isolation.conftest import Rollcall
from tests.isolation.neighbours import OURS, SECRET, THEIRS, belongings, number_of, tables_of_organisations
from tests.isolation.test_row_security import people, seen
from tests.world import World

#: Runs a statement, in which each {} is a name, as a superuser.
Administrator = Callable[..., None]

#: What makes a user, and what gives them a database.
MAY_MAKE_ROLES, MAY_NOT = "CREATE ROLE {} LOGIN CREATEROLE", "CREATE ROLE {} LOGIN"

_numbers = itertools.count(1)


@pytest.fixture
def administrator(servers: Embedded) -> Administrator:
    """The administrator of the server."""

    def run(statement: str, *names: str) -> None:
        assert servers.database_url is not None
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    return run


@contextmanager
def owned(
    administrator: Administrator, servers: Embedded, make: str, databases: int = 1, owner: str = ""
) -> Iterator[list[str]]:
    """Empty databases of a user's own, by their URLs as that user."""
    owner = owner or f"owner-{WORKER}-{next(_numbers)}"
    names = [f"{owner}-{number}" for number in range(databases)]
    administrator(make, owner)
    for name in names:
        administrator("CREATE DATABASE {} OWNER {}", name, owner)
    yield [database_named(servers, name).replace("//postgres@", f"//{owner}@") for name in names]
    for name in names:
        administrator("DROP DATABASE {} WITH (FORCE)", name)
    digest = md5(owner.encode(), usedforsecurity=False).hexdigest()
    for role in (f"rollcall_people_of_{owner}", f"rollcall_people_of_{digest}", f"left-{owner}", owner):
        administrator("DROP ROLE IF EXISTS {}", role)


@pytest.fixture
def database_url(administrator: Administrator, servers: Embedded) -> Iterator[str]:
    """A migrated database whose owner is no superuser, but may make roles."""
    with owned(administrator, servers, MAY_MAKE_ROLES) as (url,):
        migrate(url)
        yield url


def migrate(url: str) -> tuple[str | None, str | None]:
    """What `rollcall migrate` does."""
    engine = make_engine(url, role="test")
    try:
        return migrations.bring_up_to_date(engine)
    finally:
        engine.dispose()


def test_r31_neighbours_are_told_apart(neighbours: World, rollcall: Rollcall) -> None:
    assert neighbours.ask("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    neighbours.execute("UPDATE mailings SET state = id WHERE id IN ('draft', 'paused')")
    before, own = belongings(neighbours, THEIRS), {str(number_of(neighbours, OURS)), OURS}

    done = [
        rollcall(*command.split(), "-o", OURS)
        for command in (
            "announcements create --id new --subject Hi --body Hi --everyone", "announcements launch new",
            "announcements launch draft", "announcements resume paused", "learners deactivate A", "learners show A",
            "events quarantined", "events release held", "reports training", "seats ledger",
        )
    ]  # fmt: skip
    neighbours.settle()

    assert [result.output for result in done if result.exit_code or SECRET in result.output] == []
    assert belongings(neighbours, THEIRS) == before
    with people(neighbours, OURS) as connection:
        assert {
            t for t in tables_of_organisations(neighbours) if not seen(connection, t) or seen(connection, t) - own
        } == set()


def test_r31_databases_of_one_server_are_migrated_at_once(administrator: Administrator, servers: Embedded) -> None:
    with owned(administrator, servers, MAY_MAKE_ROLES, databases=2) as (url, other), ThreadPoolExecutor() as threads:
        with psycopg.connect(other) as meanwhile:
            owner = meanwhile.info.user
            meanwhile.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(f"rollcall_people_of_{owner}")))
            migrated = threads.submit(migrate, url)
            _until_it_waits(meanwhile)
        assert migrated.result(timeout=30) == (None, migrations.head())
        assert migrate(other) == (None, migrations.head())


def _until_it_waits(connection: psycopg.Connection[Any]) -> None:
    """Until somebody else waits for what this transaction has done."""
    deadline, pause = time.monotonic() + 10, threading.Event()
    waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
    while connection.execute(waiting).fetchone() == (False,):
        assert time.monotonic() < deadline, "nobody waits"
        pause.wait(0.01)


def test_r31_who_may_not_make_the_role_is_told_what_an_administrator_is_to_run(
    administrator: Administrator, servers: Embedded
) -> None:
    with owned(administrator, servers, MAY_NOT) as (url,):
        with pytest.raises(RoleRefused) as refused:
            migrate(url)
        said = str(refused.value)
        assert said.count("\n") == 0

        for statement in said.partition("run: ")[2].split("; ")[:2]:
            administrator(statement)

        assert migrate(url) == (None, migrations.head())
        assert migrate(url) == (migrations.head(), migrations.head())


@pytest.mark.parametrize("alike", ["", "production_application_service_account_eu_west_1_"])
def test_r31_two_owners_on_one_server_share_no_role(
    administrator: Administrator, servers: Embedded, alike: str
) -> None:
    names = [alike and f"{alike}{WORKER}_{letter}" for letter in "ab"]
    with (
        owned(administrator, servers, MAY_MAKE_ROLES, owner=names[0]) as (ours,),
        owned(administrator, servers, MAY_MAKE_ROLES, owner=names[1]) as (theirs,),
    ):
        migrate(ours)
        migrate(theirs)
        intruder = make_engine(ours.partition("@")[0] + "@" + theirs.partition("@")[2], role="test")
        with (
            pytest.raises(ProgrammingError, match="permission denied to set role"),
            transaction(intruder, 1) as connection,
        ):
            execute(connection, "SELECT set_config('role', people(), true)")
        with pytest.raises(ProgrammingError, match="permission denied"), transaction(intruder, 1) as connection:
            enter_tenant_role(connection, 1)
        intruder.dispose()


def test_r31_a_schema_of_the_owners_own_is_found_by_people_too(administrator: Administrator, servers: Embedded) -> None:
    with owned(administrator, servers, MAY_MAKE_ROLES) as (url,):
        with psycopg.connect(url) as theirs:
            theirs.execute("CREATE SCHEMA AUTHORIZATION CURRENT_USER")
        migrate(url)
        engine = make_engine(url, role="test")
        with transaction(engine) as connection, scoped(connection, 1):
            enter_tenant_role(connection, 1)
            assert connection.exec_driver_sql("SELECT count(*) FROM learners").scalar() == 0
            assert connection.exec_driver_sql("SELECT current_schema()").scalar() != "public"
        engine.dispose()


def test_r31_a_database_that_was_moved_to_another_server_gets_its_role_with_the_next_migrate(
    world: World, rollcall: Rollcall, administrator: Administrator
) -> None:
    role = str(world.ask("SELECT people()"))
    left = role.replace("rollcall_people_of_", "left-")
    administrator("ALTER ROLE {} RENAME TO {}", role, left)

    refused = rollcall("seats", "show", "-o", "acme")
    migrated = rollcall("migrate")

    assert str(refused.exception) == "The database lacks the role of an organisation's people: run rollcall migrate."
    assert migrated.exit_code == 0, migrated.output
    assert rollcall("seats", "show", "-o", "acme").exit_code == 0
    assert world.list("SELECT DISTINCT unnest(polroles) FROM pg_policy") == world.list(
        "SELECT CAST(quote_ident(people()) AS regrole)::oid"
    )
