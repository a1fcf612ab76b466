"""What decides about enrolments: who is eligible for a request, and into which chunks a fan-out is cut."""

from collections.abc import Iterator
from enum import StrEnum


class NotEligible(StrEnum):
    """Why a request does not enrol a learner (R14)."""

    UNKNOWN = "unknown"
    INACTIVE = "inactive"
    WITHDRAWN = "withdrawn"


def chunks(count: int, size: int) -> Iterator[tuple[int, int]]:
    """The numbers 1 to `count` in stretches of `size`: learners are numbered densely, so these are ranges of them."""
    for low in range(1, count + 1, size):
        yield low, min(low + size - 1, count)
