"""What a chore is: something that is done now and then, and whenever there is news that may make it due."""

import time
from abc import ABC, abstractmethod
from collections.abc import Set as AbstractSet
from typing import ClassVar

from config.database import autocommit
from config.runtime import Runtime
from tasks import chores

#: Seconds between two times at least: what is announced meanwhile is answered together.
PACE_SECONDS = 0.02

#: Seconds before a chore that failed is done again, whatever is announced.
FAILED_SECONDS = 2.5


class Chore(ABC):
    """A chore of the relay. It holds no state that counts: it is begun again, wherever it was killed."""

    #: What it is called in the log.
    name: ClassVar[str]
    #: Seconds between two times if nothing is announced: the longest that lost news can cost.
    seconds: ClassVar[float]
    #: The news, as in a notification's payload, that make it due. A notification without one makes everything due.
    news: ClassVar[AbstractSet[str]] = frozenset()
    #: Whether it needs Redis; if Redis is away, it is put off.
    needs_redis: ClassVar[bool] = False
    #: Whether it is done in a thread of its own, as it may take seconds: the others are done meanwhile.
    beside: ClassVar[bool] = False

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        #: When it is to be done, and the time before which no news make it due.
        self.due_at = self.not_before = 0.0

    @abstractmethod
    def do(self) -> float | None:
        """Do it; in how many seconds it is due again, if that is sooner than usual."""

    def hear(self, news: AbstractSet[str]) -> None:
        """Be due if the news are about it."""
        if "" in news or news & self.news:
            self.due_at = min(self.due_at, self.not_before)

    def run(self) -> None:
        """Do it, and be due again later. Raises what it raises, and is then due in a while."""
        self.put_off(FAILED_SECONDS)
        not_before = time.monotonic() + PACE_SECONDS
        again = self.do()
        self.not_before = not_before
        self.due_at = time.monotonic() + min(self.seconds, self.seconds if again is None else again)

    def put_off(self, seconds: float) -> None:
        """Be due in so many seconds, and not before."""
        self.due_at = self.not_before = time.monotonic() + seconds


class ForEverybody(Chore):
    """A chore that is done for everybody at once; and where that fails, for each by itself (R31)."""

    #: What does all there is of it.
    all_of_it: ClassVar[chores.Sweep]
    #: Whether there may be any, asked first: that is less than a transaction.
    any_of_it: ClassVar[chores.Precheck]

    def do(self) -> None:
        """Do all there is."""
        with autocommit(self.runtime.engine) as connection:
            if not self.any_of_it(connection):
                return
        chores.do(self.runtime.engine, self.name, self.all_of_it)
