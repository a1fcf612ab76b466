"""Work that is due: rows, not messages. A message only wakes a worker up, and losing it costs seconds (R33)."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.work.actors import REGISTRY, actor
    from tasks.work.backlog import STALLED_AFTER, FailingWork, Load, failing, loads, unfinished
    from tasks.work.halts import Halt, blow, current_halts, halt, unhalt
    from tasks.work.leases import heartbeat
    from tasks.work.pools import PausedPool, Pool, pause_pool, paused_pools, resume_pool
    from tasks.work.resting import discard, hold, hold_all, resume, resume_all
    from tasks.work.rules import EVERYBODY, KINDS, LONGEST_PAUSE, Fuses, pause_before
    from tasks.work.store import (
        ADD,
        Beat,
        LostLease,
        Piece,
        accuse,
        add,
        any_running,
        claim,
        count_from,
        extend,
        finish,
        give_up,
        mark,
        next_due_seconds,
        offer,
        others_wait,
        release,
        retry,
        revoke_claims,
    )
else:
    __getattr__ = lazily(__name__)
