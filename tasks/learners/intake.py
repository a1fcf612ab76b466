"""What events about learners and segments do."""

from collections.abc import Sequence

from tasks import erasure, seats
from tasks.events import Awaited, Deferred, Event, LearnerDeleted, LearnerSaved, SegmentSaved, StatusChanged
from tasks.intake import EventContext, bring_back, follow, judge_again
from tasks.learners.deletions import end_memberships, erase, keep_outdone
from tasks.learners.rules import Standing, effective_version, holds
from tasks.learners.segments import ensure_segments, save_segment
from tasks.learners.store import (
    Description,
    Learner,
    StatusChange,
    add,
    describe,
    ensure,
    find,
    give_numbers,
    record_status,
    restate,
)


def learner_saved(context: EventContext, events: Sequence[Event]) -> None:
    """Describe learners (R6); those who are new are enrolled by the standing rules (R7)."""
    connection, number = context.connection, context.number
    said = [(event, event.data) for event in events if isinstance(event.data, LearnerSaved)]
    before = find(connection, number, [data.learner for _, data in said])
    new = give_numbers(connection, number, [data.learner for _, data in said if data.learner not in before])
    known = before | new
    newcomers: dict[str, Description] = {}
    descriptions: list[Description] = []
    outdone: list[Description] = []
    statuses: list[StatusChange] = []
    older: list[int] = []
    for event, data in said:
        learner = known[data.learner]
        version = effective_version(data.version, learner.version)
        description = Description(
            learner.learner,
            version,
            event.time,
            data.username,
            data.email,
            data.first_name,
            data.last_name,
            data.locale,
            data.time_zone,
        )
        if data.learner in new:
            newcomers[data.learner] = description
        else:
            (descriptions if _holds(learner, version, event) else outdone).append(description)
        if data.status is not None:
            statuses.append(StatusChange(learner.learner, version, event.time, data.status == "active", event.id))
        if learner.saved_at is not None and event.time <= learner.saved_at:
            older.append(learner.learner)
        context.know(Awaited.saved_learner(number, data.learner))
    describe(connection, number, descriptions)
    keep_outdone(connection, number, outdone)
    arrived = add(connection, number, newcomers, {status.learner for status in statuses if not status.active})
    record_status(connection, number, statuses)
    changes = restate(connection, number, [one.learner for one in before.values()], statuses) + arrived
    follow(context, changes, {known[data.learner].learner: event for event, data in said})
    unheard = {one.learner for one in new.values()}  # of whom nothing is known that this could contradict
    changed = {status.learner: status.occurred_at for status in statuses if status.learner not in unheard}
    judge_again(context, changed, older)


def _holds(learner: Learner, version: int, event: Event) -> bool:
    """Whether a description is the newest, and of who the learner is since they were deleted last, if ever (S15)."""
    if learner.deleted_at is not None and event.time <= learner.deleted_at:
        return False
    return holds(version, event.time, learner.saved_version, learner.saved_at)


def status_changed(context: EventContext, events: Sequence[Event]) -> None:
    """Add to the history of status; whose present status it changes loses or gains access at once (R1, R3, R4).

    What is said of a learner nobody saved yet is stored, and listed as waiting until they are (R6, S2).
    """
    connection, number = context.connection, context.number
    said = [(event, event.data) for event in events if isinstance(event.data, StatusChanged)]
    known = ensure(connection, number, [data.learner for _, data in said])
    statuses = []
    for event, data in said:
        learner = known[data.learner]
        version = effective_version(data.version, learner.version)
        statuses.append(StatusChange(learner.learner, version, event.time, data.status == "active", event.id))
        if learner.standing is Standing.UNSAVED:
            context.defer(event, Deferred.unknown_learner(number, data.learner, "; this is kept until they are"))
    record_status(connection, number, statuses)
    changes = restate(connection, number, [one.learner for one in known.values()], statuses)
    follow(context, changes, {known[data.learner].learner: event for event, data in said})
    judge_again(context, {status.learner: status.occurred_at for status in statuses})


def learner_deleted(context: EventContext, events: Sequence[Event]) -> None:
    """Erase what identifies learners, end memberships and access; what was charged stays (S15). What names them
    elsewhere is looked for soon after, by work."""
    connection, number = context.connection, context.number
    said = [(event, event.data) for event in events if isinstance(event.data, LearnerDeleted)]
    known = find(connection, number, [data.learner for _, data in said])
    beaten = [(event, data.learner) for event, data in said if _is_erased(known.get(data.learner), event)]
    if beaten:
        erasure.begin(connection, number, [(id_, event.time) for event, id_ in beaten])
    gone: dict[int, Event] = {}
    for event, data in said:
        learner = known.get(data.learner)
        if learner is None or learner.standing is Standing.UNSAVED:
            context.defer(event, Deferred.unknown_learner(number, data.learner))
        else:
            gone[learner.learner] = event
    if not gone:
        return
    erased = {known[id_].learner: event for event, id_ in beaten if id_ in known}
    causes = {who: event for who, event in erased.items() if who in gone}
    end_memberships(connection, number, list(gone), [event.time for event in gone.values()])
    erase(connection, number, list(causes), [event.time for event in causes.values()])
    follow(context, restate(connection, number, list(gone)), gone)
    bring_back(context, gone)
    seats.flag_contradicted(connection, number, list(gone))
    context.know(*(Awaited.saved_learner(number, id_) for id_, one in known.items() if one.learner in gone))
    context.know_statuses(gone)
    context.know_enrolments()


def _is_erased(learner: Learner | None, event: Event) -> bool:
    """Whether a deletion beats who a learner is by now: only what happened after it makes them anew (S15). Also of one
    whom nobody saved, of whom something may be stored all the same: an event that could not be applied."""
    return learner is None or learner.saved_at is None or learner.saved_at <= event.time


def segment_saved(context: EventContext, events: Sequence[Event]) -> None:
    """Name segments (R6)."""
    connection, number = context.connection, context.number
    for event in events:
        data = event.data
        assert isinstance(data, SegmentSaved)  # noqa: S101 - the table of handlers says so
        segment = ensure_segments(connection, number, [data.segment])[data.segment]
        save_segment(connection, number, segment, data.name, event.time)
        context.know(Awaited.saved_segment(number, data.segment))
