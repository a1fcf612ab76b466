"""What decides about numbers by day: when they are counted anew, and what is to be expected of a pool."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

#: Counts are kept at least so long, and so many times as long as the counting took: it never is much of what is done.
FRESH, TIMES = timedelta(minutes=5), 20

#: After so long, somebody who was asked to count is taken to have been lost.
LOST = timedelta(hours=1)

#: Days of use, up to today, that a forecast goes by.
PACE_DAYS = 28


@dataclass(frozen=True, slots=True)
class UsedDay:
    """What was used of a pool on a day (UTC), in so many starts, of which so many were past the pool."""

    day: date
    used: int
    entries: int
    overdrawn: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is to be expected of a pool: at the pace of the last `days`, which is `per_day`, it is used up on
    `runs_out`; None: not before the period ends, or there is nothing to go by."""

    days: int
    per_day: float
    runs_out: date | None


def is_stale(now: datetime, counted_at: datetime | None, seconds: float) -> bool:
    """Whether it is time to count anew."""
    return counted_at is None or now - counted_at > max(FRESH, timedelta(seconds=TIMES * seconds))


def forecast(
    pool: int | None, days: Sequence[UsedDay], starts: date | None, ends: date | None, today: date
) -> Forecast:
    """When a pool is used up, if use goes on as in the last `PACE_DAYS`: the simplest that one can check by hand. A
    period that began later goes by what there is of it; `ends` is the first day after the period."""
    first = max(today - timedelta(days=PACE_DAYS - 1), starts or date.min)
    length = max((today - first).days + 1, 1)
    per_day = sum(one.used for one in days if first <= one.day <= today) / length
    if pool is None or not per_day:
        return Forecast(length, per_day, None)
    left = max(pool - sum(one.used for one in days), 0)
    most = ((ends or date.max) - today).days
    needed = int(-(-left // per_day))
    return Forecast(length, per_day, today + timedelta(days=needed) if needed < most else None)
