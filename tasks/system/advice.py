"""How many processes each pool needs, from what came and how long it took. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.system.rules import Flow, FlowSample

#: Threads of a process of each pool, as the Procfile has them.
THREADS = {Flow.TASKS: 2, Flow.MAIL: 2, Flow.BULK: 1}

#: Seconds that the oldest due work of each pool may be late: well before an alert says so (docs/runbooks).
TARGETS = {Flow.TASKS: 60.0, Flow.MAIL: 60.0, Flow.BULK: 900.0}

#: How much of its time a thread may be at work: the rest is for what no sample shows, as a minute is not even.
USABLE = 0.8


@dataclass(frozen=True, slots=True)
class PoolAdvice:
    """How many processes a pool needs so that its oldest due work is never older than `target_seconds`, if what comes
    is like the minutes that were measured. `running`: those that there are; `busiest_minute`: the most pieces that came
    within a minute; `seconds_a_piece`: null if none was worked on; `oldest_seconds`: the latest that any was."""

    pool: str
    processes: int
    threads: int
    running: int
    target_seconds: float
    oldest_seconds: float | None
    busiest_minute: int
    seconds_a_piece: float | None
    minutes: int


def advise(
    samples: Sequence[FlowSample],
    running: Mapping[Flow, int],
    targets: Mapping[Flow, float],
    threads: Mapping[Flow, int],
) -> list[PoolAdvice]:
    """The advice for each pool, from its samples, the oldest first."""
    return [
        _advise(pool, [one for one in samples if one.flow == pool], running[pool], targets[pool], threads[pool])
        for pool in THREADS
    ]


def _advise(pool: Flow, minutes: Sequence[FlowSample], running: int, target: float, threads: int) -> PoolAdvice:
    passed, busy = sum(one.passed or 0 for one in minutes), sum(one.busy_seconds or 0.0 for one in minutes)
    each = busy / passed if passed else None
    came = [
        max((one.passed or 0) + (one.waiting or 0) - (before.waiting or 0 if before else 0), 0)
        for before, one in zip([None, *minutes], minutes, strict=False)
    ]
    needed = threads_for([n * (each or 0.0) for n in came], target)
    return PoolAdvice(
        pool=pool,
        processes=-(-needed // threads),
        threads=threads,
        running=running,
        target_seconds=target,
        oldest_seconds=max((one.oldest_seconds for one in minutes if one.oldest_seconds is not None), default=None),
        busiest_minute=max(came, default=0),
        seconds_a_piece=each,
        minutes=len(minutes),
    )


def threads_for(work: Sequence[float], target: float) -> int:
    """The fewest threads with which no work is older than `target` seconds before it is begun, where so many seconds of
    work come in each minute; one at least."""
    low, high = 1, 1
    while latest(work, high) > target:
        high *= 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if latest(work, middle) <= target else (middle + 1, high)
    return low


def latest(work: Sequence[float], threads: int) -> float:
    """How late the last work of any minute is begun, in seconds, by so many threads: what is left of the minutes before
    is done first."""
    each_second, left, late = threads * USABLE, 0.0, 0.0
    for seconds in work:
        left = max(0.0, left + seconds - each_second * 60)
        late = max(late, left / each_second)
    return late
