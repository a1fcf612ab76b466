"""What events about courses, requests and withdrawals do, and what the rules do for learners who are new."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection

from config.database import fits
from config.settings import Settings
from tasks import mail
from tasks.enrolments import arrivals, courses, fanouts, store
from tasks.enrolments.causes import pairs_of
from tasks.enrolments.courses import Course
from tasks.enrolments.launching import launch
from tasks.enrolments.rules import NotEligible
from tasks.enrolments.settling import settle
from tasks.events import (
    Awaited,
    Cause,
    CourseSaved,
    Deferred,
    EnrolmentRequested,
    EnrolmentWithdrawn,
    Event,
    KnownCause,
    SegmentJoined,
    SegmentLeft,
)
from tasks.intake import EventContext
from tasks.learners import (
    Standing,
    ensure,
    ensure_segments,
    members_at,
    record_membership,
    saved_segments,
    selected_by_id,
    selected_by_number,
)
from tasks.organisations import Organisation

#: Enrolments that are counted, to know whether they are much, and of how many learners they are in a piece.
MOST_COUNTED = 1_000_000

#: Learners for whom what they had before they were deleted is looked at in one transaction.
AT_ONCE = 20


def course_saved(context: EventContext, events: Sequence[Event]) -> None:
    """Describe a course; where its rules are new, bring everybody's enrolments in line with them (R7, R10)."""
    connection, number = context.connection, context.number
    for event in events:
        data = event.data
        assert isinstance(data, CourseSaved)  # noqa: S101 - the table of handlers says so
        segments = ensure_segments(connection, number, data.segments)
        said = courses.CourseDescription(
            data.course, data.title, data.cost, data.on_hold, data.method, segments, event.time
        )
        if courses.save_course(connection, number, said):
            course = courses.find_course(connection, number, data.course)
            assert course is not None  # noqa: S101 - saved just now
            _by_rule(connection, context.settings, context.organisation, event, [course], None)
        context.know(Awaited.saved_course(number, data.course))
        context.know_enrolments()


def membership_changed(context: EventContext, events: Sequence[Event]) -> None:
    """Joining a linked segment enrols, leaving it withdraws that source (R9, R10)."""
    connection, number = context.connection, context.number
    for event in events:
        data = event.data
        assert isinstance(data, SegmentJoined | SegmentLeft)  # noqa: S101 - the table of handlers says so
        segment = ensure_segments(connection, number, [data.segment])[data.segment]
        named = [learner.learner for learner in ensure(connection, number, data.learners).values()]
        member = isinstance(data, SegmentJoined)
        changed = record_membership(connection, number, segment, named, event.time, member=member)
        _membership_changed(context, event, segment, named, changed)
        context.know_enrolments()


def _membership_changed(
    context: EventContext, event: Event, segment: int, learners: Sequence[int], changed: Sequence[int]
) -> None:
    """Of the learners those are `changed` of whom this is the newest; what is older may change what was (R6)."""
    connection, number = context.connection, context.number
    linked = courses.courses_linked_to(connection, number, segment) if changed else []
    if linked:
        _by_rule(connection, context.settings, context.organisation, event, linked, changed)
    ever = courses.courses_ever_linked_to(connection, number, segment)
    now = {course.course for course in linked}
    late = sorted(set(learners) - set(changed))
    pairs = [(course, learner) for course in ever for learner in late]
    pairs += [
        (course, learner)
        for course, newest in ever.items()
        if course not in now and newest >= event.time
        for learner in changed
    ]
    settle_places(connection, context.settings, number, pairs)


def settle_places(
    connection: Connection, settings: Settings, organisation: int, pairs: Sequence[tuple[int, int]]
) -> bool:
    """Tell the past of learners in courses, (course, learner) each, anew; whether that changed anything (R6)."""
    lead = timedelta(seconds=settings.rollcall_start_lead_seconds)
    return bool(pairs) and settle(connection, organisation, pairs, lead)


def settle_learners(connection: Connection, settings: Settings, organisation: int, learners: Sequence[int]) -> bool:
    """The same of learners in every course (R6, S15)."""
    return bool(learners) and settle_places(
        connection, settings, organisation, pairs_of(connection, organisation, learners)
    )


def _by_rule(
    connection: Connection,
    settings: Settings,
    organisation: Organisation,
    event: Cause,
    courses: Sequence[Course],
    learners: Sequence[int] | None,
    *,
    notify: bool = True,
) -> None:
    enrols = [course for course in courses if course.method != "manual"]
    fanout = fanouts.begin(
        connection,
        organisation.organisation,
        courses=[course.course for course in courses],
        cycle=1,
        cause="rule",
        occurred_at=event.time,
        mailing=_notice_for(connection, organisation.organisation, event, enrols) if notify else None,
        learners=None if learners is None else sorted(learners),
    )
    launch(connection, settings, fanout, organisation.learners if learners is None else len(learners))


def _notice_for(connection: Connection, organisation: int, event: Cause, courses: Sequence[Course]) -> int | None:
    """The mailing in which this event's enrolments are told (R12); none of a course on hold (S7)."""
    if all(course.on_hold for course in courses):
        return None
    return mail.new_mailings(connection, organisation, mail.Kind.ENROLMENT, [event.key])[event.key]


def learners_arrived(
    connection: Connection, settings: Settings, organisation: Organisation, newcomers: Sequence[store.Newcomer]
) -> None:
    """Apply the standing rules to learners who are new (R7): now, or as work where that is much."""
    number = organisation.organisation
    rows = store.ruled(connection, number, newcomers, MOST_COUNTED)
    if not fits(connection, rows, settings.rollcall_chunk):
        arrivals.later(connection, settings, number, "arrival", newcomers, rows)
    else:
        _arrived(connection, settings, number, newcomers, enrols=rows > 0)


def _arrived(
    connection: Connection, settings: Settings, organisation: int, newcomers: Sequence[store.Newcomer], *, enrols: bool
) -> None:
    if enrols:
        arrivals.enrol(connection, organisation, newcomers)
    settle_learners(connection, settings, organisation, store.overtaken(connection, organisation, newcomers))


def learners_returned(
    connection: Connection, settings: Settings, organisation: Organisation, learners: Sequence[store.Newcomer]
) -> None:
    """Bring what learners had before they were deleted in line with the rules as they stand now (R7, R10): one by one,
    or as work where they are many. Of who is deleted by now only the past is told anew."""
    if len(learners) > AT_ONCE:
        rows = len(learners) * settings.rollcall_chunk // AT_ONCE
        arrivals.later(connection, settings, organisation.organisation, "return", learners, rows)
        return
    ruled = courses.courses_with_rules(connection, organisation.organisation)
    numbers = [learner.learner for learner in learners]
    saved = [Standing.ACTIVE, Standing.INACTIVE]
    present = store.standing_among(connection, organisation.organisation, numbers, saved) if ruled else set()
    for learner in learners:
        if learner.learner not in present:
            continue
        cause = KnownCause(learner.cause, learner.occurred_at)
        _by_rule(connection, settings, organisation, cause, ruled, [learner.learner])
    settle_learners(connection, settings, organisation.organisation, numbers)


def many_arrived(
    connection: Connection,
    settings: Settings,
    organisation: Organisation,
    cause: Cause,
    learners: Sequence[int],
    *,
    notify: bool,
) -> None:
    """Apply the standing rules to learners whom one cause made known together, as a fan-out (R7). `notify`: whether
    they are told (R12)."""
    ruled = courses.courses_with_rules(connection, organisation.organisation)
    if ruled and learners:
        _by_rule(connection, settings, organisation, cause, ruled, learners, notify=notify)


def reactivated(
    connection: Connection, settings: Settings, organisation: Organisation, learners: Sequence[store.Newcomer]
) -> None:
    """Learners are active again, and so have access from now on, which is derived (R4): note it and tell the platform
    and, in a digest, them; as work where that is much."""
    number = organisation.organisation
    rows = store.enrolled_in(connection, number, [learner.learner for learner in learners], MOST_COUNTED)
    if fits(connection, rows, settings.rollcall_chunk):
        arrivals.open_again(connection, organisation, learners)
    else:
        arrivals.later(connection, settings, number, "reactivation", learners, rows)


def follow_part(connection: Connection, settings: Settings, organisation: Organisation, fanout: fanouts.Fanout) -> None:
    """Do what was left to be done for some learners, as they stand now."""
    newcomers = fanouts.newcomers_of(fanout)
    match fanout.cause:
        case "arrival":
            _arrived(connection, settings, fanout.organisation, newcomers, enrols=True)
        case "return":
            learners_returned(connection, settings, organisation, newcomers)
        case "reactivation":
            numbers = [new.learner for new in newcomers]
            active = store.standing_among(connection, fanout.organisation, numbers, [Standing.ACTIVE])
            arrivals.open_again(connection, organisation, [new for new in newcomers if new.learner in active])


def enrolment_requested(context: EventContext, events: Sequence[Event]) -> None:
    """Enrol whom a request names, once for each request (R8, R9, R11, R13, R14, S16)."""
    for event in events:
        context.defer(event, _requested(context, event))
        context.know_enrolments()


def _requested(context: EventContext, event: Event) -> Deferred | None:
    data = event.data
    assert isinstance(data, EnrolmentRequested)  # noqa: S101 - the table of handlers says so
    connection, number = context.connection, context.number
    if fanouts.request_known(connection, number, data.request):
        fanouts.answer_again(connection, number, data.request)
        return None
    course = courses.find_course(connection, number, data.course)
    if course is None:
        return Deferred.unknown_course(number, data.course)
    selected = select(connection, number, data, event.time)
    if selected is None:
        return Deferred.unknown_segment(number, str(data.segment))
    fanout = fanouts.begin(
        connection,
        number,
        courses=[course.course],
        cycle=data.cycle,
        cause="request",
        occurred_at=event.time,
        mailing=_notice_for(connection, number, event, [course]) if data.notify and selected.eligible else None,
        learners=selected.eligible,
        request=data.request,
        selected=selected.total,
        reasons=msgspec.json.encode(selected.not_eligible).decode(),
    )
    launch(connection, context.settings, fanout, len(selected.eligible))
    return None


@dataclass(frozen=True, slots=True)
class Selected:
    """Whom a request selects: how many in all, the eligible by number, and the others counted by reason (R14)."""

    total: int
    eligible: list[int]
    not_eligible: dict[str, int]


def select(connection: Connection, organisation: int, asked: EnrolmentRequested, at: datetime) -> Selected | None:
    """Whom a request made at this time selects (R8, R9, S3); None: its segment is not saved yet."""
    if asked.segment is not UNSET:
        segment = saved_segments(connection, organisation, [asked.segment]).get(asked.segment)
        if segment is None:
            return None
        members = members_at(connection, organisation, segment, at)
        total = len(members)
        selection = selected_by_number(connection, organisation, members, at)
        whole = True
    else:
        ids = list(dict.fromkeys(asked.learners or []))
        total = len(ids)
        selection = selected_by_id(connection, organisation, ids, at)
        whole = asked.tab == "all"
    eligible = sorted(selection.active + selection.inactive) if whole else selection.active
    reasons = {
        NotEligible.UNKNOWN: total - selection.known,
        NotEligible.INACTIVE: selection.known - len(eligible),
    }
    return Selected(total, eligible, {reason: n for reason, n in reasons.items() if n})


def enrolment_withdrawn(context: EventContext, events: Sequence[Event]) -> None:
    """Withdraw learners by name (R10, S4). Of one nobody saved yet it is stored (S2)."""
    connection, number = context.connection, context.number
    for event in events:
        data = event.data
        assert isinstance(data, EnrolmentWithdrawn)  # noqa: S101 - the table of handlers says so
        course = courses.find_course(connection, number, data.course)
        if course is None:
            context.defer(event, Deferred.unknown_course(number, data.course))
            continue
        named = [learner.learner for learner in ensure(connection, number, data.learners).values()]
        store.withdraw(connection, number, course.course, named, data.cycle or 0, event.time)
        settle_places(connection, context.settings, number, [(course.course, learner) for learner in named])
