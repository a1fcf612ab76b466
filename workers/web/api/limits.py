"""How much a token, and an address without one, may ask (429).

Buckets are in the memory of a process: a limit is there to keep one caller from using up this process, so no other
server is asked, and the limit holds while Redis is away. With several `web` processes each allows as much.
"""

import math
import time
from collections import Counter, OrderedDict

#: Buckets remembered at most; the one that was used longest ago is forgotten, and full again.
MOST = 10_000

#: Wrong tokens, or none, from one address: so many at once, and so many a second after that.
STRANGERS_AT_ONCE, STRANGERS = 50, 10.0


class Buckets:
    """A bucket for each name: it holds `size`, and `rate` of it comes back each second."""

    def __init__(self, size: float, rate: float) -> None:
        self._size, self._rate = size, rate
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, name: str, cost: float = 1, now: float | None = None) -> int:
        """Take something from a bucket, if it is there; else how many seconds to wait."""
        moment = time.monotonic() if now is None else now
        left = self._now(name, moment)
        taken = left >= min(cost, self._size)
        self._left[name] = (left - cost if taken else left, moment)
        self._left.move_to_end(name)
        if len(self._left) > MOST:
            self._left.popitem(last=False)
        return 0 if taken else max(1, math.ceil((min(cost, self._size) - left) / self._rate))

    def is_empty(self, name: str) -> bool:
        """Whether there is nothing in a bucket."""
        return self._now(name, time.monotonic()) < 1

    def _now(self, name: str, moment: float) -> float:
        left, then = self._left.get(name, (self._size, moment))
        return min(self._size, left + (moment - then) * self._rate)


class Places:
    """What somebody may have open at once: so many of one's own, and so many of all."""

    def __init__(self, of_one: int, most: float = math.inf) -> None:
        self._of_one, self._most = of_one, most
        self._taken: Counter[str] = Counter()

    def is_full(self, name: str) -> bool:
        """Whether there is no place left."""
        return self._taken[name] >= self._of_one or self._taken.total() >= self._most

    def take(self, name: str) -> bool:
        """Take a place, if there is one."""
        if self.is_full(name):
            return False
        self._taken[name] += 1
        return True

    def give(self, name: str) -> None:
        """Give a place back."""
        self._taken[name] -= 1
        self._taken += Counter()  # those with none are forgotten
