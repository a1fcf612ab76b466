"""What decides about work: how long it rests before it is tried again. Pure."""

from datetime import timedelta

#: The longest pause before another try of work that failed.
LONGEST_PAUSE = timedelta(hours=1)


def pause_before(failures: int, first: timedelta) -> timedelta:
    """How long to wait after this many failures in a row: doubles from `first`, up to an hour."""
    return min(first * float(2 ** min(failures, 20)), LONGEST_PAUSE)
