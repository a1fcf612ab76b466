"""Reads the inbound stream in batches, applies each in one transaction, and acknowledges after the commit."""

import os
import socket
import time
from collections import deque
from math import inf
from secrets import token_hex
from typing import Any

import msgspec
import redis
import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config import clock
from config.counting import counts
from config.database import is_connection_problem, transaction
from config.errors import Unavailable
from config.log import without_data
from config.outages import REDIS, is_redis_outage
from config.runtime import Runtime
from config.streams import BLOCK_SECONDS, GROUP, IN, make_redis
from tasks.fleet import ProcessRole
from tasks.intake import cell_in, give_up, process_everywhere, set_aside
from workers.presence import Presence
from workers.suspects import MOST_TRIES, Suspects

log = structlog.get_logger()

#: Why an entry is set aside that has none.
NO_EVENT = "the entry has no field `event`; these are its fields"

#: Leases after which a process that has read nothing and holds nothing is off the list: a living one asks every few
#: seconds. Removed too early, it would be on it again at its next question.
FORGOTTEN_AFTER = 20

#: Takes the idle consumers of a group off its list; the keys of a reply are at odd places, what they say behind them.
_FORGET = """
local forgotten, listed = 0, redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
for _, consumer in ipairs(listed.err and {} or listed) do
    local said = {}
    for place = 1, #consumer, 2 do said[consumer[place]] = consumer[place + 1] end
    if said['pending'] == 0 and said['idle'] > tonumber(ARGV[2]) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], said['name'])
        forgotten = forgotten + 1
    end
end
return forgotten
"""

#: The length of an entry's event, and its beginning.
_BEGINNING = """
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
for place = 1, found and #found[2] or 0, 2 do
    local text = found[2][place + 1]
    if found[2][place] == 'event' then return {#text, string.sub(text, 1, tonumber(ARGV[2]))} end
end
return false
"""

#: Seconds to wait before trying again where Redis or PostgreSQL is away.
PAUSE_SECONDS = 0.5

#: Pending entries that are claimed at once.
CLAIMED_AT_ONCE = 1000

#: Seconds for which what others left is taken, one by one, before what is new has its turn; and how long that is waited
#: for meanwhile.
TURN_SECONDS = 1.0
LEAST_PAUSE = 0.001

#: Bytes of an event that is set aside because whoever tried it never came back; and where even that is too much.
LONGEST_KEPT = 64_000_000
LONGEST_BEGINNING = 64_000

#: Seconds after which events are tried again whose organisation is on its way to another cell, or whose cell is away;
#: and how many of them are remembered for that. The others are taken over when a lease has passed.
HELD_SECONDS, MOST_HELD = 1.0, 10_000

#: Nothing is wrong with an event: a server is away, or every connection to it is in use.
_AWAY = (redis.RedisError, OperationalError, PoolTimeout)


def run(runtime: Runtime, presence: Presence | None = None) -> None:
    """Take events until told to stop. Whatever is away comes back, or the supervisor's patience ends elsewhere."""
    client = make_redis(runtime.endpoints.redis_url)
    consumer = f"{socket.gethostname()}-{os.getpid()}-{token_hex(4)}"  # in containers, all have the same number
    log.info("ingress.started", consumer=consumer)
    warned = False
    unfinished: list[Any] = []
    presence = presence or Presence(runtime, ProcessRole.INGRESS)
    while not runtime.stopping.is_set():
        presence.lives()
        try:
            ensure_group(client)
            warned = warned or _warn_of_eviction(client)
            _finish(runtime, client, unfinished)
            _follow(runtime, client, consumer, presence, unfinished)
        except (OperationalError, PoolTimeout) as problem:
            if not is_connection_problem(problem):  # that is said by whoever watches the engine
                log.warning("ingress.interrupted", **without_data(problem))
            runtime.stopping.wait(PAUSE_SECONDS)
        except redis.RedisError as problem:
            if is_redis_outage(problem):
                REDIS.begin(problem, runtime.endpoints.redis_url)
                runtime.stopping.wait(PAUSE_SECONDS)
                continue
            if not str(problem).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            log.warning("ingress.group_lost")  # Redis lost everything; what was stored is stored
    _leave(client, consumer)


def _warn_of_eviction(client: redis.Redis) -> bool:
    """Say, once, that this Redis may throw things away to make room; whether that was asked. By a policy of
    `volatile-…` only what expires goes, and no event does."""
    try:
        policy = str(client.info("memory").get("maxmemory_policy", "noeviction"))
    except redis.exceptions.NoPermissionError:
        log.info("redis.policy_unknown", why="the user may not ask INFO", do="see that it is noeviction")
        return True
    if policy.startswith("volatile"):
        log.warning(
            "redis.may_evict",
            policy=policy,
            do="set maxmemory-policy to noeviction: no event, but the pace of mail may be lost",
        )
    elif policy != "noeviction":
        log.error("redis.may_evict", policy=policy, do="set maxmemory-policy to noeviction: events may be lost")
    return True


def ensure_group(client: redis.Redis) -> None:
    """Make the consumer group, reading from the stream's beginning, unless it is there."""
    try:
        client.xgroup_create(IN, GROUP, id="0", mkstream=True)
    except redis.ResponseError as problem:
        if not str(problem).startswith("BUSYGROUP"):
            raise


def _finish(runtime: Runtime, client: redis.Redis, unfinished: list[Any]) -> None:
    """Take once more, together, what was read when a server went away: the events would wait for a lease otherwise, and
    be taken one by one then, as they are if this fails, too."""
    if unfinished:
        with transaction(runtime.engine):
            pass  # where the database is away, no event is to blame
        entries = [*unfinished]
        unfinished.clear()
        _process_read(runtime, client, entries)


def _process_read(runtime: Runtime, client: redis.Redis, entries: list[Any]) -> list[Any]:
    try:
        return _process_entries(runtime, client, entries)
    except _AWAY:
        raise
    except Exception as problem:  # noqa: BLE001 - whatever it was; each is tried by itself when a lease has passed
        log.error("ingress.not_taken", entries=len(entries), **without_data(problem))  # noqa: TRY400
    return []


def _follow(runtime: Runtime, client: redis.Redis, consumer: str, presence: Presence, unfinished: list[Any]) -> None:
    """Take what comes; `unfinished` is what was read and not taken if a server goes away meanwhile."""
    batch = runtime.settings.rollcall_ingress_batch
    lease = runtime.lease.total_seconds()
    look_again = time.monotonic()
    left: deque[str] = deque()
    held, try_again = list[Any](), 0.0
    while not runtime.stopping.is_set():
        presence.lives()
        if held and time.monotonic() >= try_again:
            entries, held = held, []
            held = _process_read(runtime, client, entries)
            try_again = time.monotonic() + HELD_SECONDS
        if time.monotonic() >= look_again:  # by the clock: a busy stream never has a quiet moment
            left.extend(entry for entry in claim(client, consumer, int(lease * 1000)) if entry not in left)
            forget_the_dead(client, int(FORGOTTEN_AFTER * lease * 1000))
            look_again = time.monotonic() + lease / 2
        _try_each(runtime, client, left, seconds=TURN_SECONDS)
        pause = LEAST_PAUSE if left else min(BLOCK_SECONDS, lease / 2, HELD_SECONDS if held else BLOCK_SECONDS)
        found: Any = client.xreadgroup(GROUP, consumer, {IN: ">"}, count=batch, block=int(pause * 1000) or 1)
        REDIS.end()
        if found:
            unfinished.extend(found[0][1])
            held += _process_read(runtime, client, found[0][1])[: MOST_HELD - len(held)]
            unfinished.clear()


def take_over(runtime: Runtime, client: redis.Redis, consumer: str, idle_ms: int) -> None:
    """Take what another process read and did not acknowledge within a lease: it is dead, or its events are known."""
    _try_each(runtime, client, deque(claim(client, consumer, idle_ms)))


def claim(client: redis.Redis, consumer: str, idle_ms: int) -> list[str]:
    """Make ours what others left, by the ids of the entries alone: to read one may be what ended them."""
    stale: Any = []
    first = "-"
    while True:
        page: Any = client.xpending_range(IN, GROUP, first, "+", CLAIMED_AT_ONCE, idle=idle_ms)
        stale += [entry["message_id"] for entry in page]
        if len(page) < CLAIMED_AT_ONCE:
            break
        first = "(" + stale[-1].decode()
    if not stale:
        return []
    ours: Any = client.xclaim(IN, GROUP, consumer, idle_ms, stale, justid=True)
    if ours:
        log.warning("ingress.took_over", entries=len(ours))
    missing = {*stale} - {*ours}  # those that are there belong to somebody else by now
    if lost := sum(not client.xrange(IN, min=entry, max=entry) for entry in missing):
        log.error("ingress.entries_lost", entries=lost, why="they were trimmed or deleted before they were taken")
    return Suspects(client).least_tried_first([entry.decode() for entry in ours])


def _try_each(runtime: Runtime, client: redis.Redis, left: deque[str], seconds: float = inf) -> None:
    """Take, one by one, what somebody else read who never came back, as one of them may be why; for so many seconds."""
    ends = time.monotonic() + seconds
    while left and not runtime.stopping.is_set() and time.monotonic() < ends:
        entry = left.popleft()
        with transaction(runtime.engine):
            pass  # where the database is away, no event is to blame
        try:
            with Suspects(client).trying(entry) as tries:
                if tries <= MOST_TRIES:
                    found: Any = client.xrange(IN, min=entry, max=entry)
                    _process_entries(runtime, client, found or [(entry, None)])
                else:
                    _give_up(runtime, client, entry, whole=tries == MOST_TRIES + 1)
        except _AWAY:
            raise
        except Exception as problem:  # noqa: BLE001 - whatever it was, it counts as a try, and the entry stays pending
            log.error("ingress.not_taken", entries=1, **without_data(problem))  # noqa: TRY400


def _give_up(runtime: Runtime, client: redis.Redis, entry: str, *, whole: bool) -> None:
    """Set aside what never came back, `whole` if that may be, and otherwise as much of it as does no harm."""
    found: Any = client.eval(_BEGINNING, 1, IN, entry, LONGEST_KEPT if whole else LONGEST_BEGINNING)
    if found is not None:
        size, body = found
        there = cell_in(runtime, body)
        try:
            give_up(there.engine, there.settings, body, readable=whole and size == len(body))
        except _AWAY as problem:
            if there is runtime:
                raise
            raise Unavailable("the cell of its organisation is away") from problem
    client.xack(IN, GROUP, entry)


def _process_entries(runtime: Runtime, client: redis.Redis, entries: Any) -> list[Any]:
    """`entries`: pairs of entry id and fields, or None where an entry was deleted before it was read. Those that
    have to wait are not acknowledged, and returned."""
    arrived = [(id_, fields) for id_, fields in entries if fields is not None]
    set_aside(runtime.engine, [(_as_text(fields), NO_EVENT) for _, fields in arrived if b"event" not in fields])
    with_event = [(id_, fields) for id_, fields in arrived if b"event" in fields]
    done, left = process_everywhere(runtime, [fields[b"event"] for _, fields in with_event])
    now = clock.seconds()
    held = [with_event[at] for at in left]
    waiting = {id_ for id_, _ in held}
    came = (_seconds_since(id_, now) for id_, _ in arrived if id_ not in waiting)
    counts.observe_each("rollcall_event_effect_seconds", came, door="stream")
    if taken := [id_ for id_, _ in entries if id_ not in waiting]:
        client.xack(IN, GROUP, *taken)
    log.debug("ingress.taken", new=done.new, repeated=done.repeated, held=done.deferred, malformed=done.malformed)
    return held


def _seconds_since(id_: bytes, now: float) -> float:
    """How long ago an entry came: its id begins with milliseconds of Unix time."""
    return now - int(id_.partition(b"-")[0]) / 1000


def _as_text(fields: dict[bytes, bytes]) -> bytes:
    """All that is in an entry, for a person to read."""
    shown = {
        name.decode(errors="backslashreplace"): text.decode(errors="backslashreplace") for name, text in fields.items()
    }
    return msgspec.json.encode(shown)


def forget_the_dead(client: redis.Redis, idle_ms: int) -> int:
    """Take off the group's list who has not asked for anything in that time and has nothing to acknowledge; how many.

    Looking and forgetting are one act: what somebody read in between would be lost with them.
    """
    return int(client.eval(_FORGET, 1, IN, GROUP, idle_ms))


def _leave(client: redis.Redis, consumer: str) -> None:
    """Take this process off the group's list, unless something it read is still open."""
    try:
        if not client.xpending_range(IN, GROUP, "-", "+", 1, consumer):
            client.xgroup_delconsumer(IN, GROUP, consumer)
    except redis.RedisError as problem:
        log.info("ingress.left_unlisted", problem=type(problem).__name__)
