"""What applies each type of event: a function that is given events of one organisation and one type, which commute."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from tasks import announcements, enrolments, learners, seats
from tasks.events import (
    AnnouncementRequested,
    Awaited,
    CourseCompleted,
    CourseSaved,
    CourseStarted,
    Data,
    EnrolmentRequested,
    EnrolmentWithdrawn,
    Event,
    LearnerDeleted,
    LearnerSaved,
    OrganisationSaved,
    SegmentJoined,
    SegmentLeft,
    SegmentSaved,
    StatusChanged,
)
from tasks.intake.context import EventContext

Handler = Callable[[EventContext, Sequence[Event]], None]


def organisation_saved(context: EventContext, events: Sequence[Event]) -> None:
    """Count the pool anew where its terms changed; what waited for the organisation is free."""
    for event in events:
        seats.terms_changed(context.connection, context.before, context.organisation, event.key)
        context.know(Awaited.saved_organisation(event.organisation))


def course_started(context: EventContext, events: Sequence[Event]) -> None:
    """Count and charge starts (R23 to R28); where one may change when an enrolment stood, that is settled."""
    lead = timedelta(seconds=context.settings.rollcall_start_lead_seconds)
    unsettled = seats.course_started(context, events, lead)
    if enrolments.settle_places(context.connection, context.settings, context.number, unsettled):
        context.know_enrolments()


HANDLERS: Mapping[type[Data], Handler] = {
    OrganisationSaved: organisation_saved,
    LearnerSaved: learners.learner_saved,
    StatusChanged: learners.status_changed,
    LearnerDeleted: learners.learner_deleted,
    SegmentSaved: learners.segment_saved,
    SegmentJoined: enrolments.membership_changed,
    SegmentLeft: enrolments.membership_changed,
    CourseSaved: enrolments.course_saved,
    EnrolmentRequested: enrolments.enrolment_requested,
    EnrolmentWithdrawn: enrolments.enrolment_withdrawn,
    CourseStarted: course_started,
    CourseCompleted: seats.course_completed,
    AnnouncementRequested: announcements.announcement_requested,
}
