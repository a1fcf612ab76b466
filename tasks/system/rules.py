"""What a sample of how everything stands says, and what the minutes say of which none is kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

MINUTE = timedelta(minutes=1)


class Flow(StrEnum):
    """What work or events go through: the queues of the pools, and the streams."""

    TASKS = "tasks"
    MAIL = "mail"
    BULK = "bulk"
    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class FlowSample:
    """How a flow stood in a minute. `passed`: pieces that workers were woken for, events that were stored or published,
    since the minute before; `busy_seconds`: for how long all workers together have worked on pieces since then. What is
    null was not known."""

    at: datetime
    flow: Flow
    waiting: int | None
    oldest_seconds: float | None
    in_flight: int
    failing: int
    passed: int | None
    busy_seconds: float | None = None


def is_idle(samples: Iterable[FlowSample]) -> bool:
    """Whether nothing waited, was in flight or failing, and nothing is known to have passed."""
    return not any(
        one.waiting != 0 or one.oldest_seconds is not None or one.in_flight or one.failing or one.passed
        for one in samples
    )


def with_idle_minutes(kept: Sequence[FlowSample], until: datetime) -> list[FlowSample]:
    """The samples, the oldest first, and those of the minutes before `until` that were as idle as the one before them:
    they are not kept. Of a minute that is missing after one that was not idle nothing is known."""
    minutes = [(at, list(those)) for at, those in groupby(kept, lambda one: one.at)]
    found: list[FlowSample] = []
    followings = [at for at, _ in minutes[1:]] + [until]
    for (at, those), following in zip(minutes, followings, strict=False):
        found += those
        if is_idle(those):
            missing = range(1, (following - at) // MINUTE)
            found += [FlowSample(at + n * MINUTE, one.flow, 0, None, 0, 0, 0) for n in missing for one in those]
    return found
