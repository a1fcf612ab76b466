"""The ledger of deliveries lies in months of mailings, which are made ahead and dropped when all in them ended long
enough ago: R18, R31, R33, R35."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from alembic.command import downgrade, upgrade
from psycopg import sql
from sqlalchemy import event, text

from config.database import transaction
from config.embedded import Embedded
from tasks import mail
from tests import older
from tests.retention.months import SEQUENCE, ages, divided, keep, names, numbered_in, of, where
from tests.test_migrations import REVISIONS, database_at, opened
from tests.world import World
from workers.relay.retention import AGAIN_SECONDS

NEWEST = "SELECT max(mailing) FROM mailings"


def sent(world: World, announcement: str = "news") -> None:
    """An announcement is sent, to its end."""
    world.announces(announcement)
    world.settle()


def kept(world: World, announcement: str) -> int:
    """How many deliveries of an announcement are kept."""
    return int(world.ask("SELECT count(*) FROM deliveries JOIN mailings USING (organisation, mailing) WHERE id = :id",
                         id=announcement))  # fmt: skip


def month_of(world: World, mailing: int) -> datetime:
    """When the month begins of which a mailing has a number."""
    found: datetime = world.ask("SELECT month_of_number(:mailing)", mailing=mailing)
    return found


@pytest.fixture
def old(months: None, world: World) -> World:
    """An announcement that ended 410 days ago, in a month that is over for longer than 400; the others are there."""
    world.has_learners("A", "B")
    sent(world, "old")
    ages(world, 410, "old")
    return world


def test_r35_months_are_made_ahead_and_mailings_are_numbered_by_the_month(world: World) -> None:
    world.has_learners("A")
    month = numbered_in(world, 2, made=False)
    sent(world, "then")
    assert where(world, "deliveries") == {"deliveries_other": 1}

    assert keep(world) is None
    sent(world, "now")
    assert where(world, "deliveries") == {of("deliveries", month): 1, of("deliveries", world.ask("SELECT now()")): 1}
    made = [name for name in names(world) if name.startswith("deliveries")]
    assert len(made) == 2 + 2 + 1 + 3, "the first, the other, two before this month, this one and three ahead"
    newest: int = world.ask(NEWEST)
    assert newest == world.ask("SELECT number_of_month(now())") + 1
    assert newest < 2**53, "JSON has it as it is"

    keep(world)
    sent(world, "next")
    assert world.ask(NEWEST) == newest + 1
    world.execute(f"SELECT setval({SEQUENCE}, number_of_month(now() + interval '2 months'))")
    keep(world)
    sent(world, "ahead")
    assert world.ask(NEWEST) == world.ask("SELECT number_of_month(now() + interval '2 months')") + 1, "and never back"


def test_r33_while_no_relay_runs_numbers_go_on_where_they_are(world: World) -> None:
    world.has_learners("A")
    month = numbered_in(world, 14)
    sent(world)
    assert where(world, "deliveries") == {of("deliveries", month): 1}

    keep(world)
    assert where(world, "deliveries") == {of("deliveries", month): 1}, "it is young, whatever its number"


def test_r35_a_month_is_dropped_when_every_mailing_in_it_ended_long_ago(old: World) -> None:
    counts = old.progress("old")
    keep(old)
    assert where(old, "deliveries") == {}
    assert "deliveries_before" not in names(old)

    assert old.ask("SELECT count(*) FROM mailings WHERE id = 'old'") == 1
    assert old.progress("old") == counts


@pytest.mark.parametrize(
    "said",
    [
        "finished_at = finished_at + interval '11 days'",
        "state = 'sending', finished_at = NULL",
        "state = 'paused', finished_at = NULL",
        "counted_at = NULL",
        "kind = 'enrolment', state = 'sending', finished_at = NULL",
    ],
)
def test_r18_a_month_stays_while_a_mailing_in_it_is_young_or_goes_on_or_is_not_counted(old: World, said: str) -> None:
    old.execute(f"UPDATE mailings SET {said} WHERE id = 'old'")
    keep(old)
    assert kept(old, "old") == 2

    old.execute("UPDATE mailings SET state = 'finished', finished_at = now() - interval '401 days' WHERE id = 'old'")
    old.execute("UPDATE mailings SET counted_at = finished_at WHERE id = 'old'")
    keep(old)
    assert kept(old, "old") == 0


def test_r18_a_draft_keeps_no_month_and_its_deliveries_lie_elsewhere_if_it_is_launched_later(old: World) -> None:
    old.announces("draft", send_at=(datetime.now(UTC) + timedelta(days=1)).isoformat())
    keep(old)
    assert kept(old, "old") == 0
    old.execute("UPDATE mailings SET send_at = now() WHERE id = 'draft'")
    old.execute("UPDATE work SET due_at = now(), state = 'due'")
    old.settle()
    assert where(old, "deliveries") == {"deliveries_other": 2}
    assert old.progress("draft").accepted == 2

    ages(old, 399, "draft")
    keep(old)
    assert kept(old, "draft") == 2
    ages(old, 2, "draft")
    assert keep(old) == AGAIN_SECONDS, "there may be more"
    assert kept(old, "draft") == 0
    assert keep(old) is None
    assert old.progress("draft").accepted == 2


def test_r18_whoever_writes_into_a_month_is_waited_for(old: World) -> None:
    keep(old, rollcall_keep_deliveries_days=500)
    with psycopg.connect(old.runtime.endpoints.database_url) as retrying:
        retrying.execute("UPDATE deliveries SET attempts = 0")
        assert keep(old) == AGAIN_SECONDS
        retrying.execute("UPDATE mailings SET state = 'sending', finished_at = NULL WHERE id = 'old'")
    keep(old)
    assert kept(old, "old") == 2


def test_r18_nobody_writes_into_a_month_while_it_is_looked_whether_all_of_it_may_go(old: World) -> None:
    month = old.ask("SELECT number_of_month(now() - interval '15 months')")
    url = old.runtime.endpoints.database_url
    with transaction(old.runtime.engine) as connection, psycopg.connect(url, autocommit=True) as other:
        asked = (of("deliveries", month_of(old, month)), month, month + 2**30, 400)
        assert not mail.is_done_with(connection, *asked), "more mailings may get numbers of it"
        connection.execute(text(f"SELECT setval({SEQUENCE}, number_of_month(now()))"))
        assert mail.is_done_with(connection, *asked)
        other.execute("SET lock_timeout = '50ms'")
        assert other.execute("SELECT count(*) FROM deliveries").fetchone() == (2,)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("UPDATE deliveries SET attempts = 0")


def test_r31_a_month_that_was_made_is_as_those_before(world: World) -> None:
    divided(world, "deliveries", 1)
    keep(world)
    made = "FROM pg_class WHERE relispartition AND relkind = 'r' AND starts_with(relname, 'deliveries_')"
    assert world.list(f"SELECT relname {made} AND NOT relrowsecurity") == []
    assert world.list(f"SELECT DISTINCT CAST(reloptions AS text) {made}") == ["{fillfactor=85}"]
    assert world.list(
        "SELECT DISTINCT CAST(attoptions AS text) FROM pg_attribute WHERE attname = 'organisation'"
        f" AND attrelid IN (SELECT oid {made})"
    ) == ["{n_distinct=-0.001}"]
    granted = """
        SELECT DISTINCT privilege_type FROM information_schema.role_table_grants
        WHERE grantee = people() AND starts_with(table_name, 'deliveries_2')
    """
    assert world.list(granted) == ["SELECT"]


def test_r35_after_the_numbers_went_to_a_new_epoch_there_are_months_of_it(world: World) -> None:
    world.has_learners("A")
    keep(world)
    world.execute(f"SELECT setval({SEQUENCE}, 3::bigint << 40)")
    keep(world)
    sent(world)
    now = world.ask("SELECT now()")
    assert where(world, "deliveries") == {f"{of('deliveries', now)}_3": 1}
    assert world.ask(NEWEST) >> 40 == 3

    ages(world, 401, "news")
    keep(world)
    assert kept(world, "news") == 1, "its month is not over"


def test_r33_deliveries_of_before_are_a_partition_and_none_of_them_is_read_for_that(servers: Embedded) -> None:
    with database_at(servers, "0088") as url, opened(url) as (engine, connection):
        older.fill(connection)
        connection.execute("INSERT INTO deliveries SELECT 1, 1, n, 'accepted' FROM generate_series(2, 9) n")
        before = older.rows(connection)["deliveries"]
        older.move(engine, upgrade, "0090")
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET client_min_messages = debug1").format(name))
        engine.dispose()
        said: list[str] = []

        def listen(made: Any, _record: object) -> None:
            made.add_notice_handler(lambda notice: said.append(notice.message_primary))

        event.listen(engine, "connect", listen)
        older.move(engine, upgrade, "0091")

        assert [one for one in said if "implied" in one] == [
            'partition constraint for table "deliveries_before" is implied by existing constraints'
        ]
        assert older.rows(connection)["deliveries"] == before
        lie = connection.execute("SELECT DISTINCT CAST(tableoid::regclass AS text) FROM deliveries").fetchall()
        assert lie == [("deliveries_before",)]
        ahead = connection.execute(
            "SELECT partition_until('deliveries_before') - interval '1 month' > now()"
        ).fetchone()
        assert ahead == (True,), "there is time to start the new relay"

        older.move(engine, downgrade, "0090")
        older.move(engine, upgrade, "0091")
        assert connection.execute(
            "SELECT partition_until('deliveries_before') < now() + interval '3 months'"
        ).fetchone() == (True,)
        older.move(engine, downgrade, "0088")
        assert sorted(older.rows(connection)["deliveries"], key=repr) == sorted(before, key=repr)
        older.move(engine, upgrade, REVISIONS[-1])


def test_the_number_of_a_month_is_that_of_its_first_moment_in_utc(world: World) -> None:
    first = datetime.fromisoformat("2026-12-01T00:00:00+00:00")
    for month in (first, first + timedelta(days=30, hours=23)):
        assert world.ask("SELECT number_of_month(:month)", month=month) == 84 << 30
    assert world.ask("SELECT number_of_month(:month)", month=first - timedelta(seconds=1)) == 83 << 30
    assert world.ask("SELECT month_of_number(84::bigint << 30)") == first
    assert world.ask("SELECT month_of_number((7::bigint << 40) + (85::bigint << 30) - 1)") == first
