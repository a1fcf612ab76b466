"""Events out lie in months: what is not published is never dropped, and the rest goes on without what is (R33, R35)."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic.command import downgrade, upgrade
from sqlalchemy import event as sqlalchemy_event

from config.database import execute, scoped, transaction
from config.embedded import Embedded
from config.streams import OUT
from tasks import events, seats, webhooks
from tasks.webhooks import sending
from tests import older
from tests.retention.months import divided, keep, names, of, where
from tests.scale.explained import explained
from tests.test_migrations import REVISIONS, database_at, opened
from tests.world import World
from workers.relay.retention import AGAIN_SECONDS

#: All that there is was written so long ago.
AGED = (
    "ALTER TABLE consumptions DISABLE TRIGGER append_only",
    "UPDATE outbox SET time = time - interval '200 days'",
    "UPDATE consumptions SET recorded_at = recorded_at - interval '200 days'",
    "ALTER TABLE consumptions ENABLE ALWAYS TRIGGER append_only",
)

AGO = timedelta(days=200)


def age(world: World) -> None:
    """Let all events so far have been written long ago, and divide the outbox as if that had been done before."""
    with transaction(world.runtime.engine) as connection:
        for statement in AGED:
            execute(connection, statement)
    divided(world, "outbox", 5)
    keep(world, rollcall_keep_outbox_days=400)


@pytest.fixture
def charged(world: World) -> World:
    """A start of long ago is charged, announced and published, and one of today."""
    world.has_learners("A", "B")
    world.has_course("safety", "everyone", cost=3)
    world.starts("A", "safety")
    world.settle()
    age(world)
    world.starts("B", "safety")
    world.settle()
    return world


def off(world: World) -> list[tuple[str, str]]:
    with world.about() as (connection, organisation):
        return [(found.what, found.id) for some in seats.checks(connection, organisation) for found in some]


def test_r28_the_ledger_is_verified_across_a_month_of_events_that_was_dropped(charged: World) -> None:
    before = charged.ask("SELECT count(*) FROM outbox")
    assert off(charged) == []
    assert keep(charged, rollcall_keep_outbox_days=90) is None
    assert "outbox_before" not in names(charged)
    assert 0 < charged.ask("SELECT count(*) FROM outbox") < before

    assert len(charged.ledger()) == 2
    assert off(charged) == []
    charged.execute("DELETE FROM outbox WHERE type = 'rollcall.seat.consumed'")
    assert off(charged) == [("not announced", "2")], "of what is kept, as before"


def test_r33_what_is_published_once_more_and_by_webhooks_begins_with_what_is_kept(charged: World) -> None:
    with transaction(charged.runtime.engine) as connection, scoped(connection, 1):
        assert webhooks.add(connection, 1, "h", "https://a.example/", None, "key", datetime(2000, 1, 1, tzinfo=UTC))
    assert charged.ask("SELECT position FROM webhooks") == 0
    keep(charged, rollcall_keep_outbox_days=90)
    kept = charged.list("SELECT position FROM outbox ORDER BY position")
    with transaction(charged.runtime.engine) as connection:
        request = events.ReplayRequest(since=1)
        assert events.replay(connection, request, events.replay_published(connection), dry=False) == len(kept)
    with transaction(charged.runtime.engine) as connection:
        (claimed,) = sending.claim(connection, 1, timedelta(minutes=1), most_of_one=1, served={})
    with transaction(charged.runtime.engine) as connection, scoped(connection, 1):
        sent = sending.next_events(connection, claimed, claimed.position, 1000)
    assert [one.position for one in sent] == kept
    published: Any = charged.redis.xlen(OUT)
    charged.settle()
    assert charged.redis.xlen(OUT) == published + len(kept)
    assert charged.ask("SELECT count(*) FROM replays WHERE position IS NULL") == 0


@pytest.mark.parametrize("left", ["not in order", "not published", "once more"])
def test_r33_what_is_still_to_be_published_is_kept_however_old(charged: World, left: str) -> None:
    if left == "not in order":
        charged.execute(
            "INSERT INTO outbox (organisation, type, data, time) VALUES (1, 'x', '{}', now() - :ago)", ago=AGO
        )
    elif left == "not published":
        charged.execute("UPDATE publication SET published = 0")
    else:
        charged.execute("INSERT INTO replays (organisation, seq) SELECT organisation, min(seq) FROM outbox GROUP BY 1")
    before = where(charged, "outbox")

    assert keep(charged, rollcall_keep_outbox_days=90) == AGAIN_SECONDS
    assert where(charged, "outbox") == before


def test_r35_while_no_relay_ran_events_are_written_and_find_their_month_later(world: World) -> None:
    divided(world, "outbox", 1)
    world.has_learners("A")
    world.becomes("inactive", "A")
    assert where(world, "outbox").keys() == {"outbox_other"}
    world.settle()
    heard = world.out()
    keep(world)

    now: datetime = world.ask("SELECT now()")
    assert where(world, "outbox") == {of("outbox", now): len(heard)}
    assert world.ask("SELECT count(*) FROM outbox WHERE position IS NULL") == 0


def test_s15_what_an_answer_said_of_an_event_that_is_gone_is_removed_with_anybody(charged: World) -> None:
    charged.execute(
        """
        INSERT INTO webhooks (organisation, id, url, key, position) VALUES (1, 'h', 'https://a.example/', 'k', 0)
        """
    )
    charged.execute(
        """
        INSERT INTO webhook_attempts (organisation, webhook, delivered, number, event, type, position, at, problem,
                                      milliseconds, said)
        SELECT 1, 'h', false, position, id, type, position, now(), 'refused', 1, CAST(data AS text) FROM outbox
        WHERE type = 'rollcall.seat.consumed'
        """
    )
    keep(charged, rollcall_keep_outbox_days=90)
    with transaction(charged.runtime.engine) as connection, scoped(connection, 1):
        webhooks.forget_answers(connection, 1, ["nobody"])
    (left,) = charged.list("SELECT said FROM webhook_attempts WHERE said <> ''")
    assert '"B"' in left


def test_r33_giving_events_their_place_looks_into_their_month_alone(world: World) -> None:
    divided(world, "outbox", 4)
    keep(world)
    world.has_learners("A")
    world.becomes("inactive", "A")
    with explained(world.runtime.engine) as costs, transaction(world.runtime.engine) as connection:
        _, found = events.order_next(connection, 0, 0, 100)
    assert found
    (plan,) = [cost.plan for statement, cost in costs.items() if "placed_new" in statement]
    places: list[dict[str, Any]] = updates(plan)
    assert [one["Relation Name"] for one in places if one["Actual Loops"]] == [of("outbox", world.ask("SELECT now()"))]


def updates(plan: str) -> list[dict[str, Any]]:
    """The scans by key of what an UPDATE of the outbox joins."""

    def below(node: dict[str, Any]) -> list[dict[str, Any]]:
        return [node, *(one for each in node.get("Plans", []) for one in below(each))]

    return [one for one in below(json.loads(plan)) if "seq = " in str(one.get("Index Cond")) and "Relation Name" in one]


def test_r33_the_outbox_of_before_is_a_partition_and_none_of_it_is_read_for_that(servers: Embedded) -> None:
    with database_at(servers, "0042") as url, opened(url) as (engine, connection):
        older.fill(connection)
        connection.execute(
            "INSERT INTO outbox (organisation, type, data) SELECT 2, 'x', '{}' FROM generate_series(1, 5)"
        )
        before = older.rows(connection)["outbox"]
        older.move(engine, upgrade, "0084")
        said: list[str] = []
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET client_min_messages = debug1")
        engine.dispose()

        def listen(made: Any, _record: object) -> None:
            made.add_notice_handler(lambda notice: said.append(notice.message_primary))

        sqlalchemy_event.listen(engine, "connect", listen)
        older.move(engine, upgrade, "0085")
        assert [one for one in said if "implied" in one] == [
            'partition constraint for table "outbox_before" is implied by existing constraints'
        ]
        assert [one for one in said if "building index" in one and "outbox_before" in one] == []

        new = connection.execute(
            """
            INSERT INTO outbox (organisation, type, data) VALUES (1, 'rollcall.x', '{}')
            RETURNING seq, CAST(tableoid::regclass AS text)
            """
        ).fetchone()
        assert new is not None
        assert new[0] > max(row["seq"] for row in before)
        assert new[1] == "outbox_before"
        found = older.rows(connection)["outbox"]
        assert all(any(row.items() <= one.items() for one in found) for row in before)
        older.move(engine, downgrade, "0082")
        assert older.rows(connection)["outbox"] == found
        older.move(engine, upgrade, REVISIONS[-1])
