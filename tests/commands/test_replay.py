"""`rollcall events replay`: what went out is published once more, after all else, as the same events."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.streams import OUT
from tasks import events
from tests.commands.console import Rollcall, printed, refused, rollcall
from tests.world import World
from workers.relay.readers import WatchReaders

__all__ = ["refused", "rollcall"]  # fixtures


@pytest.fixture
def told(world: World) -> World:
    """Ten events went out, an hour apart, the last one now; the even ones are of another type and organisation."""
    world.send(world.event("organisation.saved", {"name": "B", "licence": "seats", "pool": 1}, organisation="borealis"))
    world.execute(
        """
        INSERT INTO outbox (organisation, type, data, time)
        SELECT 1 + (n + 1) % 2, CASE n % 2 WHEN 0 THEN 'rollcall.access.activated' ELSE 'rollcall.access.suspended' END,
               CASE n % 2 WHEN 0 THEN json_build_object('learner', CAST(n AS text), 'courses', ARRAY['x'])
                          ELSE json_build_object('learner', CAST(n AS text)) END, now() - make_interval(hours => 10 - n)
        FROM generate_series(1, 10) n
        """
    )
    world.settle()
    return world


def entries(world: World) -> list[tuple[str, Any]]:
    found: Any = world.redis.xrange(OUT)
    return [(entry.decode(), json.loads(fields[b"event"])) for entry, fields in found]


def again(world: World) -> list[int]:
    """Which events were published once more, in order."""
    world.settle()
    return [int(event["data"]["learner"]) for _, event in entries(world) if event.get("replayed")]


def test_what_is_replayed_is_the_same_event_at_the_end_under_a_new_entry(told: World, rollcall: Rollcall) -> None:
    before = entries(told)

    assert printed("events-replay", rollcall("events", "replay", "--since", "4", "--json")) == {
        "replayed": 7,
        "dry_run": False,
        "left": 7,
    }
    told.settle()

    after = entries(told)
    assert after[:10] == before
    assert [entry for entry, _ in after[10:]] == [f"{n}-0" for n in range(11, 18)]
    assert [event for _, event in after[10:]] == [{**event, "replayed": True} for _, event in before[3:]]
    assert told.ask("SELECT count(*) FROM outbox") == 10


def test_only_what_was_asked_for_is_replayed(told: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.events.replays.SLICE", 3)
    asked_for = {
        "--since 9-0 --until 10": [9, 10],
        "--since 0 --until 3": [1, 2, 3],
        "--since 150m --until 10-0": [8, 9, 10],
        "--since 1w --until 7h": [1, 2, 3],
        "--since 1d --until 10 --type access.suspended": [1, 3, 5, 7, 9],
        "--since 7 --until 10 --type rollcall.access.activated --type access.suspended": [7, 8, 9, 10],
        "--since 1 --until 5 -o borealis": [2, 4],
        "--since 11 --type access.suspended": [],
    }

    for asked, numbers in asked_for.items():
        before = again(told)
        dry = printed("events-replay", rollcall("events", "replay", *asked.split(), "--dry-run", "--json"))
        assert (dry["replayed"], again(told)) == (len(numbers), before), asked
        done = printed("events-replay", rollcall("events", "replay", *asked.split(), "--json"))
        assert (done["replayed"], again(told)) == (len(numbers), before + numbers), asked


def test_a_time_is_compared_with_its_offset(told: World, rollcall: Rollcall) -> None:
    elsewhere = (datetime.now(UTC) - timedelta(hours=2, minutes=30)).isoformat().replace("+00:00", "Z")

    rollcall("events", "replay", "--since", elsewhere)

    assert again(told) == [8, 9, 10]


def test_a_replay_can_be_replayed_neither_twice_by_itself_nor_be_lost(told: World, rollcall: Rollcall) -> None:
    rollcall("events", "replay", "--since", "9")
    told.settle()
    rollcall("events", "replay", "--since", "1", "--until", "12")

    told.redis.flushdb()

    assert again(told) == [9, 10, *range(1, 11)]
    told.redis.xgroup_create(OUT, "billing", id="13-0")
    WatchReaders(told.runtime).do()
    assert told.list("SELECT position FROM replays ORDER BY 1") == list(range(14, 23))


def test_a_restored_database_replays_after_the_end_of_the_stream(told: World, rollcall: Rollcall) -> None:
    rollcall("events", "replay", "--since", "10")
    told.redis.xadd(OUT, {"event": json.dumps(entries(told)[0][1] | {"id": "later"})}, id="500-0")

    assert again(told) == [10]
    assert entries(told)[-1][0] == "501-0"


def test_what_cannot_be_meant_is_refused_in_one_line(
    told: World, rollcall: Rollcall, refused: Callable[..., str]
) -> None:
    for wrong in ("yesterday", "2026-11-24T03:00:00", "2026-13-01T00:00:00Z", "3y", "999999999w", "-1"):
        result = rollcall("events", "replay", "--since", wrong)
        assert result.exit_code == 2, wrong
    assert rollcall("events", "replay", "--since", "1", "--type", "seat.consume").exit_code == 2
    assert "in the future" in refused("events", "replay", "--since", "2999-01-01T00:00:00Z")
    assert "is before --since" in refused("events", "replay", "--since", "5", "--until", "4")
    assert refused("events", "replay", "--since", "5", "-o", "nobody") == "There is no organisation 'nobody'."
    assert "nothing" not in rollcall("events", "replay", "--since", "11").stdout
    assert again(told) == []


def test_a_person_is_told_whether_it_is_done_and_by_whom(
    told: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        rollcall("events", "replay", "--since", "9", "--dry-run").stdout == "2 events would be published once more.\n"
    )
    assert "no relay runs" in rollcall("events", "replay", "--since", "9").stdout

    look = events.replay_left

    def by_a_relay(connection: Any, lock: int) -> Any:
        told.settle()
        return look(connection, lock)

    monkeypatch.setattr(events, "replay_left", by_a_relay)
    assert rollcall("events", "replay", "--since", "9").stdout == "2 events were published once more.\n"
