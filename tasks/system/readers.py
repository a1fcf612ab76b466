"""Who reads the streams: each consumer group, how far it has come, and what it keeps from being trimmed."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import redis
from sqlalchemy import Connection

from config import clock
from config.streams import GROUP, IN, OUT
from tasks import events
from tasks.events import Publication

#: Entries counted at most where Redis does not know how many a group has not read.
COUNT_AT_MOST = 1000


class StreamId(NamedTuple):
    """The id of an entry. On the outgoing stream its first half is the event's position."""

    first: int
    second: int

    @classmethod
    def parse(cls, id_: bytes | str) -> "StreamId":
        """An id as Redis writes it."""
        first, _, second = (id_.decode() if isinstance(id_, bytes) else id_).partition("-")
        return cls(int(first), int(second or 0))

    def __str__(self) -> str:
        return f"{self.first}-{self.second}"


@dataclass(frozen=True, slots=True)
class ConsumerGroup:
    """A consumer group. `oldest`: the first entry that was read and not acknowledged, even if it was trimmed since;
    `lag`: how many were not read, where Redis knows; `asked`: when a consumer last asked for something, in Unix
    milliseconds."""

    name: bytes
    consumers: int
    pending: int
    delivered: StreamId
    oldest: StreamId | None
    lag: int | None
    asked: int

    @property
    def needs(self) -> StreamId:
        """Everything before this entry was read and acknowledged. A group that was set back reads what follows anew,
        whatever it has open behind that."""
        return min(self.oldest or self.delivered, self.delivered)

    @property
    def acknowledged(self) -> int:
        """The position up to which everything was read and acknowledged, on the outgoing stream."""
        return min(self.oldest.first - 1, self.delivered.first) if self.oldest else self.delivered.first


@dataclass(frozen=True, slots=True)
class ObservedStream:
    """A stream and its groups, at one moment. `first`: the first entry there is, and `end` the last there ever was."""

    length: int
    first: StreamId
    end: StreamId
    groups: list[ConsumerGroup]


def observe(client: redis.Redis, name: str) -> ObservedStream:
    """A stream and its groups, by one command; an empty one where there is none."""
    try:
        found: Any = client.execute_command(  # type: ignore[no-untyped-call]
            "XINFO STREAM", name, "FULL", "COUNT", 1, full=True
        )
    except redis.ResponseError as problem:
        if "no such key" not in str(problem):
            raise
        return ObservedStream(0, StreamId(0, 0), StreamId(0, 0), [])
    first = StreamId.parse(next(iter(found["entries"]), "0-0"))
    return ObservedStream(
        found["length"], first, StreamId.parse(found["last-generated-id"]), [_group(one) for one in found["groups"]]
    )


def _group(found: dict[str, Any]) -> ConsumerGroup:
    oldest = found["pending"]
    return ConsumerGroup(
        name=found["name"],
        consumers=len(found["consumers"]),
        pending=found["pel-count"],
        delivered=StreamId.parse(found["last-delivered-id"]),
        oldest=StreamId.parse(oldest[0][0]) if oldest else None,
        lag=found.get("lag"),
        asked=max((_seen(consumer) for consumer in found["consumers"]), default=0),
    )


def _seen(consumer: dict[Any, Any]) -> int:
    """When a consumer last asked; the names of a map within a map come as bytes by the newer protocol."""
    return int(consumer.get("seen-time") or consumer.get(b"seen-time") or 0)


def is_ingress_stalled(client: redis.Redis, after: timedelta) -> bool:
    """Whether an event has been on the inbound stream for so long without being taken, and for as long nobody has asked
    for any: one that works on a backlog asks."""
    group = _ours(observe(client, IN))
    seconds, microseconds = client.time()
    since = seconds * 1000 + microseconds // 1000 - after // timedelta(milliseconds=1)
    if group is not None and group.asked > since:
        return False
    oldest = _oldest(client, IN, group)
    return oldest is not None and oldest.first <= since


def unread(client: redis.Redis) -> int:
    """How many events on the inbound stream are not acknowledged yet; a bound where Redis does not know."""
    stream = observe(client, IN)
    group = _ours(stream)
    return stream.length if group is None else group.pending + _unread(client, IN, stream, group)


def _ours(stream: ObservedStream) -> ConsumerGroup | None:
    return next((group for group in stream.groups if group.name == GROUP.encode()), None)


def trim(client: redis.Redis, name: str, stream: ObservedStream) -> None:
    """Drop from a stream what every group has read and acknowledged; nothing where there is no group.

    A group that is made meanwhile asks too late for what is dropped. Of the inbound stream, which holds people's data,
    no more is kept than must be.
    """
    needed = min((group.needs for group in stream.groups), default=None)
    if needed is not None and stream.length and stream.first < needed:
        client.xtrim(name, minid=str(needed), approximate=name != IN)


def remember(connection: Connection, out: ObservedStream, state: Publication) -> None:
    """Keep how far each group of the outgoing stream has come, unless the stream has lost something meanwhile."""
    if out.end.first >= state.published:
        events.remember_readers(
            connection, {group.name: min(group.acknowledged, state.ordered) for group in out.groups}
        )


def restore(client: redis.Redis, end: StreamId, known: dict[bytes, int], after: StreamId) -> bool:
    """Make the groups that were lost with the outgoing stream, or with its end, where each had come to, and let a
    stream of which nothing is left go on `after` an entry. Not if it does not `end` any more where it did: whether.

    A group that its consumers made again on the empty stream, from its beginning, is moved to where it had come to.
    """
    with client.pipeline() as pipe:
        pipe.watch(OUT)  # type: ignore[no-untyped-call]
        found = observe(pipe, OUT)
        if found.end != end:
            return False
        pipe.multi()
        there = {group.name for group in found.groups}
        for name, acknowledged in known.items():
            if name not in there:
                pipe.xgroup_create(OUT, name, id=f"{acknowledged}-0", mkstream=True)
            elif end.first == 0:
                pipe.xgroup_setid(OUT, name, id=f"{acknowledged}-0")
        if after != end:
            pipe.execute_command("XSETID", OUT, str(after))  # type: ignore[no-untyped-call]
        try:
            pipe.execute()
        except redis.WatchError:
            return False
    return True


@dataclass(frozen=True, slots=True)
class GroupStanding:
    """How a group stands. `pins`: the stream cannot be trimmed further because of it; `oldest_seconds`: the age of the
    oldest entry that it has not acknowledged; `unread` is a bound where Redis does not know."""

    name: str
    consumers: int
    unread: int
    pending: int
    oldest_seconds: float | None
    pins: bool


@dataclass(frozen=True, slots=True)
class StreamStanding:
    """How a stream stands. `bytes`: the memory it takes, where the server says."""

    stream: str
    length: int
    bytes: int | None
    groups: list[GroupStanding]


def standings(connection: Connection, client: redis.Redis) -> list[StreamStanding]:
    """How both streams and their groups stand; in a time that does not grow with the streams."""
    return [_standing(connection, client, name) for name in (IN, OUT)]


def _standing(connection: Connection, client: redis.Redis, name: str) -> StreamStanding:
    found = observe(client, name)
    first = min((group.needs for group in found.groups), default=None)
    groups = []
    for group in sorted(found.groups, key=lambda one: one.name):
        unread = _unread(client, name, found, group)
        behind = bool(unread or group.pending)
        groups.append(
            GroupStanding(
                name=group.name.decode(errors="replace"),
                consumers=group.consumers,
                unread=unread,
                pending=group.pending,
                oldest_seconds=_oldest_seconds(connection, client, name, group) if behind else None,
                pins=behind and group.needs == first,
            )
        )
    return StreamStanding(name, found.length, _memory(client, name), groups)


def _unread(client: redis.Redis, name: str, stream: ObservedStream, group: ConsumerGroup) -> int:
    if group.delivered >= stream.end:
        return 0
    if group.lag is not None:
        return group.lag
    if name == OUT:
        return min(stream.end.first - group.delivered.first, stream.length)
    after: Any = client.xrange(name, min=f"({group.delivered}", count=COUNT_AT_MOST)
    return len(after)


def _oldest_seconds(connection: Connection, client: redis.Redis, name: str, group: ConsumerGroup) -> float | None:
    if name == OUT:
        return events.waiting_seconds(connection, group.acknowledged)
    oldest = _oldest(client, name, group)
    return None if oldest is None else max(clock.seconds() - oldest.first / 1000, 0.0)


def _oldest(client: redis.Redis, name: str, group: ConsumerGroup | None) -> StreamId | None:
    """The first entry that a group has not acknowledged, whether it has read it or not."""
    if group is not None and group.oldest is not None:
        return group.oldest
    after: Any = client.xrange(name, min="-" if group is None else f"({group.delivered}", count=1)
    return StreamId.parse(after[0][0]) if after else None


def _memory(client: redis.Redis, name: str) -> int | None:
    try:
        used: Any = client.memory_usage(name)
    except redis.ResponseError:
        return None  # a managed server may not say
    return None if used is None else int(used)
