"""What events about courses, requests and withdrawals do, and what the rules do for learners who are new."""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection

from config.settings import Settings
from tasks import mail
from tasks.enrolments import courses, fanouts, store
from tasks.enrolments.actors import launch
from tasks.enrolments.courses import Course
from tasks.enrolments.rules import NotEligible
from tasks.events import Cause, Event, Held, Reason, emit
from tasks.events.outgoing import MOST_IDS, EnrolmentChanged
from tasks.events.schemas import CourseSaved, EnrolmentRequested, EnrolmentWithdrawn
from tasks.learners import (
    chunks,
    ensure,
    ensure_segments,
    members_at,
    saved_segment,
    selected_by_id,
    selected_by_number,
)
from tasks.organisations import Organisation


def course_saved(connection: Connection, settings: Settings, organisation: Organisation, event: Event) -> None:
    """Describe a course; where its rules are new, bring everybody's enrolments in line with them (R7, R10)."""
    data = event.data
    assert isinstance(data, CourseSaved)  # noqa: S101 - the intake's table says so
    linked = ensure_segments(connection, organisation.organisation, data.segments)
    changed = courses.save_course(
        connection,
        organisation.organisation,
        id_=data.course,
        title=data.title,
        cost=data.cost,
        on_hold=data.on_hold,
        method=data.method,
        segments=sorted(set(linked.values())),
        time=event.time,
    )
    if changed:
        course = courses.find_course(connection, organisation.organisation, data.course)
        assert course is not None  # noqa: S101 - saved just now
        _by_rule(connection, settings, organisation, event, [course], None)


def membership_changed(
    connection: Connection,
    settings: Settings,
    organisation: Organisation,
    event: Event,
    segment: int,
    learners: Sequence[int],
) -> None:
    """Joining a linked segment enrols, leaving it withdraws that source (R9, R10)."""
    linked = [
        courses.course_numbered(connection, organisation.organisation, course)
        for course in courses.courses_linked_to(connection, organisation.organisation, segment)
    ]
    if linked and learners:
        _by_rule(connection, settings, organisation, event, linked, learners)


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
    connection: Connection, organisation: Organisation, newcomers: Sequence[store.Newcomer]
) -> list[store.Enrolled]:
    """Apply the standing rules to learners who are new: each is told in one mail of all it brought (R7, R12)."""
    recorded = store.enrol_newcomers(connection, organisation.organisation, newcomers)
    told = [entry for entry in recorded if not entry.silent and not entry.on_hold]
    if told:
        mailings = mail.new_mailings(
            connection, organisation.organisation, mail.Kind.ENROLMENT, [entry.cause for entry in told]
        )
        store.tell(
            connection,
            organisation.organisation,
            [(entry.course, 1, entry.learner, mailings[entry.cause]) for entry in told],
        )
        pairs = sorted({(mailings[entry.cause], entry.learner) for entry in told})
        mail.open_for_pairs(connection, organisation.organisation, pairs, "mail")
    by_course: dict[str, list[store.Enrolled]] = {}
    for entry in recorded:
        by_course.setdefault(entry.course_id, []).append(entry)
    emit(
        connection,
        organisation.organisation,
        "rollcall.enrolment.changed",
        [
            EnrolmentChanged(
                course=course,
                cycle=1,
                cause="rule",
                enrolled=[entry.id for entry in entries if not entry.silent],
                silent=[entry.id for entry in entries if entry.silent],
                withdrawn=[],
            )
            for course, all_of_it in by_course.items()
            for low, high in chunks(len(all_of_it), MOST_IDS)
            for entries in [all_of_it[low - 1 : high]]
        ],
    )
    return recorded


def learner_returned(
    connection: Connection, settings: Settings, organisation: Organisation, event: Cause, learner: int
) -> None:
    """Bring what a learner had before they were deleted in line with the rules as they stand now (R7, R10)."""
    touched = [
        courses.course_numbered(connection, organisation.organisation, course)
        for course in courses.courses_touching(connection, organisation.organisation, learner)
    ]
    if touched:
        _by_rule(connection, settings, organisation, event, touched, [learner])


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
    connection: Connection, organisation: Organisation, learners: Sequence[store.Newcomer]
) -> list[store.Accessible]:
    """Give full access to learners who are active again (R4), and one digest of what became available where their
    organisation wants it (R12, S7); what they have access to now."""
    number = organisation.organisation
    who = [learner.learner for learner in learners]
    opened = store.activate(connection, number, who, [learner.occurred_at for learner in learners])
    if opened and organisation.reactivation_digest:
        causes = {learner.learner: learner.cause for learner in learners}
        mailings = mail.new_mailings(connection, number, mail.Kind.DIGEST, [causes[entry.learner] for entry in opened])
        told = [(entry.course, entry.cycle, entry.learner, mailings[causes[entry.learner]]) for entry in opened]
        store.tell(connection, number, told)
        mail.open_for_pairs(connection, number, sorted({(mailing, learner) for _, _, learner, mailing in told}), "mail")
    return store.accessible(connection, number, who)


def requested(connection: Connection, settings: Settings, organisation: Organisation, event: Event) -> Held | None:
    """Enrol whom a request names, once for each request (R8, R9, R11, R13, R14, S16)."""
    data = event.data
    assert isinstance(data, EnrolmentRequested)  # noqa: S101 - the intake's table says so
    number = organisation.organisation
    if fanouts.request_known(connection, number, data.request):
        fanouts.answer_again(connection, number, data.request)
        return None
    course = courses.find_course(connection, number, data.course)
    if course is None:
        return unknown_course(organisation, data.course)
    if data.segment is not UNSET:
        segment = saved_segment(connection, number, data.segment)
        if segment is None:
            return Held(
                Reason.UNKNOWN_SEGMENT,
                f"the segment {data.segment} is not known",
                f"segment:{number}:{data.segment}",
            )
        members = members_at(connection, number, segment, event.time)
        total = len(members)
        selection = selected_by_number(connection, number, members, event.time)
        whole = True
    else:
        ids = list(dict.fromkeys(data.learners or []))
        total = len(ids)
        selection = selected_by_id(connection, number, ids, event.time)
        whole = data.tab == "all"
    eligible = sorted(selection.active + selection.inactive) if whole else selection.active
    reasons = {
        NotEligible.UNKNOWN: total - selection.known,
        NotEligible.INACTIVE: selection.known - len(eligible),
    }
    fanout = fanouts.begin(
        connection,
        number,
        courses=[course.course],
        cycle=data.cycle,
        cause="request",
        occurred_at=event.time,
        mailing=_notice_for(connection, number, event, [course]) if data.notify and eligible else None,
        learners=eligible,
        request=data.request,
        selected=total,
        reasons=msgspec.json.encode({reason: n for reason, n in reasons.items() if n}).decode(),
    )
    launch(connection, settings, fanout, len(eligible))
    return None


def withdrawn(connection: Connection, organisation: Organisation, event: Event) -> Held | None:
    """Withdraw learners by name (R10, S4). Of one nobody saved yet it is kept (S2)."""
    data = event.data
    assert isinstance(data, EnrolmentWithdrawn)  # noqa: S101 - the intake's table says so
    course = courses.find_course(connection, organisation.organisation, data.course)
    if course is None:
        return unknown_course(organisation, data.course)
    found = ensure(connection, organisation.organisation, data.learners)
    store.withdraw(
        connection,
        organisation.organisation,
        course.course,
        [learner.learner for learner in found.values()],
        data.cycle or 0,
        event.time,
    )
    return None


def unknown_course(organisation: Organisation, course: str) -> Held:
    """What acts on a course nobody saved yet waits for it (R6)."""
    return Held(
        Reason.UNKNOWN_COURSE, f"the course {course} is not known", f"course:{organisation.organisation}:{course}"
    )
