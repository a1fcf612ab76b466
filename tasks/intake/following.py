"""What follows from learners standing otherwise than before, for whatever reason: enrolments, access, mail, flags."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from config.database import scoped
from tasks import enrolments, learners, mail, organisations, seats
from tasks.events import AccessSuspended, Cause, PasswordVoid, emit
from tasks.intake.context import Effects, EventContext
from tasks.learners import Change


def follow(context: EventContext, changes: Sequence[Change], causes: Mapping[int, Cause]) -> None:
    """What follows from learners standing otherwise than before."""
    if not changes:
        return
    connection, number = context.connection, context.number
    newcomers = _newcomers((change.learner for change in changes if change.arrived), causes)
    if newcomers:  # nothing waits for an enrolment of theirs: what names a learner who is not saved waits for them
        enrolments.learners_arrived(connection, context.settings, context.organisation, newcomers)
    returned = {change.learner: causes[change.learner] for change in changes if change.returned}
    if returned:
        bring_back(context, returned)
        context.know_enrolments()
    emit(
        connection,
        number,
        "rollcall.access.suspended",
        [AccessSuspended(learner=change.id) for change in changes if change.suspended],
        [_trace(causes, change) for change in changes if change.suspended],
    )
    reactivated = [change for change in changes if change.reactivated]
    if reactivated:
        _reactivate(context, reactivated, causes)


def _newcomers(who: Iterable[int], causes: Mapping[int, Cause]) -> list[enrolments.Newcomer]:
    """These learners, each with the event that it is due to."""
    return [enrolments.Newcomer(learner, causes[learner].key, causes[learner].time) for learner in who]


def _trace(causes: Mapping[int, Cause], change: Change) -> str | None:
    """The trace of the event that a change is due to."""
    return causes[change.learner].traceparent


def bring_back(context: EventContext, causes: Mapping[int, Cause]) -> None:
    """What these learners had before they were deleted is brought in line with the rules (R10)."""
    back = _newcomers(causes, causes)
    enrolments.learners_returned(context.connection, context.settings, context.organisation, back)


def _reactivate(context: EventContext, changes: Sequence[Change], causes: Mapping[int, Cause]) -> None:
    """Full access at once (R4); who signs in by username keeps it, and every password of theirs is void (R5)."""
    connection = context.connection
    back = _newcomers((change.learner for change in changes), causes)
    enrolments.reactivated(connection, context.settings, context.organisation, back)
    void = [change for change in changes if change.signs_in_by_username and not change.returned]
    emit(
        connection,
        context.number,
        "rollcall.learner.password_void",
        [PasswordVoid(learner=change.id, username=change.username) for change in void],
        [_trace(causes, change) for change in void],
    )
    if void:
        lost = context.effects.void.setdefault(context.number, [])
        lost += [(change.learner, causes[change.learner].key) for change in void]


def mail_admins(connection: Connection, effects: Effects) -> None:
    """One mail to the admins of all learners who came back together and need a temporary password (R5, S8)."""
    for number, void in effects.void.items():
        with scoped(connection, number):
            if admins := organisations.numbered(connection, number).admin_emails:
                back = [learner for learner, _ in void]
                mail.notify_admins(connection, number, mail.Kind.PASSWORD, void[0][1], admins, learners=back)


def judge_again(context: EventContext, changed: Mapping[int, datetime], older: Sequence[int] = ()) -> None:
    """A new entry in the history of status, of these learners at these times, may contradict what was consumed (S13),
    or clear a start that was set aside for inactivity (S12). Where it comes late, what stood or gave access then is
    told anew, as it is of those of whom an `older` description than the first came (R6)."""
    late = list(older)
    if changed:
        late += learners.told_late(context.connection, context.number, list(changed), list(changed.values()))
        seats.flag_contradicted(context.connection, context.number, list(changed))
        context.know_statuses(changed)
    if enrolments.settle_learners(context.connection, context.settings, context.number, late):
        context.know_enrolments()
