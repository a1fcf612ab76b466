"""A batch of events, from bytes to everything that follows from them."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.intake.batch import (
        KILLED,
        MOST_FREED,
        NOT_APPLIED,
        RACES,
        UNREADABLE,
        NotResolved,
        Taken,
        discard,
        give_up,
        is_away,
        judge_messages,
        portion,
        read_kept,
        release,
        say_why,
        set_aside,
        take,
        take_kept,
        take_waiting,
    )
    from tasks.intake.following import Taking, follow, judge_again, notify_admins
else:
    __getattr__ = lazily(__name__)
