"""How far something is said to be."""

from datetime import UTC, datetime, timedelta

import pytest

from workers.web.console.languages import Reading
from workers.web.console.progress import HowFar

BEGAN = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("done", "total", "after", "rate", "left", "percent"),
    [
        (0, 100, 10, None, None, 0),
        (25, 100, 10, 2.5, 30, 25),
        (5000, 1_000_000, 4, 1250, 796, 0),
        (999_999, 1_000_000, 1000, 1000, 0.001, 99),
        (100, 100, 10, None, None, 100),
        (0, 0, 10, None, None, 100),
        (50, 100, 0, None, None, 50),
    ],
)
def test_rate_and_time_left_are_said_where_they_are_known(
    done: int, total: int, after: float, rate: float | None, left: float | None, percent: int
) -> None:
    found = HowFar.since(BEGAN, done, total, BEGAN + timedelta(seconds=after))

    assert (found.rate, found.percent) == (rate, percent)
    assert (None if found.left is None else found.left.total_seconds()) == (
        None if left is None else pytest.approx(left)
    )


def test_a_span_is_said_as_the_reader_says_it() -> None:
    assert [Reading(one).span(timedelta(seconds=90)) for one in ("en", "nl", "fr")] == [
        "2 minutes",
        "2 minuten",
        "2 minutes",
    ]
