"""Publishes the outbox in one order, each event under an id that the stream takes once (R33).

The stream itself says how far it has come, and what is remembered is put right by it: where Redis lost the end of the
stream, that is written again under the same ids; where it lost all of it, what not every group had acknowledged is.
Looking again at where it ends and writing is one act.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import redis
import structlog
from sqlalchemy import Connection

from config.counting import counts
from config.database import autocommit
from config.runtime import Runtime
from config.streams import OUT, make_redis
from tasks import events, system
from tasks.events import cloud_event, known_readers
from tasks.system import StreamId
from workers.relay.chore import Chore

log = structlog.get_logger()

#: Events put in order, and published, at once, before the other chores have their turn.
BATCH = 1000

#: Writes entries to a stream that ends where we think; a fifth of what as many XADD in a MULTI cost a client.
_APPEND = """
local at = '0-0'
if redis.call('EXISTS', KEYS[1]) == 1 then
    local about = redis.call('XINFO', 'STREAM', KEYS[1])
    for n = 1, #about, 2 do
        if about[n] == 'last-generated-id' then at = about[n + 1] end
    end
end
if at ~= ARGV[1] then return 0 end
for n = 2, #ARGV, 2 do redis.call('XADD', KEYS[1], ARGV[n], 'event', ARGV[n + 1]) end
return 1
"""


class Publish(Chore):
    """Publishes the outbox."""

    name = "publish"
    seconds = 2.5
    news = frozenset({"outbox", "replays"})
    needs_redis = True

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self._redis = make_redis(runtime.endpoints.redis_url)
        self._append = self._redis.register_script(_APPEND)

    def do(self) -> float | None:
        """Publish what is next; 0 where there is more."""
        with autocommit(self.runtime.engine) as connection:
            return 0.0 if self._publish(connection) else None

    def _publish(self, connection: Connection) -> bool:
        """Go on where the stream ends; whether there is more to do."""
        end = after = _stream_end(self._redis)
        state, batch = events.order_next(connection, end.first, end.first, BATCH)
        if end.first > state.ordered:  # before anything new has its place: none of that is on the stream
            log.warning("relay.stream_is_ahead", ordered=state.ordered, end=end.first)
            events.order_after_stream(connection, end.first, self._there(state.published, connection))
            return True
        if lost := end.first < state.published:
            groups = known_readers(connection)
            if end.first == 0 and groups:
                after = StreamId(min(*groups.values(), state.published), 0)
            log.warning("relay.stream_lost", published=state.published, left=end.first, again_after=after.first)
            if not system.restore(self._redis, end, groups, after):
                return True
            _, batch = events.order_next(connection, end.first, after.first, BATCH)
        if batch and not self._write(after, batch):
            return True
        through = batch[-1].position if batch else after.first
        if through != state.published:  # only now: until it is written, what was lost is known as lost
            events.published_through(connection, through)
        return lost or (bool(batch) and (through < state.ordered or len(batch) == BATCH))

    def _there(self, after: int, connection: Connection) -> list[tuple[events.Unpublished, int]]:
        """The events that are not known to be published and are on the stream all the same, beyond a position, as they
        were published after the backup that this database was restored from; and their positions."""
        unknown: dict[UUID | None, events.Unpublished] = {
            event.id: event for event in events.not_known_published(connection)
        }
        found: list[tuple[events.Unpublished, int]] = []
        while unknown:
            entries: Any = self._redis.xrange(OUT, min=f"({after}-0", count=BATCH)
            if not entries:
                break
            for id_, fields in entries:
                after = StreamId.parse(id_).first
                if (event := unknown.pop(_first_published(fields), None)) is not None:
                    found.append((event, after))
        return found

    def _write(self, end: StreamId, batch: Sequence[events.Outgoing]) -> bool:
        """Write events to the stream if it ends there; not if somebody wrote to it, or it was lost, in between."""
        arguments: list[str | bytes] = [str(end)]
        for event in batch:
            arguments += (f"{event.position}-0", cloud_event(event))
        written = bool(self._append(keys=[OUT], args=arguments))
        counts.count("rollcall_events_published_total", len(batch) * written)
        return written


class _Published(msgspec.Struct):
    id: UUID
    replayed: bool = False


def _first_published(fields: dict[bytes, bytes]) -> UUID | None:
    """The id of the event of an entry; not if a person had it published once more, or if somebody else wrote it."""
    try:
        entry = msgspec.json.decode(fields.get(b"event", b""), type=_Published)
    except msgspec.DecodeError:
        return None
    return None if entry.replayed else entry.id


def _stream_end(client: redis.Redis) -> StreamId:
    """The last entry that was ever written to the stream, whose position is 0 where there is none."""
    try:
        last: bytes = client.xinfo_stream(OUT)["last-generated-id"]
    except redis.ResponseError as problem:
        if "no such key" not in str(problem):
            raise
        return StreamId(0, 0)
    return StreamId.parse(last)
