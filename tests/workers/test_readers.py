"""The groups that read the outgoing stream: what they have not acknowledged is kept, and comes again: R32, R33."""

import json
from typing import Any

import pytest

from config.database import transaction
from config.streams import IN, OUT
from tasks import events
from tasks import system as readers
from tasks.events import outbox
from tasks.system import GroupStanding, StreamStanding, observe, streams
from tests.world import World
from tests.world import publish as publish_all
from workers.relay import publish
from workers.relay.readers import WatchReaders

#: Events on the stream: trimming drops whole nodes of a hundred or so.
EVENTS = 1000
NODE = 150

#: What a relay does when it publishes: it makes groups again, puts in order, writes, and remembers that it did.
STEPS: list[tuple[Any, str]] = [
    (readers, "restore"),
    (events, "order_next"),
    (publish, "cloud_event"),
    (events, "published_through"),
]


#: So many events more are written, and not published yet.
MORE = """
    INSERT INTO outbox (organisation, type, data) SELECT 1, 'rollcall.access.suspended', '{{"learner": "A"}}'
    FROM generate_series(1, {})
"""


@pytest.fixture
def told(world: World) -> World:
    """A thousand events are on the stream, under the positions 1 to 1,000."""
    says(world, EVENTS)
    return world


def says(world: World, events: int) -> None:
    """So many events go out."""
    world.execute(
        """
        INSERT INTO outbox (organisation, type, data) SELECT 1, 'rollcall.access.suspended', '{"learner": "A"}'
        FROM generate_series(1, :events)
        """,
        events=events,
    )
    world.settle()


def reads(world: World, group: str, upto: int, *, but: int | None = None) -> None:
    """A group reads everything up to a position, and acknowledges all of it but one."""
    if group.encode() not in {one.name for one in observe(world.redis, OUT).groups}:
        world.redis.xgroup_create(OUT, group, id="0")
    while (at := position(world, group)) < upto:
        found: Any = world.redis.xreadgroup(group, "c", {OUT: ">"}, count=upto - at)
        world.redis.xack(OUT, group, *(entry for entry, _ in found[0][1] if entry != f"{but}-0".encode()))


def position(world: World, group: str) -> int:
    return next(one.delivered.first for one in observe(world.redis, OUT).groups if one.name == group.encode())


def gets(world: World, group: str) -> list[int]:
    """What a group that goes on reading is given, by position."""
    found: Any = world.redis.xreadgroup(group, "c", {OUT: ">"}, count=3 * EVENTS)
    return [int(entry.split(b"-")[0]) for _, entries in found for entry, _ in entries]


def on_stream(world: World) -> list[int]:
    entries: Any = world.redis.xrange(OUT)
    return [int(entry.split(b"-")[0]) for entry, _ in entries]


def through(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


def see(world: World) -> None:
    WatchReaders(world.runtime).do()


def test_a_stream_that_nobody_reads_is_kept_whole(told: World) -> None:
    see(told)

    assert on_stream(told) == through(1, EVENTS)


def test_both_streams_are_trimmed_only_behind_every_group(told: World) -> None:
    reads(told, "fast", EVENTS)
    reads(told, "slow", 500, but=300)
    for n in through(1, EVENTS):
        told.redis.xadd(IN, {"event": "{}"}, id=f"{n}-0")
    told.redis.xgroup_create(IN, "rollcall", id="700-0")
    told.redis.xgroup_create(IN, "other", id="$")

    see(told)

    assert 300 - NODE < on_stream(told)[0] <= 300
    entries: Any = told.redis.xrange(IN)
    assert 700 - NODE < int(entries[0][0].split(b"-")[0]) <= 700

    told.redis.xack(OUT, "slow", "300-0")
    see(told)
    assert 500 - NODE < on_stream(told)[0] <= 500

    told.redis.xgroup_destroy(OUT, "slow")
    see(told)
    assert on_stream(told)[0] > EVENTS - NODE


def test_an_entry_that_is_gone_and_was_never_acknowledged_still_holds_the_stream(told: World) -> None:
    reads(told, "slow", EVENTS, but=10)
    told.redis.xdel(OUT, "10-0")

    see(told)

    assert on_stream(told)[0] == 1
    assert told.ask("SELECT acknowledged FROM readers") == 9


def test_a_group_that_is_set_back_gets_everything_from_there(told: World) -> None:
    reads(told, "billing", 900, but=900)
    told.redis.xgroup_setid(OUT, "billing", id="10-0")

    see(told)

    assert told.ask("SELECT acknowledged FROM readers") == 10
    assert gets(told, "billing") == through(11, EVENTS)


def test_r33_a_lost_end_that_nobody_needs_any_more_leaves_nothing_unpublished(told: World) -> None:
    told.redis.xgroup_create(OUT, "billing", id="$")
    earlier: Any = told.redis.dump(OUT)
    told.execute("INSERT INTO replays (organisation, seq) SELECT organisation, seq FROM outbox LIMIT 5")
    told.settle()
    reads(told, "billing", EVENTS + 5)
    see(told)
    assert told.ask("SELECT count(*) FROM replays") == 0

    told.redis.restore(OUT, 0, earlier, replace=True)
    told.settle()

    with transaction(told.runtime.engine) as connection:
        assert outbox.unpublished(connection) == 0
    says(told, 1)
    assert gets(told, "billing") == [EVENTS + 6]


@pytest.mark.parametrize("made_again", [False, True])
def test_r33_after_a_loss_each_group_gets_what_it_had_not_acknowledged(told: World, made_again: bool) -> None:
    reads(told, "ahead", 700)
    reads(told, "behind", 500, but=300)
    before: Any = told.redis.xrange(OUT, min="300-0")
    see(told)

    told.redis.flushdb()
    if made_again:  # as consumers do when they start
        told.redis.xgroup_create(OUT, "ahead", id="0", mkstream=True)
    told.settle()

    assert told.redis.xrange(OUT) == before, "from the first that is missing, under the same ids"
    [_, outbound] = streams(told.runtime, told.redis)
    assert [(one.name, one.unread) for one in outbound.groups] == [("ahead", 300), ("behind", 701)]
    assert gets(told, "ahead") == through(701, EVENTS)
    assert gets(told, "behind") == through(300, EVENTS)


def test_r33_after_a_loss_nothing_comes_again_that_all_had_acknowledged(told: World) -> None:
    reads(told, "billing", EVENTS)
    see(told)

    told.redis.flushdb()
    told.settle()
    says(told, 2)

    assert on_stream(told) == gets(told, "billing") == [EVENTS + 1, EVENTS + 2]


def test_r33_a_stream_restored_from_earlier_goes_on_and_gets_the_groups_made_since(told: World) -> None:
    reads(told, "early", 100)
    earlier: Any = told.redis.dump(OUT)
    says(told, 500)
    reads(told, "late", 1200)
    see(told)

    told.redis.restore(OUT, 0, earlier, replace=True)
    told.settle()

    assert on_stream(told) == through(1, EVENTS + 500)
    assert gets(told, "early") == through(101, EVENTS + 500)
    assert gets(told, "late") == through(1201, EVENTS + 500)


def test_a_group_that_was_destroyed_is_not_made_again(told: World) -> None:
    reads(told, "gone", 10)
    reads(told, "stays", 900)
    see(told)
    told.redis.xgroup_destroy(OUT, "gone")
    says(told, 1)
    see(told)

    told.redis.flushdb()
    told.settle()

    assert [one.name for one in observe(told.redis, OUT).groups] == [b"stays"]
    assert on_stream(told) == through(901, EVENTS + 1)


def test_a_loss_that_is_seen_first_by_who_asks_for_groups_makes_nobody_forgotten(told: World) -> None:
    reads(told, "billing", 400)
    see(told)

    told.redis.flushdb()
    see(told)
    told.settle()

    assert gets(told, "billing") == through(401, EVENTS)


def test_a_group_that_waits_for_a_position_to_come_skips_nothing_for_others(told: World) -> None:
    told.redis.xgroup_create(OUT, "future", id="999999-0")
    told.execute(MORE.format(5))
    with transaction(told.runtime.engine) as connection:
        outbox.order_next(connection, EVENTS, EVENTS, 5)
    see(told)

    told.redis.flushdb()
    told.settle()
    says(told, 1)

    assert on_stream(told)[-1] == EVENTS + 6
    assert set(through(EVENTS + 1, EVENTS + 6)) <= set(on_stream(told))


@pytest.mark.parametrize("lost", [False, True])
def test_r33_a_relay_that_dies_between_two_steps_neither_loses_nor_repeats(
    told: World, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    reads(told, "billing", 400, but=200)
    told.redis.xgroup_create(OUT, "new", id="0")
    see(told)
    if lost:
        told.redis.flushdb()
    told.execute(MORE.format(1500))

    class Died(BaseException):
        """It was killed here."""

    def die(*_: object) -> None:
        raise Died

    for where, step in [step for step in STEPS[not lost :] for _ in range(2)]:
        with monkeypatch.context() as patched:
            patched.setattr(where, step, die)
            with pytest.raises(Died):
                publish_all(told.runtime)
    told.settle()

    assert on_stream(told) == gets(told, "new") == through(1, EVENTS + 1500)
    assert gets(told, "billing") == through(200 if lost else 401, EVENTS + 1500)
    assert told.list("SELECT position FROM outbox ORDER BY seq") == through(1, EVENTS + 1500)


def test_who_lags_is_shown_and_who_keeps_the_stream(told: World) -> None:
    reads(told, "fast", EVENTS)
    reads(told, "late", 900)
    reads(told, "slow", 600, but=500)
    told.execute("UPDATE outbox SET time = now() - interval '1 minute' WHERE position = 500")
    told.redis.xadd(IN, {"event": "{}"}, id="1-0")
    told.redis.xgroup_create(IN, "rollcall", id="0")

    [inbound, outbound] = streams(told.runtime, told.redis)

    assert isinstance(outbound, StreamStanding)
    assert outbound.length == EVENTS
    assert outbound.bytes
    fast, late, slow = outbound.groups
    assert fast == GroupStanding("fast", 1, unread=0, pending=0, oldest_seconds=None, pins=False)
    assert (late.unread, late.pending, late.pins) == (100, 0, False)
    assert (slow.name, slow.unread, slow.pending, slow.pins) == ("slow", 400, 1, True)
    assert 60 <= (slow.oldest_seconds or 0) < 90
    [ours] = inbound.groups
    assert (ours.unread, ours.pins) == (1, True)
    assert ours.oldest_seconds is not None
    assert json.loads(told.redis.xrange(OUT, count=1)[0][1][b"event"])["specversion"] == "1.0"  # type: ignore[index]
