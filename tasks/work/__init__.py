"""Work that is due: rows, not messages. A message only wakes a worker up, and losing it costs seconds (R33)."""

from tasks.work.store import Piece, add, extend, finish, mark, pause_before, release

__all__ = ["Piece", "add", "extend", "finish", "mark", "pause_before", "release"]
