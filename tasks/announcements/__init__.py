"""An admin's mailing, from draft to finished."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.announcements.actors import audience, cancel_rest, launch_scheduled, survey
    from tasks.announcements.export import RecipientDetails, recipients, recipients_after
    from tasks.announcements.intake import announcement_requested, fault_of, is_judged
    from tasks.announcements.lifecycle import (
        RetriedAnnouncement,
        SettledAnnouncement,
        cancel,
        check_kept,
        check_words,
        finish_mailings,
        launch,
        move,
        pause,
        resume,
        retry,
        schedule,
        settle,
    )
    from tasks.announcements.previews import (
        Hole,
        Preview,
        SeenLetter,
        Sent,
        judged_of,
        preview,
        see,
        send_trial,
        trial,
    )
    from tasks.announcements.rules import (
        LARGEST_BODY,
        LONGEST_ID,
        MOST_LEARNERS,
        BadMessage,
        BadSchedule,
        Fault,
        NotAllowed,
        Progress,
        check_message,
        local_time,
        moment_of,
        pace,
        progress,
        zone_named,
    )
    from tasks.announcements.store import (
        Announcement,
        Outline,
        find,
        is_from_event,
        listed,
        unknown_learners,
        version_of,
    )
else:
    __getattr__ = lazily(__name__)
