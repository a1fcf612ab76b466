"""Following an announcement until it has ended: a bar for a person, lines for a file or a pipe."""

import time
from collections import deque
from collections.abc import Callable

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tasks import announcements
from workers.commands.common import out

#: Seconds between two looks, at least.
LOOK_SECONDS = 0.5

#: A look costs the database what it costs to count; looking takes at most this part of the time.
SHARE = 0.1

#: Seconds over which the rate is measured.
WINDOW_SECONDS = 10.0

#: Seconds between two lines, where nobody sees a bar and the state stays.
LINE_SECONDS = 5.0

#: States that nothing leaves by itself, or soon.
ENDED = {"draft", "late", "finished", "finished with failures"}


class Pace:
    """How fast what is pending becomes less, over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, at: float, done: int) -> None:
        """Note how many were done at a moment (seconds of a monotonic clock)."""
        self._seen.append((at, done))
        while len(self._seen) > 2 and at - self._seen[1][0] >= WINDOW_SECONDS:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Recipients a second; 0 where nothing is known yet."""
        (began, before), (ended, after) = self._seen[0], self._seen[-1]
        return (after - before) / (ended - began) if ended > began else 0.0


def over(counts: announcements.Progress) -> bool:
    """Whether nothing will change by itself."""
    return counts.state in ENDED or (counts.state == "cancelled" and not counts.pending)


def line(counts: announcements.Progress, rate: float) -> str:
    """How far it has come, how fast, and how long it will take."""
    done = counts.selected - counts.pending
    left = f", {duration(counts.pending / rate)} left" if rate and counts.pending else ""
    return f"{counts.state}: {done} of {counts.selected}, {rate:.0f}/s{left}"


def duration(seconds: float) -> str:
    """A span of time as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def watch(fetch: Callable[[], announcements.Progress], *, quiet: bool) -> announcements.Progress:
    """Look again and again until nothing will change by itself, or until Ctrl-C; the last counts seen."""
    pace = Pace()
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=out, disable=quiet or not out.is_terminal) as shown:
        bar = shown.add_task("", total=None)
        said, said_at = "", 0.0
        while True:
            began = time.monotonic()
            counts = fetch()
            pace.see(began, counts.selected - counts.pending)
            now = line(counts, pace.rate)
            shown.update(bar, total=counts.selected, completed=counts.selected - counts.pending, description=now)
            if not (quiet or out.is_terminal) and (counts.state != said or began - said_at >= LINE_SECONDS):
                out.print(now, markup=False)
                said, said_at = counts.state, began
            if over(counts):
                return counts
            try:
                time.sleep(max(LOOK_SECONDS, (time.monotonic() - began) / SHARE))
            except KeyboardInterrupt:
                return counts
