"""Figures that mean something on another machine: ratios of what was measured side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Ratio:
    """What was measured, round by round, beside what it is measured against in the same rounds."""

    what: str
    against: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    digits: int = 0
    wanted: float | None = None
    most: float | None = None

    @property
    def ratios(self) -> list[float]:
        """Ours by theirs, of each round."""
        return [mine / its for mine, its in zip(self.ours, self.theirs, strict=True)]

    @property
    def reached(self) -> bool | None:
        """Whether the median of the ratios is as high, or as low, as it must be; None where nothing is asked."""
        middle = median(self.ratios)
        if self.wanted is not None:
            return middle >= self.wanted
        return None if self.most is None else middle <= self.most


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median, and the least and the most."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
