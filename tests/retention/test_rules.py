"""Which months are made ahead, and which have had their time: R35."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tasks.retention.rules import AHEAD, ArrivalPeriod, Partition, is_over, months_to_make, over, to_drop

NOW = datetime(2026, 11, 27, 12, 34, 56, 789, tzinfo=UTC)


def until(year: int, month: int) -> Partition:
    return Partition("attempts", f"attempts before {year} {month}", datetime(year, month, 1, tzinfo=UTC), NOW)


OTHER = Partition("attempts", "attempts_other", None, NOW)


def test_r35_months_are_made_from_where_the_last_ends_to_some_ahead() -> None:
    made = months_to_make([OTHER, until(2026, 12), until(2027, 1)], NOW)

    assert made[0] == (datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC))
    assert made[-1][1] == datetime(2027, 3, 1, tzinfo=UTC)
    assert len(made) == 2
    assert AHEAD == 3, "December, January and February lie ahead"


def test_r35_there_is_no_gap_however_long_nobody_made_any() -> None:
    made = months_to_make([until(2025, 1)], NOW)

    assert made[0][0] == datetime(2025, 1, 1, tzinfo=UTC)
    assert [high for _, high in made[:-1]] == [low for low, _ in made[1:]]
    assert made[-1][1] == datetime(2027, 3, 1, tzinfo=UTC)


def test_r35_a_table_without_any_begins_this_month_in_utc() -> None:
    east = timedelta(hours=14)
    made = months_to_make([OTHER], datetime(2026, 12, 1, 6, tzinfo=UTC).astimezone(UTC) - east)

    assert made[0][0] == datetime(2026, 11, 1, tzinfo=UTC)
    assert months_to_make([until(2027, 3)], NOW) == []


def test_r35_what_ended_so_long_ago_is_dropped_the_oldest_first() -> None:
    found = [OTHER, until(2026, 10), until(2026, 8), until(2026, 9), until(2026, 12)]

    assert to_drop(found, NOW, 57) == [until(2026, 8), until(2026, 9), until(2026, 10)]
    assert to_drop(found, NOW, 58) == [until(2026, 8), until(2026, 9)]
    assert to_drop(found, NOW, 400) == []
    others = replace(until(2026, 8), of_table="flow_samples")
    assert to_drop([until(2026, 8), others], NOW, 57) == [until(2026, 8), others], "which end at the same time"
    exactly = datetime(2026, 10, 1, tzinfo=UTC) + timedelta(days=30)
    assert len(to_drop([until(2026, 10)], exactly, 30)) == 1
    assert to_drop([until(2026, 10)], exactly - timedelta(microseconds=1), 30) == []


def test_r35_months_that_another_cell_numbers_are_not_our_last() -> None:
    theirs = replace(until(2027, 3), numbered=False)

    assert months_to_make([theirs, until(2027, 1)], NOW) == months_to_make([until(2027, 1)], NOW) != []


def begun(*ago: timedelta) -> list[ArrivalPeriod]:
    """Periods that began so long ago."""
    return [ArrivalPeriod(f"arrivals_{n}", NOW - each, NOW) for n, each in enumerate(ago, 1)]


def test_r32_another_period_begins_once_the_newest_is_as_long_as_an_id_is_kept() -> None:
    days, moment = timedelta(days=400), timedelta(microseconds=1)

    assert is_over(begun(3 * days, days), 400)
    assert not is_over(begun(3 * days, days - moment), 400)
    assert not is_over(begun(3 * days, 2 * days, -days), 400)


def test_r32_a_period_has_had_its_time_once_the_next_is_as_old_as_an_id_is_kept() -> None:
    days, moment = timedelta(days=400), timedelta(microseconds=1)
    found = begun(4 * days, 2 * days, days, timedelta())

    assert over(found, 400) == found[:2]
    assert over(begun(2 * days, days - moment), 400) == []
    assert over(begun(2 * days), 400) == [], "nobody knows when it ends"
