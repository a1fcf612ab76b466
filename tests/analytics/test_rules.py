"""When numbers are counted anew, and what is to be expected of a pool."""

from datetime import UTC, date, datetime, timedelta

import pytest

from tasks.analytics.rules import FRESH, Forecast, UsedDay, forecast, is_stale

TODAY = date(2026, 6, 30)
NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)


def used(*each: tuple[int, int]) -> list[UsedDay]:
    """Days ago, and what was used then."""
    return [UsedDay(TODAY - timedelta(days=ago), n, 1, 0) for ago, n in each]


def test_r25_a_pool_is_used_up_at_the_pace_of_the_last_four_weeks() -> None:
    days = used((100, 300), (27, 14), (0, 14))

    assert forecast(338, days, None, None, TODAY) == Forecast(28, 1.0, TODAY + timedelta(days=10))
    assert forecast(338, used((100, 300)), None, None, TODAY).runs_out is None, "nothing is used any more"
    assert forecast(None, days, None, None, TODAY).runs_out is None


def test_r25_a_period_that_began_lately_goes_by_what_there_is_of_it() -> None:
    expected = forecast(100, used((9, 20)), TODAY - timedelta(days=9), None, TODAY)

    assert expected == Forecast(10, 2.0, TODAY + timedelta(days=40))


@pytest.mark.parametrize(("ends_in", "within"), [(10, False), (11, True)])
def test_r25_what_is_left_at_the_end_of_the_period_does_not_run_out(ends_in: int, within: bool) -> None:
    expected = forecast(38, used((0, 28)), None, TODAY + timedelta(days=ends_in), TODAY)

    assert expected.runs_out == (TODAY + timedelta(days=10) if within else None)


def test_r28_a_pool_that_is_overdrawn_is_used_up_today() -> None:
    assert forecast(5, used((0, 28)), None, None, TODAY).runs_out == TODAY


def test_counting_is_never_much_of_what_is_done() -> None:
    assert is_stale(NOW, None, 0)
    assert not is_stale(NOW, NOW - FRESH, 1)
    assert is_stale(NOW, NOW - FRESH - timedelta(seconds=1), 1)
    assert not is_stale(NOW, NOW - timedelta(minutes=30), 100), "what takes long is counted less often"
    assert is_stale(NOW, NOW - timedelta(minutes=34), 100)
