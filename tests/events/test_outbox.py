"""What goes out: in one order, each event once, and all of it again where Redis forgot (R33)."""

import json
from typing import Any

import pytest

from config.database import transaction
from config.streams import OUT
from tasks.events import outbox
from tests.world import World
from workers.relay import Relay


def ids_out(world: World) -> list[str]:
    return [event["id"] for event in world.out()]


def test_events_carry_what_cloudevents_and_the_contract_ask_for(world: World) -> None:
    world.has_learners("A", status="inactive")
    world.becomes("active", "A")
    world.settle()

    [event] = world.out()

    assert event["id"]
    assert event["time"]
    assert {name: event[name] for name in ("specversion", "source", "type", "organisation", "data")} == {
        "specversion": "1.0",
        "source": "rollcall",
        "type": "rollcall.access.activated",
        "organisation": "acme",
        "data": {"learner": "A", "courses": []},
    }


def test_r33_a_stream_that_redis_lost_is_published_anew_under_the_same_ids(world: World) -> None:
    world.has_learners("A", "B", "C", status="inactive")
    world.becomes("active", "A", "B", "C")
    world.settle()
    before = [(entry, json.loads(fields[b"event"])) for entry, fields in _entries(world)]

    world.redis.flushdb()
    world.becomes("inactive", "A")
    world.settle()

    after = [(entry, json.loads(fields[b"event"])) for entry, fields in _entries(world)]
    assert after[:-1] == before
    assert after[-1][1]["type"] == "rollcall.access.suspended"


def test_publishing_twice_writes_once(world: World) -> None:
    world.has_learners("A", status="inactive")
    world.becomes("active", "A")
    world.settle()
    before = ids_out(world)

    world.ask("UPDATE publication SET published = 0 RETURNING published")
    Relay(world.runtime).publish()

    assert ids_out(world) == before


def test_a_database_younger_than_the_stream_still_gets_its_events_out(world: World) -> None:
    world.redis.xadd(OUT, {"event": json.dumps({"id": "older"})}, id="500-0")
    world.has_learners("A", "B", status="inactive")
    world.becomes("active", "A", "B")
    world.settle()
    world.becomes("inactive", "A")
    world.settle()

    assert [event.get("type", event["id"]) for event in world.out()] == [
        "older",
        "rollcall.access.activated",
        "rollcall.access.activated",
        "rollcall.access.suspended",
    ]
    assert world.ask("SELECT count(*) FROM outbox WHERE position IS NULL OR position <= 500") == 0


def test_what_is_published_at_once_is_bounded_by_its_size(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "BATCH_BYTES", 1)
    world.has_learners("A", "B", "C", status="inactive")
    world.becomes("active", "A", "B", "C")

    world.settle()

    with transaction(world.runtime.engine) as connection:
        assert len(outbox.ordered_after(connection, 0, 1000)) == 1
    assert [event["learner"] for event in world.out("access.activated")] == ["A", "B", "C"]


def _entries(world: World) -> Any:
    return world.redis.xrange(OUT)
