"""The contract with the platform: what comes in, what goes out, and what could not be taken."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.events.erasing import forget_usernames, usernames_published
    from tasks.events.inbox import (
        Decided,
        Quarantined,
        any_waiting_for_enrolment,
        decided,
        held_after,
        held_counts,
        is_called,
        quarantined,
        resolve,
        rewrite,
        stored,
        unresolved,
    )
    from tasks.events.inbox import Wanted as WantedEvents
    from tasks.events.outbox import (
        BATCH_BYTES,
        EMIT,
        ENROLMENTS_CHANGED,
        Outgoing,
        cloud_event,
        emit,
        emit_changed,
        is_stalled,
        unpublished,
        written,
    )
    from tasks.events.outgoing import MOST_IDS, TYPES_OUT, AccessActivated, EnrolmentChanged
    from tasks.events.replays import Left as ReplayLeft
    from tasks.events.replays import Wanted as WantedReplay
    from tasks.events.replays import left as replay_left
    from tasks.events.replays import published as replay_published
    from tasks.events.replays import replay
    from tasks.events.rules import Held, Outcome, portions, waves
    from tasks.events.schemas import (
        TYPES,
        WHAT_TO_DO,
        AnnouncementRequested,
        Audience,
        Cause,
        CourseCompleted,
        CourseSaved,
        CourseStarted,
        Data,
        EnrolmentRequested,
        EnrolmentWithdrawn,
        Envelope,
        Event,
        LearnerSaved,
        Malformed,
        OrganisationSaved,
        Reason,
        clock_time,
        decode,
    )
else:
    __getattr__ = lazily(__name__)
