"""What goes out: in one order, each event once, and all of it again where Redis forgot (R33)."""

import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from config.database import autocommit, transaction
from config.settings import Settings
from config.streams import OUT
from tasks.events import emit_changed, outbox
from tasks.events.outgoing import MOST_IDS
from tests.workers.deployment import until
from tests.world import World, publish


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
    publish(world.runtime)

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


def test_r33_what_was_published_since_the_backup_is_not_published_again_when_it_is_restored(world: World) -> None:
    world.has_learners(*"ABCD", status="inactive")
    world.becomes("active", "A")
    publish(world.runtime)
    world.becomes("active", "B")
    with autocommit(world.runtime.engine) as connection:
        outbox.order_next(connection, 1, 1, 1000)
    world.becomes("active", "C")
    backup = world.rows("SELECT organisation, seq, position FROM outbox ORDER BY seq")
    publish(world.runtime)
    world.redis.xadd(OUT, {"event": "no document"}, id="4-0")
    before = _entries(world)

    world.execute("UPDATE outbox SET position = NULL WHERE position = 3")
    world.execute("UPDATE publication SET ordered = 2, published = 1")
    assert world.rows("SELECT organisation, seq, position FROM outbox ORDER BY seq") == backup
    world.becomes("active", "D")
    world.settle()

    told = [json.loads(fields[b"event"]) for _, fields in _entries(world) if b"source" in fields[b"event"]]
    assert [event["data"]["learner"] for event in told] == [*"ABCD"]
    assert _entries(world)[: len(before)] == before
    assert world.ask("SELECT array_agg(position ORDER BY seq) FROM outbox")[:3] == [1, 2, 3]


def test_a_database_that_lacks_less_than_is_new_in_it_publishes_all_of_that(world: World) -> None:
    """As a standby that took over and had not got the last commits: new events are not taken for those it lacks."""
    world.redis.xadd(OUT, {"event": json.dumps({"id": "lacked", "type": "theirs"})}, id="2-0")
    world.has_learners("A", "B", "C", status="inactive")
    world.becomes("active", "A", "B", "C")

    world.settle()

    assert [data["learner"] for data in world.out("access.activated")] == ["A", "B", "C"]


def test_a_relay_that_lost_its_lead_without_knowing_it_gives_no_place_again(world: World) -> None:
    world.has_learners("A", "B", "C", status="inactive")
    world.becomes("active", "A", "B", "C")
    late = Thread(target=publish, args=(world.runtime,))

    with transaction(world.runtime.engine) as connection:
        outbox.order_next(connection, 0, 0, 1000)
        late.start()
        until(lambda: world.waiting() > 0, "the other waits")
    late.join()
    publish(world.runtime)

    assert world.rows("SELECT ordered, published FROM publication") == [(3, 3)]
    assert len(ids_out(world)) == 3


def test_r33_of_two_relays_that_put_the_outbox_in_order_at_the_same_moment_one_does(world: World) -> None:
    world.has_learners("A", "B", "C", status="inactive")
    world.becomes("active", "A", "B", "C")
    told: list[list[int]] = []

    def order() -> None:
        with autocommit(world.runtime.engine) as connection:
            told.append([event.position for event in outbox.order_next(connection, 0, 0, 1000)[1]])

    relays = [Thread(target=order) for _ in range(2)]
    with transaction(world.runtime.engine) as connection:
        outbox.published_through(connection, 0)
        for relay in relays:
            relay.start()
        until(lambda: world.waiting() == len(relays), "both have seen the same, and wait")
    for relay in relays:
        relay.join()

    assert sorted(told) == [[], [1, 2, 3]]
    publish(world.runtime)
    assert world.rows("SELECT ordered, published FROM publication") == [(3, 3)]
    assert len(ids_out(world)) == 3


def test_what_is_published_at_once_is_bounded_by_its_size(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "BATCH_BYTES", 1)
    world.has_learners("A", "B", "C", status="inactive")
    world.becomes("active", "A", "B", "C")

    world.settle()

    with transaction(world.runtime.engine) as connection:
        assert len(outbox.order_next(connection, 0, 0, 1000)[1]) == 1
    assert [event["learner"] for event in world.out("access.activated")] == ["A", "B", "C"]


def _entries(world: World) -> Any:
    return world.redis.xrange(OUT)


def test_which_enrolments_changed_is_told_of_as_many_learners_as_an_event_may_name(world: World) -> None:
    world.has_course("safety")
    world.execute(
        """
        INSERT INTO learners (organisation, learner, id, standing, version)
        SELECT organisation, n, 'L' || n, 'active', 1 FROM organisations, generate_series(1, :n) n
        """,
        n=MOST_IDS + 1,
    )
    course = world.ask("SELECT course FROM courses")
    with world.about() as (connection, org):
        changed = [(course, 1, learner, "withdrawn") for learner in range(1, MOST_IDS + 2)]
        emit_changed(connection, org.organisation, "withdrawal", [*changed, (course, 2, 1, "silent")])

    said = (
        "SELECT concat_ws(' ', data ->> 'cycle', json_array_length(data -> 'withdrawn'), data -> 'silent') FROM outbox"
    )
    assert world.list(said + " ORDER BY seq") == [f"1 {MOST_IDS} []", "1 1 []", '2 0 ["L1"]']


def test_which_enrolments_changed_is_told_in_one_way_and_a_chunk_fits_into_an_event() -> None:
    tasks = Path(outbox.__file__).parents[1]
    told = {
        path.name for path in tasks.rglob("*.py") if "rollcall.enrolment.changed" in path.read_text(encoding="utf-8")
    }

    assert told == {"outbox.py", "outgoing.py"}
    assert [bound.le for bound in Settings.model_fields["rollcall_chunk"].metadata if hasattr(bound, "le")] == [
        MOST_IDS
    ]
