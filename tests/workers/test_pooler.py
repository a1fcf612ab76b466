"""Through a pooler in transaction mode a session is lent for one transaction: nothing is lost or doubled by that (R31)."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from config.database import autocommit, enter_tenant_role, execute, later, nobody_to_blame, snapshot, transaction, value
from config.engine import OURS, Patience, make_engine
from config.outages import why
from config.settings import ConfigurationError
from tests.databases import database_named
from tests.pgbouncer import PgBouncer, pgbouncer
from tests.world import World

MINE = "SELECT string_agg(DISTINCT organisation::text, ',') FROM learners"


@pytest.fixture
def pooler(database_url: str) -> Iterator[PgBouncer]:
    """PgBouncer in front of this test's database."""
    with pgbouncer(database_url) as found:
        yield found


def shown(engine: Engine, name: str, *, pipelined: bool = False) -> str:
    """A setting within a transaction."""
    with transaction(engine, pipelined=pipelined) as connection:
        return str(value(connection, "SELECT current_setting(:name)", name=name))


def test_r31_what_a_transaction_relies_on_holds_in_a_session_that_nobody_told(
    world: World, database_url: str, pooler: PgBouncer
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    odd = {"timezone": "Asia/Kathmandu", "intervalstyle": "iso_8601", "bytea_output": "escape", "row_security": "off"}
    with psycopg.connect(database_url, autocommit=True) as session:
        for setting, said in odd.items():
            session.execute(f"ALTER DATABASE {name} SET {setting} = '{said}'")
    patience = Patience(pool=5, connect=5, lock=7, statement=9)
    engine = make_engine(f"{database_url}&options=-csearch_path%3Dpublic,pg_temp", role="test", patience=patience, pooler=pooler.url)
    expected = {**OURS, "default_transaction_isolation": "read committed", "lock_timeout": "7s", "statement_timeout": "9s", "search_path": "public,pg_temp"}

    for pipelined in (False, True):
        assert {each: shown(engine, each, pipelined=pipelined) for each in expected} == expected
    with autocommit(engine) as connection:
        found = {each: value(connection, "SELECT current_setting(:name)", name=each) for each in expected}
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
        assert other.execute("SHOW timezone").fetchone() == ("Asia/Kathmandu",), "and is gone with the transaction"
