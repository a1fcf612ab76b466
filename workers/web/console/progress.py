"""How far something is: how much of it is done, how fast it goes, and how long it will take."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class HowFar:
    """So much is `done` of a `total`; `rate`: a second, on average, and the time `left` if it goes on so. Both are None
    where nothing can be said of them."""

    done: int
    total: int
    rate: float | None = None
    left: timedelta | None = None

    @classmethod
    def since(cls, began_at: datetime, done: int, total: int, now: datetime) -> "HowFar":
        """What was begun then, at this moment."""
        seconds = (now - began_at).total_seconds()
        if not 0 < done < total or seconds <= 0:
            return cls(done, total)
        rate = done / seconds
        return cls(done, total, round(rate, 1) if rate < 10 else round(rate), timedelta(seconds=(total - done) / rate))

    @property
    def percent(self) -> int:
        """In hundredths; what is not done is never said to be."""
        return self.done * 100 // self.total if self.total else 100
