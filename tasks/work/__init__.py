"""Work that is due: rows, not messages. A message only wakes a worker up, and losing it costs seconds (R33)."""

from tasks.work.store import (
    Beat,
    Failing,
    LostLease,
    Piece,
    add,
    extend,
    failing,
    finish,
    mark,
    pause_before,
    release,
    retry,
)

__all__ = [
    "Beat",
    "Failing",
    "LostLease",
    "Piece",
    "add",
    "extend",
    "failing",
    "finish",
    "mark",
    "pause_before",
    "release",
    "retry",
]
