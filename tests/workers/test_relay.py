"""The relay's chores, one at a time: R31, R33."""

from typing import Any

import pytest

from config.database import transaction
from config.streams import OUT
from tasks import work
from tasks.events.outbox import Outgoing, cloud_event
from tests.workers.deployment import Valkey
from tests.world import World
from workers import relay
from workers.relay import LOOK_SECONDS, Relay


@pytest.fixture
def told(platform: World) -> list[str]:
    """Fifty events are on the stream; their ids, in order."""
    platform.has_learners(*(f"L{n}" for n in range(50)))
    platform.becomes("inactive", *(f"L{n}" for n in range(50)))
    platform.settle()
    return ids(platform)


def ids(platform: World) -> list[str]:
    return [event["id"] for event in platform.out()]


def test_r33_a_stream_that_lost_its_end_gets_it_again(platform: World, told: list[str]) -> None:
    everything: Any = platform.redis.xrange(OUT)
    platform.redis.delete(OUT)
    for entry, fields in everything[:20]:
        platform.redis.xadd(OUT, fields, id=entry)
    platform.becomes("active", "L1")

    platform.settle()

    assert len(told) == 50
    assert ids(platform)[:50] == told
    assert len(ids(platform)) == 51


def test_r33_a_stream_that_is_lost_while_it_is_written_is_written_whole(
    platform: World, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = cloud_event
    lost: list[bool] = []

    def lose_it_once(event: Outgoing) -> bytes:
        if not lost:
            lost.append(platform.redis.flushdb())
        return write(event)

    monkeypatch.setattr(relay, "cloud_event", lose_it_once)
    platform.becomes("active", "L1")
    platform.settle()

    assert lost
    assert ids(platform)[:50] == told
    assert len(ids(platform)) == 51


def test_r32_what_was_written_and_not_noted_is_not_written_again(platform: World, told: list[str]) -> None:
    platform.execute("UPDATE publication SET published = 10")

    platform.settle()

    assert ids(platform) == told
    assert platform.ask("SELECT published FROM publication") == 50


def test_a_reader_that_trims_the_stream_does_not_get_it_again(platform: World, told: list[str]) -> None:
    platform.redis.xtrim(OUT, maxlen=0, approximate=False)
    platform.becomes("active", "L1")

    platform.settle()

    assert [data["learner"] for data in platform.out("access.activated")] == ["L1"]
    assert not set(ids(platform)) & set(told)


def test_r33_what_needs_no_redis_is_done_while_it_is_away(platform: World, valkey: Valkey) -> None:
    platform.has_segment("empty")
    platform.announces(audience={"segments": ["empty"]})
    chores = Relay(platform.runtime)
    valkey.stop()

    chores.chores()

    assert platform.progress("news").state == "finished"
    valkey.restart()
    chores.chores()
    assert len(platform.out("announcement.finished")) == 1


def test_r31_a_backlog_without_room_does_not_keep_the_relay_busy(platform: World) -> None:
    with transaction(platform.runtime.engine, 1) as connection:
        work.add(connection, 1, "bulk", "mail.deliver", 1, [(n, n) for n in range(100)])
    leader = Relay(platform.runtime)

    leader.wake()

    assert platform.ask("SELECT count(*) FROM work WHERE state = 'offered'") == 8
    assert leader.until_due == LOOK_SECONDS
