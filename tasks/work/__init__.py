"""Work that is due: rows, not messages. A message only wakes a worker up, and losing it costs seconds (R33)."""

from tasks.work.loads import Failing, failing
from tasks.work.store import (
    LONGEST_PAUSE,
    Beat,
    LostLease,
    Piece,
    add,
    extend,
    finish,
    mark,
    others_wait,
    pause_before,
    release,
    retry,
)

__all__ = [
    "LONGEST_PAUSE",
    "Beat",
    "Failing",
    "LostLease",
    "Piece",
    "add",
    "extend",
    "failing",
    "finish",
    "mark",
    "others_wait",
    "pause_before",
    "release",
    "retry",
]
