"""Work that is due: rows, not messages. A message only wakes a worker up, and losing it costs seconds (R33)."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.work.resting import discard, hold, hold_all, resume, resume_all
    from tasks.work.rules import LONGEST_PAUSE, pause_before
    from tasks.work.store import (
        ADD,
        STALLED_AFTER,
        Beat,
        Failing,
        Load,
        LostLease,
        Piece,
        add,
        count_from,
        extend,
        failing,
        finish,
        loads,
        mark,
        others_wait,
        release,
        retry,
        unfinished,
    )
else:
    __getattr__ = lazily(__name__)
