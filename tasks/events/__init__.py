"""The contract with the platform: what comes in, what goes out, and what could not be taken."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.events.awaited import Awaited
    from tasks.events.erasing import forget_usernames, rewrite_reasons, usernames_published
    from tasks.events.forgetting import MOST as MOST_FORGOTTEN
    from tasks.events.forgetting import anything_to_forget, forget_ids, forget_payloads
    from tasks.events.inbox import (
        StoredEvent,
        any_waiting_for_enrolment,
        has_overdue,
        quarantine_malformed,
        quarantine_overdue,
        stored,
        waiting_for,
        waiting_in_vain,
    )
    from tasks.events.inbox import claim_new as claim_new_events
    from tasks.events.inbox import defer as defer_events
    from tasks.events.inbox import quarantine as quarantine_event
    from tasks.events.inbox import settle as settle_events
    from tasks.events.outbox import (
        BATCH_BYTES,
        EMIT_TRACED,
        ENROLMENTS_CHANGED,
        Outgoing,
        Publication,
        Unpublished,
        cloud_event,
        emit,
        emit_changed,
        is_done_with,
        is_stalled,
        not_known_published,
        order_after_stream,
        order_next,
        publication,
        published_through,
        unpublished,
        written,
    )
    from tasks.events.outgoing import (
        TYPES_OUT,
        AccessActivated,
        AccessSuspended,
        AnnouncementCancelled,
        AnnouncementFinished,
        Document,
        EnrolmentChanged,
        EnrolmentFinished,
        EventQuarantined,
        OutgoingEvent,
        PasswordVoid,
        PoolReached,
        SeatConsumed,
        WebhookDisabled,
    )
    from tasks.events.quarantine import (
        DecidedEvent,
        EventRef,
        Quarantined,
        UnresolvedEvent,
        decided,
        is_called,
        quarantined,
        quarantined_page,
        resolve,
        rewrite,
        unresolved,
        unresolved_after,
        unresolved_counts,
    )
    from tasks.events.readers import known as known_readers
    from tasks.events.readers import remember as remember_readers
    from tasks.events.readers import waiting_seconds
    from tasks.events.replays import ReplayLeft, ReplayRequest, replay
    from tasks.events.replays import left as replay_left
    from tasks.events.replays import published as replay_published
    from tasks.events.rules import Deferred, affordable, in_turn, portions, waves
    from tasks.events.schemas import (
        TYPES,
        WHAT_TO_DO,
        AnnouncementRequested,
        Audience,
        Cause,
        CloudEventEnvelope,
        CourseCompleted,
        CourseSaved,
        CourseStarted,
        Data,
        EnrolmentRequested,
        EnrolmentWithdrawn,
        Event,
        Identity,
        KnownCause,
        LearnerDeleted,
        LearnerSaved,
        Malformed,
        Moment,
        OrganisationSaved,
        Reason,
        SegmentJoined,
        SegmentLeft,
        SegmentSaved,
        StatusChanged,
        clock_time,
        decode,
        read_malformed,
        read_stored,
    )
    from tasks.events.turns import MOST as MOST_OF_TURN
    from tasks.events.turns import TurnState
    from tasks.events.turns import finish as finish_turn
    from tasks.events.turns import give_up as give_up_in_turn
    from tasks.events.turns import lock_end as lock_line
    from tasks.events.turns import next_ as next_of_turn
    from tasks.events.turns import park as park_events
    from tasks.events.turns import standing as turns_of
else:
    __getattr__ = lazily(__name__)
