"""What decides about learners: which of two descriptions holds, and what a change of status means."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Standing(StrEnum):
    """How a learner stands. *Unsaved* ones were only mentioned so far; what is said of them is kept (S2)."""

    UNSAVED = "unsaved"
    ACTIVE = "active"
    INACTIVE = "inactive"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """A learner whose standing changed, because of one event."""

    learner: int
    id: str
    before: Standing
    after: Standing
    username: str | None
    email: str | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", Standing(self.before))
        object.__setattr__(self, "after", Standing(self.after))

    @property
    def arrived(self) -> bool:
        """Known from now on: the standing rules of courses apply (R7)."""
        return self.before is Standing.UNSAVED and self.after in {Standing.ACTIVE, Standing.INACTIVE}

    @property
    def returned(self) -> bool:
        """Saved again after being deleted: what they had is brought in line with the rules (R10)."""
        return self.before is Standing.DELETED and self.after in {Standing.ACTIVE, Standing.INACTIVE}

    @property
    def reactivated(self) -> bool:
        """Active again: full access from now on (R4)."""
        return self.before in {Standing.INACTIVE, Standing.DELETED} and self.after is Standing.ACTIVE

    @property
    def suspended(self) -> bool:
        """Without access from now on (R3)."""
        return self.before is Standing.ACTIVE and self.after in {Standing.INACTIVE, Standing.DELETED}

    @property
    def signs_in_by_username(self) -> bool:
        """Has no address, so that a password must be handed over (R5, S8)."""
        return not self.email


def effective_version(version: int | None, highest: int) -> int:
    """What has no version takes the highest one known, so that its time decides (S1)."""
    return highest if version is None else version


def holds(version: int, time: datetime, known_version: int | None, known_time: datetime | None) -> bool:
    """Whether a description is at least as new, by (version, time), as the one that is known (R6, S1)."""
    return known_version is None or known_time is None or (version, time) >= (known_version, known_time)


def chunks(count: int, size: int) -> Iterator[tuple[int, int]]:
    """The numbers 1 to `count` in stretches of `size`: learners are numbered densely, so these are ranges of them."""
    for low in range(1, count + 1, size):
        yield low, min(low + size - 1, count)
