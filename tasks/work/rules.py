"""What decides about work: how long it rests before it is tried again, and when a kind of it is not tried any more.
Pure."""

from collections import deque
from datetime import timedelta

#: The longest pause before another try of work that failed.
LONGEST_PAUSE = timedelta(hours=1)


def pause_before(failures: int, first: timedelta) -> timedelta:
    """How long to wait after this many failures in a row: doubles from `first`, up to an hour."""
    return min(first * float(2 ** min(failures, 20)), LONGEST_PAUSE)


#: What an act may name a kind of work by: the names of the actors.
KINDS = (
    "analytics.count", "announcements.audience", "announcements.cancel", "announcements.launch", "announcements.survey",
    "enrolments.chunk", "enrolments.survey", "events.retake", "events.take_turn", "imports.drop", "imports.run",
    "learners.erase", "mail.deliver",
)  # fmt: skip

#: Stands for every organisation.
EVERYBODY = 0

#: Failures in a row after which a fuse opens, of how many pieces, and of how many organisations if it is to open for
#: all: what one of them sends stops nothing of another's (R31).
FUSE_FAILURES, FUSE_PIECES, FUSE_ORGANISATIONS = 10, 3, 3

#: Organisations whose failures are remembered at once.
MOST_REMEMBERED = 1000


class Fuses:
    """What one process saw fail, kind by kind, since it last saw that succeed: of everybody, and of each organisation.

    Not thread-safe.
    """

    def __init__(self) -> None:
        self._of_all: dict[str, deque[tuple[int, int]]] = {}
        self._of_one: dict[tuple[str, int], deque[int]] = {}

    def succeeded(self, kind: str, organisation: int) -> None:
        """A piece was done."""
        self._of_all.pop(kind, None)
        self._of_one.pop((kind, organisation), None)

    def failed(self, kind: str, organisation: int, work: int) -> int | None:
        """A piece failed. For whom the fuse of its kind is to open by that: an organisation, `EVERYBODY`, or nobody
        (None)."""
        of_all = self._of_all.setdefault(kind, deque(maxlen=FUSE_FAILURES))
        of_all.append((organisation, work))
        of_one = self._of_one.setdefault((kind, organisation), deque(maxlen=FUSE_FAILURES))
        of_one.append(work)
        if len(self._of_one) > MOST_REMEMBERED:
            del self._of_one[next(iter(self._of_one))]
        if len(of_all) == FUSE_FAILURES and len({whose for whose, _ in of_all}) >= FUSE_ORGANISATIONS:
            self._of_all.pop(kind)
            return EVERYBODY
        if len(of_one) == FUSE_FAILURES and len({*of_one}) >= FUSE_PIECES:
            self._of_one.pop((kind, organisation))
            return organisation
        return None
