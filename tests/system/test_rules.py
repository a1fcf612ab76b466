"""What the minutes say of which no sample is kept."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.system import Flow, FlowSample
from tasks.system.rules import MINUTE, is_idle, with_idle_minutes

AT = datetime(2026, 1, 1, 9, tzinfo=UTC)


def sample(minute: int, flow: Flow = Flow.MAIL, **said: Any) -> FlowSample:
    known: dict[str, Any] = {"waiting": 0, "oldest_seconds": None, "in_flight": 0, "failing": 0, "passed": 0}
    return FlowSample(AT + minute * MINUTE, flow, **known | said)


@pytest.mark.parametrize(
    ("said", "idle"),
    [
        ({}, True),
        ({"passed": None}, True),
        ({"waiting": 1}, False),
        ({"waiting": None}, False),
        ({"oldest_seconds": 0.0}, False),
        ({"in_flight": 1}, False),
        ({"failing": 1}, False),
        ({"passed": 1}, False),
    ],
)
def test_a_minute_is_idle_if_nothing_waited_and_nothing_passed(said: dict[str, Any], idle: bool) -> None:
    assert is_idle([sample(0), sample(0, Flow.IN, **said)]) is idle


def test_minutes_that_are_missing_after_an_idle_one_were_as_idle() -> None:
    kept = [sample(0, passed=None), sample(3, passed=5)]
    assert with_idle_minutes(kept, AT + 6 * MINUTE) == [kept[0], sample(1), sample(2), kept[1]]


def test_of_each_flow_minutes_are_missing_up_to_this_one() -> None:
    kept = [sample(0), sample(0, Flow.IN)]
    assert with_idle_minutes(kept, AT + 2 * MINUTE) == [*kept, sample(1), sample(1, Flow.IN)]
    assert with_idle_minutes(kept, AT + timedelta(seconds=30)) == kept
    assert with_idle_minutes([], AT) == []


def test_of_minutes_that_are_missing_after_a_busy_one_nothing_is_known() -> None:
    kept = [sample(0), sample(0, Flow.IN, waiting=2), sample(4)]
    assert with_idle_minutes(kept, AT + 5 * MINUTE) == kept
