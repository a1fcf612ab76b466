"""How many processes a pool needs: the advice, against a day's load that is worked off piece by piece."""

import heapq
from collections.abc import Iterable
from random import Random

import pytest

from tasks.system import TARGETS, THREADS, Flow, FlowSample, advise
from tasks.system.advice import threads_for
from tests.system.test_rules import sample

#: Minutes of a day.
DAY = 24 * 60


def worked_off(came: Iterable[tuple[float, float]], threads: int) -> list[tuple[float, float]]:
    """When each piece is due, and how late it is begun: pieces that come at these seconds and take so long, by so many
    threads, the oldest first."""
    free, found = [0.0] * threads, []
    for due, takes in sorted(came):
        begun = max(due, heapq.heappop(free))
        heapq.heappush(free, begun + takes)
        found.append((due, begun - due))
    return found


def a_day(seed: int) -> list[tuple[float, float]]:
    """Pieces of a day: a few at any time, most in the morning, and a burst within one minute. The relay of the mail
    server is slow for an hour."""
    random, pieces = Random(seed), []  # noqa: S311 - no secret
    for minute in range(DAY):
        rate = 5 + (300 if 9 * 60 <= minute < 10 * 60 else 0) + (4000 if minute == 14 * 60 else 0)
        slow = 3.0 if 16 * 60 <= minute < 17 * 60 else 1.0
        pieces += [(60 * (minute + random.random()), random.uniform(0.1, 0.5) * slow) for _ in range(rate)]
    return pieces


def sampled(pieces: list[tuple[float, float]]) -> list[FlowSample]:
    """What the samples of that day said, where nothing had to wait."""
    passed, busy = [0] * DAY, [0.0] * DAY
    for due, takes in pieces:
        passed[int(due // 60)] += 1
        busy[int(due // 60)] += takes
    return [sample(n, passed=passed[n], busy_seconds=busy[n]) for n in range(DAY)]


def latest(pieces: list[tuple[float, float]], threads: int) -> float:
    return max(late for _, late in worked_off(pieces, threads))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("target", [30.0, 60.0, 300.0])
def test_a_day_is_worked_off_in_time_by_as_many_as_are_advised_and_not_by_half_of_them(
    seed: int, target: float
) -> None:
    pieces = a_day(seed)
    (_, mail, _) = advise(sampled(pieces), dict.fromkeys(THREADS, 1), dict.fromkeys(TARGETS, target), THREADS)

    assert mail.pool == "mail"
    assert latest(pieces, mail.processes * mail.threads) <= target
    assert latest(pieces, mail.processes * mail.threads // 2) > target


def test_what_waits_since_before_counts_when_it_came() -> None:
    burst = [sample(0, passed=0, waiting=600), *(sample(n, passed=60, waiting=600 - 60 * n) for n in range(1, 11))]
    busy = [FlowSample(one.at, one.flow, one.waiting, 5.0, 0, 0, one.passed, 60.0) for one in burst]
    (_, mail, _) = advise(busy, dict.fromkeys(THREADS, 3), TARGETS, THREADS)

    assert mail.busiest_minute == 600
    assert mail.seconds_a_piece == pytest.approx(1.1)
    assert (mail.running, mail.oldest_seconds, mail.minutes) == (3, 5.0, 11)


def test_where_nothing_was_measured_each_pool_needs_one() -> None:
    found = advise([], dict.fromkeys(THREADS, 0), TARGETS, THREADS)
    assert [(one.pool, one.processes, one.seconds_a_piece) for one in found] == [
        ("tasks", 1, None),
        ("mail", 1, None),
        ("bulk", 1, None),
    ]


@pytest.mark.parametrize(
    ("work", "target", "threads"),
    [
        ([], 60.0, 1),
        ([48.0] * 60, 60.0, 1),  # four fifths of a thread's time: it keeps up
        ([49.0] * 1000, 60.0, 2),  # a little more: it falls behind, in a day
        ([48.0 + 60 * 0.8 * 10] + [0.0] * 60, 600.0, 1),  # a burst that one works off in ten minutes
        ([48.0 + 60 * 0.8 * 10] + [0.0] * 60, 599.0, 2),
    ],
)
def test_the_fewest_threads_that_are_never_late(work: list[float], target: float, threads: int) -> None:
    assert threads_for(work, target) == threads


def test_the_threads_are_those_of_the_procfile() -> None:
    from importlib.resources import files  # noqa: PLC0415

    lines = (files("workers") / "Procfile").read_text().splitlines()
    said = {
        Flow(words[4]): int(words[6])
        for words in (line.split() for line in lines)
        if words[1:4] == ["rollcall", "run", "pool"]
    }
    assert said == THREADS
