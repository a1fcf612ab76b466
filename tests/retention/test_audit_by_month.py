"""The audit log lies in months: nobody changes one, and each is dropped as its time is over; R34, R35."""

from datetime import datetime, timedelta

import psycopg
import pytest
from alembic.command import downgrade, upgrade
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from config.database import transaction
from config.embedded import Embedded
from tasks import audit, retention
from tasks.accounts import Caller, Door, Role
from tests import older
from tests.retention.months import divided, keep, names, of, where
from tests.scale.explained import explained
from tests.test_migrations import REVISIONS, database_at, opened
from tests.world import World
from workers.relay.audit import KeepAudit

ROOT = Caller("root", Door.COMMAND, Role.OPERATOR)

INSERT = """
    INSERT INTO audit (organisation, at, who, door, act, outcome)
    SELECT 0, at, 'root', 'command', 'learners.activate', 'done' FROM unnest(CAST(:ats AS timestamptz[])) at
"""


def test_r35_a_month_of_the_audit_log_is_dropped_and_none_of_its_rows_is_touched(world: World) -> None:
    first = divided(world, "audit", 3)
    world.execute(INSERT, ats=[first - timedelta(days=1), first, first + timedelta(days=40)])
    assert keep(world) is None
    second = (first + timedelta(days=31)).replace(day=1)
    assert where(world, "audit") == {"audit_before": 1, of("audit", first): 1, of("audit", second): 1}
    days = world.ask("SELECT CAST(extract(day FROM now() - CAST(:at AS timestamptz)) AS int)", at=second)

    assert keep(world, rollcall_keep_audit_days=days) is None
    assert where(world, "audit") == {of("audit", second): 1}
    settings = world.runtime.settings.model_copy(update={"rollcall_keep_audit_days": 1})
    chore = KeepAudit(type(world.runtime)(settings, world.runtime.endpoints, world.runtime.engine))
    assert chore.do() is None
    assert where(world, "audit") == {of("audit", second): 1}, "what a month keeps goes with it"


def test_r35_while_no_relay_ran_what_is_written_is_taken_and_finds_its_month_later(world: World) -> None:
    divided(world, "audit", 0)
    with transaction(world.runtime.engine) as connection:
        audit.record(connection, None, ROOT, [audit.AuditEntry("learners.activate")])
    assert where(world, "audit") == {"audit_other": 1}
    keep(world)

    (month,) = where(world, "audit")
    assert month == world.ask("SELECT to_char(now() AT TIME ZONE 'UTC', '\"audit_\"YYYY_MM')")


@pytest.mark.parametrize("statement", ["UPDATE {} SET who = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
def test_r34_nobody_changes_a_partition_by_its_name_either(world: World, statement: str) -> None:
    divided(world, "audit", 1)
    world.execute(INSERT, ats=["2020-01-01", "2999-01-01"])
    keep(world)
    partitions = [name for name in names(world) if name.startswith("audit_")]
    assert len(partitions) == 2 + 1 + 1 + 3

    for name in partitions:
        for mode in ("origin", "replica"):
            with world.runtime.engine.connect() as connection:
                connection.execute(text(f"SET LOCAL session_replication_role = {mode}"))
                with pytest.raises(DBAPIError) as refused:
                    connection.execute(text(statement.format(name)))
                assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)
    assert sum(where(world, "audit").values()) == 2


def test_r34_no_month_is_dropped_before_it_is_over_for_a_day(world: World) -> None:
    divided(world, "audit", 0)
    keep(world)
    now: datetime = world.ask("SELECT now()")
    with world.runtime.engine.connect() as connection, pytest.raises(DBAPIError, match="is not over for a day yet"):
        connection.execute(text("SELECT drop_partition(:name)"), {"name": of("audit", now)})
    assert of("audit", now) in names(world)


def test_r31_an_organisations_people_write_to_the_month_and_see_their_own(world: World) -> None:
    divided(world, "audit", 1)
    keep(world)
    open_ = "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND NOT relrowsecurity"
    assert world.list(open_) == []
    granted = """
        SELECT DISTINCT privilege_type FROM information_schema.role_table_grants
        WHERE grantee = people() AND starts_with(table_name, 'audit_2')
    """
    assert world.list(granted) == ["SELECT"]


def test_r35_a_page_of_the_audit_log_looks_into_the_months_from_its_place_on(world: World) -> None:
    first = divided(world, "audit", 3)
    keep(world)
    chosen, after = audit.AuditFilter(), (first + timedelta(days=70), 0)
    with explained(world.runtime.engine) as costs, transaction(world.runtime.engine) as connection:
        audit.records_of_all(connection, chosen, after, 10)
    (plan,) = [cost.plan for statement, cost in costs.items() if "FROM audit" in statement]
    assert "audit_before" not in plan
    assert of("audit", first) not in plan
    assert of("audit", first + timedelta(days=70)) in plan


def test_r33_the_audit_log_of_before_is_a_partition_and_the_old_version_goes_on_with_it(servers: Embedded) -> None:
    with database_at(servers, "0042") as url, opened(url) as (engine, connection):
        older.fill(connection)
        connection.execute("INSERT INTO audit (organisation, who, door, act, outcome)"
                           " SELECT 2, 'a', 'api', 'b', 'done' FROM generate_series(1, 5)")  # fmt: skip
        before = older.rows(connection)["audit"]
        older.move(engine, upgrade, "0082")
        assert older.rows(connection)["audit"] == before
        written = """
            INSERT INTO audit (organisation, who, door, act, outcome) VALUES (1, 'a', 'api', 'b', 'done')
            RETURNING id, CAST(tableoid::regclass AS text)
        """
        new = connection.execute(written).fetchone()
        assert new is not None
        assert new[0] > max(row["id"] for row in before)
        assert new[1] == "audit_before"
        until = connection.execute("SELECT partition_until('audit_before') - interval '1 month' > now()").fetchone()
        assert until == (True,)
        assert connection.execute("SELECT forget_audit(30, 10)").fetchone() == (1,), "it lies in the first partition"

        found = older.rows(connection)["audit"]
        older.move(engine, downgrade, "0042")
        assert older.rows(connection)["audit"] == found
        again = connection.execute("INSERT INTO audit (organisation, who, door, act, outcome)"
                                   " VALUES (1, 'a', 'api', 'b', 'done') RETURNING id").fetchone()  # fmt: skip
        assert again is not None
        assert again[0] > new[0]
        older.move(engine, upgrade, REVISIONS[-1])
        with engine.connect() as made:
            assert "audit_before" in {one.name for one in retention.partitions(made)}
