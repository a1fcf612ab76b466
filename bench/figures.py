"""Figures that mean something on another machine: ratios of what was measured side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Goal:
    """What the median of the ratios, or of our own figures, must reach."""

    bound: float
    most: bool = False
    of_ratio: bool = True

    def reached_by(self, ratio: "Ratio") -> bool:
        """Whether it is."""
        middle = median(ratio.ratios if self.of_ratio else ratio.ours)
        return middle <= self.bound if self.most else middle >= self.bound

    def text(self, ratio: "Ratio") -> str:
        """As a person reads it."""
        asked = f"{'×' if self.of_ratio else ''} {self.bound:,g}{'' if self.of_ratio else ' ' + ratio.unit}".strip()
        return (
            f"{'reached' if self.reached_by(ratio) else 'NOT REACHED'}: at {'most' if self.most else 'least'} {asked}"
        )


@dataclass(frozen=True, slots=True)
class Ratio:
    """What was measured, round by round, beside what it is measured against in the same rounds."""

    what: str
    against: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    digits: int = 0
    goal: Goal | None = None

    @property
    def ratios(self) -> list[float]:
        """Ours by theirs, of each round."""
        return [mine / its for mine, its in zip(self.ours, self.theirs, strict=True)]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median, and the least and the most."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def percentiles(what: str, against: str, ours: Sequence[float], theirs: Sequence[float], width: int) -> list[Ratio]:
    """Milliseconds at the median, of each `width` of them, and at the 99th percentile, of all."""
    return [
        Ratio(
            f"{what}, p{percent}",
            f"{against}, p{percent}",
            "ms",
            [percentile(ours[first : first + of], percent) for first in range(0, len(ours), of)],
            [percentile(theirs[first : first + of], percent) for first in range(0, len(theirs), of)],
            digits=1,
        )
        for percent, of in ((50, width), (99, len(ours)))
    ]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
