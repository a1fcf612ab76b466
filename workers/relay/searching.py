"""Indexes learners for the search, a few at a time: so many others are not made to wait for it."""

import time

from tasks import learners
from workers.relay.chore import Chore

#: Learners that are indexed at once: some 100 ms, for which no other chore is done.
SLICE = 256

#: Seconds between two times at least while there are more; it rests for as long as it worked.
REST_SECONDS = 0.05


class IndexLearners(Chore):
    """Indexes learners who are new, or were described anew; until then they are read when somebody searches."""

    name = "search"
    seconds = 30.0

    def do(self) -> float | None:
        """Index some; soon again if there may be more."""
        begun = time.monotonic()
        some = learners.index_learners(self.runtime.engine, SLICE)
        return max(REST_SECONDS, time.monotonic() - begun) if some else None
