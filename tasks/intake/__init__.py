"""A batch of events, from bytes to everything that follows from them."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.intake.actors import retake, take_turn
    from tasks.intake.batch import (
        UNREADABLE,
        BatchResult,
        apply_waiting,
        give_up,
        process_batch,
        set_aside,
    )
    from tasks.intake.context import EventContext
    from tasks.intake.decisions import NotResolved, discard, release
    from tasks.intake.everywhere import cell_in, process_everywhere
    from tasks.intake.following import bring_back, follow, judge_again, mail_admins
    from tasks.intake.waiting import portion
else:
    __getattr__ = lazily(__name__)
