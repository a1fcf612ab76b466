"""Attempts lie in months, which are made ahead and dropped, and no row is deleted: R18, R31, R35."""

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from alembic.command import downgrade, upgrade
from psycopg import sql
from sqlalchemy import event, text

from config.embedded import Embedded
from tasks import retention
from tests import older
from tests.round_trips import counted
from tests.test_migrations import REVISIONS, database_at, opened
from tests.world import World
from workers.relay.retention import AGAIN_SECONDS, KeepPartitions

INSERT = """
    INSERT INTO attempts (organisation, mailing, recipient, attempted_at, reason)
    SELECT 1, 1, n, at, 'throttled'
    FROM unnest(CAST(:ats AS timestamptz[])) WITH ORDINALITY AS new (at, n)
"""


def keep(world: World, days: int = 400) -> float | None:
    """The relay's chore, once; when it is due again."""
    settings = world.runtime.settings.model_copy(update={"rollcall_keep_deliveries_days": days})
    return KeepPartitions(type(world.runtime)(settings, world.runtime.endpoints, world.runtime.engine)).do()


def names(world: World) -> list[str]:
    with world.runtime.engine.connect() as connection:
        return [one.name for one in retention.partitions(connection) if one.of_table == "attempts"]


def where(world: World) -> dict[str, int]:
    """How many attempts lie in which partition."""
    return dict(world.rows("SELECT CAST(tableoid::regclass AS text), count(*) FROM attempts GROUP BY 1"))


def divided(world: World, months: int) -> datetime:
    """Have the first partition end so many months before this one, as if the table had been divided then; when that
    is."""
    end: datetime = world.ask(
        "SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => :n)) AT TIME ZONE 'UTC'",
        n=months,
    )
    world.execute("ALTER TABLE attempts DETACH PARTITION attempts_before")
    world.execute(f"ALTER TABLE attempts ATTACH PARTITION attempts_before FOR VALUES FROM (MINVALUE) TO ('{end}')")
    return end


def of(month: datetime) -> str:
    return f"attempts_{month:%Y_%m}"


def test_r35_months_are_made_ahead_and_whatever_is_written_finds_its_own(world: World) -> None:
    first = divided(world, 2)
    second = (first + timedelta(days=31)).replace(day=1)
    before, far = first - timedelta(microseconds=1), first.replace(year=2999)
    world.execute(INSERT, ats=[before, first, second + timedelta(days=27), far])
    assert where(world) == {"attempts_before": 1, "attempts_other": 3}

    assert keep(world) is None
    assert where(world) == {"attempts_before": 1, of(first): 1, of(second): 1, "attempts_other": 1}
    made = names(world)
    assert len(made) == 2 + 2 + 1 + 3, "the first, the other, two before this month, this one and three ahead"
    assert keep(world) is None
    assert names(world) == made, "there is nothing to do"


def test_r35_a_month_whose_time_is_over_is_dropped_and_no_other(world: World) -> None:
    first = divided(world, 3)
    old = [first - timedelta(days=300), first - timedelta(days=1)]
    world.execute(INSERT, ats=[*old, first])
    days = world.ask("SELECT CAST(extract(day FROM now() - CAST(:first AS timestamptz)) AS int)", first=first)

    assert keep(world, days) is None
    assert where(world) == {of(first): 1}
    world.execute(INSERT, ats=old)
    assert where(world) == {of(first): 1, "attempts_other": 2}, "what is written late is still taken"
    keep(world, days - 31)
    assert of(first) not in names(world)
    assert of(first + timedelta(days=31)) in names(world)


def test_r31_whoever_reads_is_waited_for_briefly_and_it_is_dropped_later(world: World) -> None:
    divided(world, 3)
    keep(world)
    url = world.runtime.endpoints.database_url
    with psycopg.connect(url) as reader, psycopg.connect(url, autocommit=True) as writer:
        reader.execute("SELECT FROM attempts")

        assert keep(world, 31) == AGAIN_SECONDS
        assert "attempts_before" in names(world)
        writer.execute("INSERT INTO attempts VALUES (1, 1, 1, now(), 450, 'throttled')")
    assert keep(world, 31) is None
    assert "attempts_before" not in names(world)
    assert world.ask("SELECT count(*) FROM attempts") == 1


def test_r31_a_partition_that_was_made_shows_nobody_what_is_anothers(world: World) -> None:
    divided(world, 1)
    keep(world)

    open_ = "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND NOT relrowsecurity"
    assert world.list(open_) == []
    granted = """
        SELECT DISTINCT privilege_type FROM information_schema.role_table_grants
        WHERE grantee = people() AND starts_with(table_name, 'attempts_')
    """
    assert world.list(granted) == ["SELECT"]
    for table in ("attempts_other", "attempts", "consumptions"):
        with world.about() as (connection, _), pytest.raises(Exception, match="no partition of a time"):
            connection.execute(text("SELECT drop_partition(:name)"), {"name": table})


def test_r33_attempts_of_before_are_a_partition_and_none_of_them_is_read_for_that(servers: Embedded) -> None:
    with database_at(servers, "0042") as url, opened(url) as (engine, connection):
        older.fill(connection)
        before = older.rows(connection)["attempts"]
        older.move(engine, upgrade, "0061")
        connection.execute("INSERT INTO attempts VALUES (1, 1, 99, now(), 450, 'throttled')")
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET client_min_messages = debug1").format(name))
        engine.dispose()
        said: list[str] = []

        def listen(made: Any, _record: object) -> None:
            made.add_notice_handler(lambda notice: said.append(notice.message_primary))

        event.listen(engine, "connect", listen)
        older.move(engine, upgrade, "0062")

        assert [one for one in said if "implied" in one] == [
            'partition constraint for table "attempts_before" is implied by existing constraints'
        ]
        found = older.rows(connection)["attempts"]
        assert len(found) == 2
        assert before[0] in found
        lie = connection.execute("SELECT DISTINCT CAST(tableoid::regclass AS text) FROM attempts").fetchall()
        assert lie == [("attempts_before",)]

        older.move(engine, downgrade, "0042")
        assert sorted(older.rows(connection)["attempts"], key=repr) == sorted(found, key=repr)
        older.move(engine, upgrade, REVISIONS[-1])


def test_r33_whatever_is_announced_it_is_looked_at_once_an_hour_and_a_minute_after_a_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    divided(world, 3)
    settings = world.runtime.settings.model_copy(update={"rollcall_keep_deliveries_days": 31})
    with counted(type(world.runtime)(settings, world.runtime.endpoints, world.runtime.engine), monkeypatch) as trips:
        chore = KeepPartitions(trips.runtime)
        with psycopg.connect(world.runtime.endpoints.database_url) as reader:
            reader.execute("SELECT FROM attempts")
            assert chore.do() == AGAIN_SECONDS
        trips.since()
        assert (chore.do() or 0) > AGAIN_SECONDS / 2
        assert trips.since()["postgresql"] == 0
