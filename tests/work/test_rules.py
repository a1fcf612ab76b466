"""How long work rests before it is tried again: R33."""

from datetime import timedelta

import pytest

from tasks.work.rules import LONGEST_PAUSE, pause_before

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(("failures", "seconds"), [(0, 10), (1, 20), (3, 80), (8, 2560), (9, 3600), (10**6, 3600)])
def test_r33_a_pause_doubles_with_each_failure_up_to_an_hour(failures: int, seconds: int) -> None:
    assert pause_before(failures, 10 * SECOND) == seconds * SECOND <= LONGEST_PAUSE
