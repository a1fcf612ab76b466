"""The periods of the ids of events in. When one begins is decided by the relay, not by a clock: see `begin_period`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import Connection

from config.database import nobody_to_blame, rows, say, value
from tasks.retention.store import PATIENCE


@dataclass(frozen=True, slots=True)
class ArrivalPeriod:
    """A partition of the ids of events in: those that came from `since` on, until the next one began. `now`: the
    database's time as it was found."""

    name: str
    since: datetime
    now: datetime


def periods(connection: Connection) -> list[ArrivalPeriod]:
    """Every period of which the ids are known, the oldest first."""
    return rows(
        connection,
        ArrivalPeriod,
        r"""
        SELECT c.relname AS name, now() AS now,
               CAST(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'IN \(''([^'']+)''\)') AS timestamptz) AS since
        FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = CAST('arrivals' AS regclass)
        ORDER BY since
        """,
    )


def is_over(found: Sequence[ArrivalPeriod], days: int) -> bool:
    """Whether the newest period is as long as an id is kept, so that another is to begin. So there are two, or for a
    moment three: each is looked into for every event."""
    return found[-1].since <= found[-1].now - timedelta(days)


def over(found: Sequence[ArrivalPeriod], days: int) -> list[ArrivalPeriod]:
    """The periods in which every event came longer than so many days ago: before the next one began."""
    return [one for one, following in pairwise(found) if following.since <= one.now - timedelta(days)]


def begin_period(connection: Connection) -> None:
    """Begin a period. Raises what `is_locked` knows, if a transaction that took events does not end."""
    with nobody_to_blame(connection, PATIENCE):
        name = value(connection, "SELECT begin_period()")
    say(connection, "partition.made", name=name)


def drop_period(connection: Connection, name: str) -> None:
    """Forget all that came in a period, but what is held. Raises what `is_locked` knows."""
    with nobody_to_blame(connection, PATIENCE):
        value(connection, "SELECT drop_period(:name)", name=name)
    say(connection, "partition.dropped", name=name)
