"""What a person wants published once more, as SQL: the same events, under positions after all others."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import integer, the_one, value
from config.locks import LEADER_LOCK
from config.sql import query
from tasks.events.outbox import publication

#: Positions looked through in one statement.
SLICE = 20_000


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Which events are meant: those that were published, from a time or a position to another, both included.

    `organisation` is the number of one, and the transaction is about it; no `types` are all types.
    """

    since: datetime | int
    until: datetime | int | None = None
    types: tuple[str, ...] = ()
    organisation: int | None = None


def published(connection: Connection) -> int:
    """The position up to which everything was published: what comes later is published by itself."""
    return publication(connection).published


def replay(connection: Connection, wanted: ReplayRequest, through: int, *, dry: bool) -> int:
    """Put what is meant, up to the position `through`, in line to be published once more, in its order; how many.
    Where it is `dry`, only counts."""
    first = wanted.since if isinstance(wanted.since, int) else 1
    last = min(through, wanted.until) if isinstance(wanted.until, int) else through
    slices = _slices(connection, max(first, 1), last)
    return sum(_replay_slice(connection, wanted, low, high, dry=dry) for low, high in slices)


def _slices(connection: Connection, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The positions that hold something, in slices: after a younger database, most of them are nobody's."""
    while first <= last:
        end: int | None = value(
            connection,
            """
            SELECT position FROM (
                SELECT position FROM outbox WHERE position BETWEEN :first AND :last ORDER BY position LIMIT :slice
            ) slice ORDER BY position DESC LIMIT 1
            """,
            first=first,
            last=last,
            slice=SLICE,
        )
        if end is None:
            return
        yield first, end
        first = end + 1


def _replay_slice(connection: Connection, wanted: ReplayRequest, low: int, high: int, *, dry: bool) -> int:
    since = wanted.since if isinstance(wanted.since, datetime) else None
    until = wanted.until if isinstance(wanted.until, datetime) else None
    return integer(
        connection,
        query("events.replay"),
        low=low,
        high=high,
        since=since,
        until=until,
        types=list(wanted.types),
        organisation=wanted.organisation,
        dry=dry,
    )


@dataclass(frozen=True, slots=True)
class ReplayLeft:
    """What is in line to be published once more, and whether a relay leads that does it."""

    waiting: int
    relay: bool


def left(connection: Connection, organisation: int | None = None) -> ReplayLeft:
    """What is not on the stream yet of what is published once more, of everybody or of one organisation."""
    asked = {} if organisation is None else {"organisation": organisation}
    mine = "r.organisation = :organisation" if asked else "true"
    return the_one(
        connection,
        ReplayLeft,
        f"""
        SELECT (SELECT count(*) FROM replays r WHERE r.position IS NULL AND {mine})
             + (SELECT count(*) FROM replays r, publication p WHERE r.position > p.published AND {mine}) AS waiting,
               EXISTS (SELECT FROM pg_locks JOIN pg_database d ON d.oid = database
                       WHERE datname = current_database() AND locktype = 'advisory' AND granted
                         AND classid = 0 AND objid = :lock) AS relay
        """,
        lock=LEADER_LOCK,
        **asked,
    )
