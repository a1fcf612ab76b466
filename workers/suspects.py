"""What may have taken down the process that tried it: each try is counted in Redis, until one comes back.

What is tried alone is counted by itself, so that nothing beside it is blamed. What never came back several times is not
tried again but set aside. Losing Redis loses the counts: that costs a few more processes, and no event.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import redis

#: Tries that may end with the end of their process. One is not enough: a process may be killed for reasons of its own.
MOST_TRIES = 3

#: Seconds for which a try that never came back is remembered.
REMEMBERED_SECONDS = 86_400

#: Seconds for which nothing is counted after Redis was found to be away.
AWAY_SECONDS = 5.0

_PREFIX = "rollcall:trying:"


class Suspects:
    """Counts tries by name. Where it is not `needed`, all goes on without counting while Redis is away."""

    def __init__(self, client: redis.Redis, *, needed: bool = True) -> None:
        self._client = client
        self._needed = needed
        self._away_until = 0.0

    @contextmanager
    def trying(self, name: str) -> Iterator[int]:
        """Count a try, and forget all of this name when it comes back in order; how many there were, with this one."""
        yield self._count(name)
        self.forget(name)

    def forget(self, name: str) -> None:
        """It came back: nothing is held against it."""
        if time.monotonic() >= self._away_until:
            with self._unless_away():
                self._client.delete(_PREFIX + name)

    def least_tried_first(self, names: Sequence[str]) -> list[str]:
        """The names in their order, but those last that were tried before: what is beside them is done by then."""
        tries = self._client.mget([_PREFIX + name for name in names]) if names else []
        return [name for _, name in sorted(zip(tries, names, strict=True), key=lambda each: int(each[0] or 0))]

    def _count(self, name: str) -> int:
        if time.monotonic() >= self._away_until:
            with self._unless_away(), self._client.pipeline() as pipe:
                pipe.incr(_PREFIX + name)
                pipe.expire(_PREFIX + name, REMEMBERED_SECONDS)
                return int(pipe.execute()[0])
        return 1

    @contextmanager
    def _unless_away(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError:
            if self._needed:
                raise
            self._away_until = time.monotonic() + AWAY_SECONDS
