"""A batch of events, from bytes to everything that follows from them."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.intake.batch import UNREADABLE, BatchResult, apply_waiting, give_up, process_batch, set_aside
    from tasks.intake.context import EventContext
    from tasks.intake.decisions import NotResolved, discard, release
    from tasks.intake.following import follow, judge_again, mail_admins
else:
    __getattr__ = lazily(__name__)

__all__ = [
    "UNREADABLE",
    "BatchResult",
    "EventContext",
    "NotResolved",
    "apply_waiting",
    "discard",
    "follow",
    "give_up",
    "judge_again",
    "mail_admins",
    "process_batch",
    "release",
    "set_aside",
]
