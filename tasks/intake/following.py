"""What each kind of event does, in the transaction that takes it: the facts, and what follows from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from config.settings import Settings
from tasks import announcements, enrolments, erasure, learners, mail, organisations, seats
from tasks.events import Cause, Event, Held, Reason, emit
from tasks.events.outgoing import AccessSuspended, PasswordVoid
from tasks.events.schemas import (
    AnnouncementRequested,
    CourseCompleted,
    CourseSaved,
    CourseStarted,
    EnrolmentRequested,
    EnrolmentWithdrawn,
    LearnerDeleted,
    LearnerSaved,
    OrganisationSaved,
    SegmentJoined,
    SegmentLeft,
    SegmentSaved,
    StatusChanged,
)
from tasks.learners.rules import Change


@dataclass(slots=True)
class Taking:
    """One transaction that takes events of one organisation, and what came of them so far.

    `void`: who lost their passwords, with the event that did it, for one mail to the admins at the end (S8).
    `released`: a person has said that the events are valid (S12).
    """

    connection: Connection
    settings: Settings
    organisation: organisations.Organisation
    known: set[str] = field(default_factory=set)
    held: list[tuple[Event, Held]] = field(default_factory=list)
    void: list[tuple[int, tuple[str, str]]] = field(default_factory=list)
    released: bool = False

    @property
    def number(self) -> int:
        return self.organisation.organisation


def apply(taking: Taking, wave: Sequence[Event]) -> None:
    """Apply one wave: events of one organisation and one type, which commute; what could not be taken is in `held`,
    what others may have waited for in `known`."""
    event = wave[0]
    match event.data:
        case LearnerSaved():
            _learners_saved(taking, wave)
        case StatusChanged():
            _statuses(taking, wave)
        case LearnerDeleted():
            _learners_deleted(taking, wave)
        case CourseStarted():
            _starts(taking, wave)
        case CourseCompleted():
            taking.held += seats.take_completions(taking.connection, taking.organisation, wave)
        case SegmentSaved() | SegmentJoined() | SegmentLeft():
            for one in wave:
                _segment(taking, one)
        case CourseSaved() as course:
            enrolments.course_saved(taking.connection, taking.settings, taking.organisation, event)
            taking.known |= {f"course:{taking.number}:{course.course}", f"enrolled:{taking.number}"}
        case EnrolmentRequested():
            _hold_or(
                taking, event, enrolments.requested(taking.connection, taking.settings, taking.organisation, event)
            )
            taking.known.add(f"enrolled:{taking.number}")
        case EnrolmentWithdrawn():
            why = enrolments.withdrawn(taking.connection, taking.settings, taking.organisation, event)
            _hold_or(taking, event, why)
        case AnnouncementRequested():
            why = announcements.requested(taking.connection, taking.settings, taking.organisation, event)
            _hold_or(taking, event, why)
        case OrganisationSaved():
            raise AssertionError("organisations are saved before anything of theirs is dispatched")


def _hold_or(taking: Taking, event: Event, why: Held | None) -> None:
    if why is not None:
        taking.held.append((event, why))


def _starts(taking: Taking, wave: Sequence[Event]) -> None:
    lead = timedelta(seconds=taking.settings.rollcall_start_lead_seconds)
    taken = seats.take_starts(taking.connection, taking.organisation, wave, lead, released=taking.released)
    if enrolments.settle_places(taking.connection, taking.settings, taking.number, taken.unsettled):
        taking.known.add(f"enrolled:{taking.number}")
    taking.held += taken.held


def _segment(taking: Taking, event: Event) -> None:
    connection, number = taking.connection, taking.number
    data = event.data
    assert isinstance(data, SegmentSaved | SegmentJoined | SegmentLeft)  # noqa: S101 - by the match above
    segment = learners.ensure_segments(connection, number, [data.segment])[data.segment]
    if isinstance(data, SegmentSaved):
        learners.save_segment(connection, number, segment, data.name, event.time)
        taking.known.add(f"segment:{number}:{data.segment}")
        return
    known = learners.ensure(connection, number, data.learners)
    named = [learner.learner for learner in known.values()]
    changed = learners.record_membership(
        connection,
        number,
        segment,
        named,
        event.time,
        member=isinstance(data, SegmentJoined),
    )
    organisation = organisations.numbered(connection, number)
    enrolments.membership_changed(connection, taking.settings, organisation, event, segment, named, changed)
    taking.known.add(f"enrolled:{number}")


def _learners_saved(taking: Taking, wave: Sequence[Event]) -> None:
    """Describe learners (R6); those who are new are enrolled by the standing rules (R7)."""
    connection, number = taking.connection, taking.number
    said = [(event, event.data) for event in wave if isinstance(event.data, LearnerSaved)]
    known = learners.ensure(connection, number, (data.learner for _, data in said))
    descriptions: list[learners.Description] = []
    outdone: list[learners.Description] = []
    statuses: list[learners.StatusChange] = []
    for event, data in said:
        learner = known[data.learner]
        version = learners.effective_version(data.version, learner.version)
        description = learners.Description(
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
        (descriptions if _holds(learner, version, event) else outdone).append(description)
        if data.status is not None:
            statuses.append(
                learners.StatusChange(learner.learner, version, event.time, data.status == "active", event.id)
            )
    learners.describe(connection, number, descriptions)
    learners.keep_outdone(connection, number, outdone)
    learners.record_status(connection, number, statuses)
    described = {description.learner for description in descriptions}
    standing = learners.Standing
    affected = [
        learner.learner
        for learner in known.values()
        if learner.learner in described or learner.standing in {standing.ACTIVE, standing.INACTIVE}
    ]
    changes = learners.restate(connection, number, affected)
    follow(taking, changes, {known[data.learner].learner: event for event, data in said})
    older = [
        known[data.learner].learner
        for event, data in said
        if (at := known[data.learner].saved_at) is not None and event.time <= at
    ]
    judge_again(taking, {status.learner: status.occurred_at for status in statuses}, older)
    taking.known |= {f"learner:{number}:{data.learner}" for _, data in said}


def _holds(learner: learners.Learner, version: int, event: Event) -> bool:
    """Whether a description is the newest, and of who the learner is since they were deleted last, if ever (S15)."""
    if learner.deleted_at is not None and event.time <= learner.deleted_at:
        return False
    return learners.holds(version, event.time, learner.saved_version, learner.saved_at)


def _statuses(taking: Taking, wave: Sequence[Event]) -> None:
    """Add to the history of status; whose present status it changes loses or gains access at once (R1, R3, R4).

    What is said of a learner nobody saved yet is kept, and listed as waiting until they are (R6, S2).
    """
    connection, number = taking.connection, taking.number
    said = [(event, event.data) for event in wave if isinstance(event.data, StatusChanged)]
    known = learners.ensure(connection, number, (data.learner for _, data in said))
    statuses = []
    for event, data in said:
        learner = known[data.learner]
        version = learners.effective_version(data.version, learner.version)
        statuses.append(learners.StatusChange(learner.learner, version, event.time, data.status == "active", event.id))
        if learner.standing is learners.Standing.UNSAVED:
            why = Held(
                Reason.UNKNOWN_LEARNER,
                f"the learner {data.learner} is not known; this is kept until they are",
                f"learner:{number}:{data.learner}",
            )
            taking.held.append((event, why))
    learners.record_status(connection, number, statuses)
    standing = learners.Standing
    affected = [
        learner.learner for learner in known.values() if learner.standing in {standing.ACTIVE, standing.INACTIVE}
    ]
    changes = learners.restate(connection, number, affected)
    follow(taking, changes, {known[data.learner].learner: event for event, data in said})
    judge_again(taking, {status.learner: status.occurred_at for status in statuses})


def _learners_deleted(taking: Taking, wave: Sequence[Event]) -> None:
    """Erase what identifies learners, end memberships and access; what was charged stays (S15). What names them
    elsewhere is looked for soon after, by work."""
    connection, number = taking.connection, taking.number
    said = [(event, event.data) for event in wave if isinstance(event.data, LearnerDeleted)]
    known = learners.find(connection, number, [data.learner for _, data in said])
    gone: dict[int, Event] = {}
    causes: dict[int, Event] = {}
    erased = [(data.learner, event.time) for event, data in said if _is_erased(known.get(data.learner), event)]
    if erased:
        erasure.begin(connection, number, erased)
    for event, data in said:
        learner = known.get(data.learner)
        if learner is None or learner.standing is learners.Standing.UNSAVED:
            why = Held(
                Reason.UNKNOWN_LEARNER,
                f"the learner {data.learner} is not known",
                f"learner:{number}:{data.learner}",
            )
            taking.held.append((event, why))
            continue
        gone[learner.learner] = event
        if _is_erased(learner, event):
            causes[learner.learner] = event
    if not gone:
        return
    learners.end_memberships(connection, number, list(gone), [event.time for event in gone.values()])
    learners.erase(connection, number, list(causes), [event.time for event in causes.values()])
    changes = learners.restate(connection, number, list(gone))
    follow(taking, changes, gone)
    _returned(taking, gone)
    seats.flag_contradicted(connection, number, list(gone))
    taking.known |= {f"learner:{number}:{known[data.learner].id}" for _, data in said if data.learner in known}
    taking.known |= {f"status:{number}:{learner}" for learner in gone} | {f"enrolled:{number}"}


def _is_erased(learner: learners.Learner | None, event: Event) -> bool:
    """Whether a deletion beats who a learner is by now: only what happened after it makes them anew (S15). Also of one
    whom nobody saved, of whom something may be kept all the same: an event that could not be taken."""
    return learner is None or learner.saved_at is None or learner.saved_at <= event.time


def follow(taking: Taking, changes: Sequence[Change], causes: Mapping[int, Cause]) -> None:
    """What follows from learners standing otherwise than before."""
    if not changes:
        return
    connection, number = taking.connection, taking.number
    newcomers = [
        enrolments.Newcomer(change.learner, causes[change.learner].key, causes[change.learner].time)
        for change in changes
        if change.arrived
    ]
    if newcomers and enrolments.learners_arrived(connection, taking.settings, taking.organisation, newcomers):
        taking.known.add(f"enrolled:{number}")
    returned = {change.learner: causes[change.learner] for change in changes if change.returned}
    if returned:
        _returned(taking, returned)
        taking.known.add(f"enrolled:{number}")
    emit(
        connection,
        number,
        "rollcall.access.suspended",
        [AccessSuspended(learner=change.id) for change in changes if change.suspended],
    )
    reactivated = [change for change in changes if change.reactivated]
    if reactivated:
        _reactivate(taking, reactivated, causes)


def _returned(taking: Taking, causes: Mapping[int, Cause]) -> None:
    """What these learners had before they were deleted is brought in line with the rules (R10)."""
    back = [enrolments.Newcomer(learner, cause.key, cause.time) for learner, cause in causes.items()]
    enrolments.learners_returned(taking.connection, taking.settings, taking.organisation, back)


def _reactivate(taking: Taking, changes: Sequence[Change], causes: Mapping[int, Cause]) -> None:
    """Full access at once (R4); who signs in by username keeps it, and every password of theirs is void (R5)."""
    connection = taking.connection
    back = [
        enrolments.Newcomer(change.learner, causes[change.learner].key, causes[change.learner].time)
        for change in changes
    ]
    enrolments.reactivated(connection, taking.settings, taking.organisation, back)
    void = [change for change in changes if change.signs_in_by_username and not change.returned]
    emit(
        connection,
        taking.number,
        "rollcall.learner.password_void",
        [PasswordVoid(learner=change.id, username=change.username) for change in void],
    )
    taking.void += [(change.learner, causes[change.learner].key) for change in void]


def notify_admins(connection: Connection, number: int, void: Sequence[tuple[int, tuple[str, str]]]) -> None:
    """One mail to the admins of all learners who came back together and need a temporary password (R5, S8)."""
    admins = organisations.numbered(connection, number).admin_emails
    if void and admins:
        learners_back = [learner for learner, _ in void]
        mail.notify_admins(connection, number, mail.Kind.PASSWORD, void[0][1], admins, learners=learners_back)


def judge_again(taking: Taking, changed: Mapping[int, datetime], older: Sequence[int] = ()) -> None:
    """A new entry in the history of status, of these learners at these times, may contradict what was consumed (S13),
    or clear a start that was set aside for inactivity (S12). Where it comes late, what stood or gave access then is
    told anew, as it is of those of whom an `older` description than the first came (R6)."""
    late = list(older)
    if changed:
        late += learners.told_late(taking.connection, taking.number, list(changed), list(changed.values()))
        seats.flag_contradicted(taking.connection, taking.number, list(changed))
        taking.known |= {f"status:{taking.number}:{learner}" for learner in changed}
    if enrolments.settle_learners(taking.connection, taking.settings, taking.number, late):
        taking.known.add(f"enrolled:{taking.number}")
