"""The relay's chores, one at a time: R31, R33."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from psycopg import connect
from structlog.testing import capture_logs

from config.database import transaction
from config.outages import Outage
from config.streams import OUT
from tasks import work
from tasks.events.outbox import Outgoing, cloud_event
from tests.round_trips import counted
from tests.workers.deployment import DEADLINE, Valkey, until
from tests.world import World
from workers.relay import Relay
from workers.relay import publish as publishing
from workers.relay.wake import Wake

#: Rounds of a relay that has nothing to do.
ROUNDS = 5


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

    monkeypatch.setattr(publishing, "cloud_event", lose_it_once)
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
    leader = Relay(platform.runtime)
    valkey.stop()

    leader.round()

    assert platform.progress("news").state == "finished"
    valkey.restart()
    until(platform.redis.ping, "Redis")
    Relay(platform.runtime).round()
    assert len(platform.out("announcement.finished")) == 1


def test_who_takes_the_lead_while_redis_is_away_says_that_it_is_back_once_it_answers(
    platform: World, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Outage("redis")
    monkeypatch.setattr("workers.relay.leader.REDIS", known)
    valkey.stop()
    known.begin(redis.ConnectionError("connection refused"))

    with capture_logs() as away:
        Relay(platform.runtime).round()
    valkey.restart()
    until(platform.redis.ping, "Redis")
    with capture_logs() as back:
        Relay(platform.runtime).round()

    said = [[one["event"] for one in logs if one["event"].startswith("server.")] for logs in (away, back)]
    assert said == [[], ["server.back"]]


def test_r31_a_backlog_without_room_does_not_keep_the_relay_busy(platform: World) -> None:
    with transaction(platform.runtime.engine, 1) as connection:
        work.add(connection, 1, "bulk", "mail.deliver", 1, [(n, n) for n in range(100)])

    again = Wake(platform.runtime).do()

    assert platform.ask("SELECT count(*) FROM work WHERE state = 'offered'") == 8
    assert again is None or again >= Wake.seconds, "room is announced"


def test_r33_what_becomes_due_while_others_are_woken_is_seen_to_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_learners("A")
    world.announces("now")
    world.announces("soon")
    world.execute("UPDATE work SET due_at = now() + interval '3 s' WHERE work = (SELECT max(work) FROM work)")
    wake = Wake(world.runtime)

    def push(_queue: str, _messages: object) -> None:
        world.execute("UPDATE work SET due_at = now() WHERE state = 'due'")  # as if it took so long

    monkeypatch.setattr(wake.broker, "wake", push)
    again = wake.do()

    assert world.ask("SELECT count(*) FROM work WHERE state = 'due'") == 1
    assert again is not None
    assert again <= 3, "and not when what was offered is offered again"


def test_a_relay_that_has_nothing_to_do_asks_little_and_writes_nothing(
    platform: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.has_learners("A")
    platform.settle()
    with counted(platform.runtime, monkeypatch) as trips:
        leader = Relay(trips.runtime)
        with monkeypatch.context() as patched:
            began = time.monotonic()
            patched.setattr("workers.relay.leader.time", SimpleNamespace(monotonic=lambda: began))
            leader.round()
            trips.since()
            for _ in range(ROUNDS):  # at one moment: a slow machine takes seconds for them
                leader.round()
        assert trips.since() == {"postgresql": 0, "redis": 0}, "nothing is due again yet"
        for chore in leader.chores * ROUNDS:
            chore.run()
        assert not [sql for sql in trips.statements if "INSERT" in sql or "DELETE" in sql]
        asked = trips.since()
    assert asked["postgresql"] <= 30 * ROUNDS, "psycopg prepares what it asks often"
    assert asked["redis"] <= 8 * ROUNDS


def test_one_event_is_published_in_four_round_trips(platform: World, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.has_learners("A", "B")
    platform.settle()
    with counted(platform.runtime, monkeypatch) as trips:
        leader = Relay(trips.runtime)
        for learner in ("A", "B"):  # the first event also brings the script that writes it
            leader.round()
            trips.since()
            platform.becomes("inactive", learner)
            for chore in leader.chores:
                chore.put_off(600)  # what is due by time, on a slow machine, is not what is counted
                chore.not_before = 0.0
                chore.hear({"outbox"})
            leader.round()
        assert trips.since() == {"postgresql": 2, "redis": 2}
    assert [told["learner"] for told in platform.out("access.suspended")] == ["A", "B"]


def test_each_chore_hears_the_news_that_are_about_it(platform: World) -> None:
    def due(*news: str) -> list[str]:
        leader.round()
        for chore in leader.chores:
            chore.not_before = 0.0
            chore.hear(set(news))
        return [chore.name for chore in leader.chores if chore.due_at == 0.0]

    leader = Relay(platform.runtime)
    assert due("work") == ["wake"]
    assert due("outbox") == due("replays") == ["publish"]
    assert due("fanouts", "work") == ["wake", "finish fan-outs", "finish mailings"]
    assert due("mailings") == ["finish mailings"]
    assert due("what a later version says") == []
    assert due("") == [chore.name for chore in leader.chores]


@pytest.mark.parametrize(
    ("actor", "news"),
    [
        ("enrolments.chunk", {"work", "fanouts"}),
        ("mail.deliver", {"work", "mailings"}),
        ("announcements.audience", {"work", "mailings"}),
        ("events.retake", {"work"}),
    ],
)
def test_the_end_of_work_tells_what_may_have_ended_with_it(platform: World, actor: str, news: set[str]) -> None:
    with connect(platform.runtime.endpoints.database_url, autocommit=True) as listener:
        listener.execute("LISTEN rollcall_relay")
        with transaction(platform.runtime.engine, 1) as connection:
            work.add(connection, 1, "tasks", actor, 1)
        assert {each.payload for each in listener.notifies(timeout=DEADLINE, stop_after=1)} == {"work"}
        platform.execute("DELETE FROM work")
        assert {each.payload for each in listener.notifies(timeout=DEADLINE, stop_after=len(news))} == news
