"""Which partitions are to be made, and which have had their time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

#: Months beyond this one for which partitions are made: for as long a relay may be away, and everything finds its own.
AHEAD = 3


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a table. `until`: what is in it lies before; None: it takes what no other does. `now`: the
    database's time as it was found. Of a table that is divided by the numbers of mailings, `lowest` and `below` are
    those of a partition, and it is `numbered` if this cell gives numbers of its epoch."""

    of_table: str
    name: str
    until: datetime | None
    now: datetime
    lowest: int | None = None
    below: int | None = None
    numbered: bool = True


@dataclass(frozen=True, slots=True)
class ArrivalPeriod:
    """A partition of the ids of events in: those that came from `since` on, until the next one began. `now`: the
    database's time as it was found."""

    name: str
    since: datetime
    now: datetime


def months_to_make(partitions: Sequence[Partition], now: datetime) -> list[tuple[datetime, datetime]]:
    """The months, from one time to another, for which a table has no partition yet; up to some months ahead."""
    ends = [one.until for one in partitions if one.until is not None and one.numbered]
    low, last = max(ends, default=_month(now)).astimezone(UTC), _month(now)
    for _ in range(AHEAD + 1):
        last = _next(last)
    found = []
    while low < last:
        found.append((low, _next(low)))
        low = _next(low)
    return found


def to_drop(partitions: Sequence[Partition], now: datetime, days: int) -> list[Partition]:
    """The partitions in which everything is older than so many days, the oldest first."""
    ended = [(one.until, one) for one in partitions if one.until is not None and one.until <= now - timedelta(days)]
    return [one for _, one in sorted(ended, key=lambda each: each[0])]


def is_over(found: Sequence[ArrivalPeriod], days: int) -> bool:
    """Whether the newest period is as long as an id is kept, so that another is to begin. So there are two, or for a
    moment three: each is looked into for every event."""
    return found[-1].since <= found[-1].now - timedelta(days)


def over(found: Sequence[ArrivalPeriod], days: int) -> list[ArrivalPeriod]:
    """The periods in which every event came longer than so many days ago: before the next one began."""
    return [one for one, following in pairwise(found) if following.since <= one.now - timedelta(days)]


def _month(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next(month: datetime) -> datetime:
    return _month(month + timedelta(days=32))
