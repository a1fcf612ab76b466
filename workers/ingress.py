"""Reads the inbound stream in batches, applies each in one transaction, and acknowledges after the commit."""

import os
import socket
import time
from secrets import token_hex
from typing import Any

import msgspec
import redis
import structlog
from sqlalchemy.exc import OperationalError

from config.database import is_connection_problem
from config.log import without_data
from config.outages import REDIS, is_redis_outage
from config.runtime import Runtime
from config.streams import BLOCK_SECONDS, GROUP, IN, make_redis
from tasks.intake import set_aside, take

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

#: Seconds to wait before trying again where Redis or PostgreSQL is away.
PAUSE_SECONDS = 0.5


def run(runtime: Runtime) -> None:
    """Take events until told to stop. Whatever is away comes back, or the supervisor's patience ends elsewhere."""
    client = make_redis(runtime.endpoints.redis_url)
    consumer = f"{socket.gethostname()}-{os.getpid()}-{token_hex(4)}"  # in containers, all have the same number
    log.info("ingress.started", consumer=consumer)
    while not runtime.stopping.is_set():
        try:
            ensure_group(client)
            _follow(runtime, client, consumer)
        except OperationalError as problem:
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


def ensure_group(client: redis.Redis) -> None:
    """Make the consumer group, reading from the stream's beginning, unless it is there."""
    try:
        client.xgroup_create(IN, GROUP, id="0", mkstream=True)
    except redis.ResponseError as problem:
        if not str(problem).startswith("BUSYGROUP"):
            raise


def _follow(runtime: Runtime, client: redis.Redis, consumer: str) -> None:
    batch = runtime.settings.rollcall_ingress_batch
    lease = runtime.lease.total_seconds()
    look_again = time.monotonic()
    while not runtime.stopping.is_set():
        if time.monotonic() >= look_again:  # by the clock: a busy stream never has a quiet moment
            take_over(runtime, client, consumer, int(lease * 1000))
            forget_the_dead(client, int(FORGOTTEN_AFTER * lease * 1000))
            look_again = time.monotonic() + lease / 2
        pause = min(BLOCK_SECONDS, lease / 2)
        found: Any = client.xreadgroup(GROUP, consumer, {IN: ">"}, count=batch, block=int(pause * 1000) or 1)
        REDIS.end()
        if found:
            _take(runtime, client, found[0][1])


def take_over(runtime: Runtime, client: redis.Redis, consumer: str, idle_ms: int) -> None:
    """Take what another process read and did not acknowledge within a lease: it is dead, or its events are known."""
    cursor = "0-0"
    while True:
        cursor, entries, *_ = client.xautoclaim(
            IN, GROUP, consumer, idle_ms, start_id=cursor, count=runtime.settings.rollcall_ingress_batch
        )
        if entries:
            log.warning("ingress.took_over", entries=len(entries))
            _take(runtime, client, entries)
        if cursor in {b"0-0", "0-0"}:
            return


def _take(runtime: Runtime, client: redis.Redis, entries: Any) -> None:
    """`entries`: pairs of entry id and fields, or None where an entry was deleted before it was read."""
    arrived = [fields for _, fields in entries if fields is not None]
    set_aside(runtime.engine, [(_as_text(fields), NO_EVENT) for fields in arrived if b"event" not in fields])
    taken = take(runtime.engine, runtime.settings, [fields[b"event"] for fields in arrived if b"event" in fields])
    client.xack(IN, GROUP, *(entry for entry, _ in entries))
    log.debug("ingress.taken", new=taken.new, repeated=taken.repeated, held=taken.held, malformed=taken.malformed)


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
