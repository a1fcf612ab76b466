"""Work that is due: rows, not messages. A message only wakes a worker up, and losing it costs seconds (R33)."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.work.loads import Failing, failing
    from tasks.work.rules import LONGEST_PAUSE, pause_before
    from tasks.work.store import (
        Beat,
        LostLease,
        Piece,
        add,
        extend,
        finish,
        mark,
        others_wait,
        release,
        retry,
    )
else:
    __getattr__ = lazily(__name__)
