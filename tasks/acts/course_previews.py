"""What would come of new rules of a course, or of a request for it, said before anybody does it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from msgspec import UNSET
from sqlalchemy import Connection

from config.errors import BadField, Invalid, NotFound
from tasks import enrolments, learners, seats
from tasks.acts.acting import Doing, act
from tasks.events import EnrolmentRequested


class EnrolmentMethod(StrEnum):
    """How a course enrols (R7, R10)."""

    MANUAL = "manual"
    EVERYONE = "everyone"
    SEGMENTS = "segments"


class EnrolmentTab(StrEnum):
    """The tab of the users' page in which learners are ticked (R8)."""

    ACTIVE = "active"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class CourseChange:
    """New rules of a course (`method`, and `segments` if it is that), or a request for it: for a `segment`, or for
    `learners` ticked in a `tab`."""

    course: str
    method: EnrolmentMethod | None = None
    segments: list[str] | None = None
    learners: list[str] | None = None
    tab: EnrolmentTab | None = None
    segment: str | None = None
    cycle: int = 1
    notify: bool = True


@dataclass(frozen=True, slots=True)
class Startable:
    """The most that starts of those who are enrolled by it could consume, if each of them starts."""

    unit: str
    learners: int
    amount: int


@dataclass(frozen=True, slots=True)
class CoursePreview:
    """What would come of it. Of a request: selected = enrolled + silent + already + not eligible (R14). Of rules:
    everybody they concern; nobody is selected. Of the enrolled, `notices` are told at once."""

    course: str
    enrolled: int
    silent: int
    already: int
    withdrawn: int
    notices: int
    not_told: dict[str, int]
    starts: Startable
    selected: int | None = None
    not_eligible: dict[str, int] = field(default_factory=dict)
    unknown_segments: list[str] = field(default_factory=list)


@act("courses.preview", "POST courses/{course}/preview", changes=False)
def preview(doing: Doing, asked: CourseChange) -> CoursePreview:
    """What would come of new rules or of a request: who is enrolled, silently or not, who is told and who is not and
    why, who is withdrawn, and for how many seats or credits starts could come. Nothing is changed."""
    if sum(part is not None for part in (asked.method, asked.learners, asked.segment)) != 1:
        raise Invalid("Say exactly one of method, learners and segment.", [BadField("", "one of three is needed")])
    with doing.transaction() as connection:
        org = doing.organisation
        course = enrolments.find_course(connection, org.organisation, asked.course)
        if course is None:
            raise NotFound(f"There is no course {asked.course!r} in the organisation {org.id!r}.")
        charging = enrolments.Charging(seats.unit_of(org), seats.period_of(org))
        of = _of_rules if asked.method else _of_request
        found, selected, unknown = of(connection, doing, asked, course, charging)
    each = 1 if charging.unit == "seat" else course.cost
    return CoursePreview(
        course=course.id,
        enrolled=found.enrolled,
        silent=found.silent,
        already=found.already,
        withdrawn=found.withdrawn,
        notices=found.notices,
        not_told=found.not_told,
        starts=Startable(charging.unit, found.startable, found.startable * each),
        selected=selected.total if selected else None,
        not_eligible=selected.not_eligible if selected else {},
        unknown_segments=unknown,
    )


Found = tuple[enrolments.EnrolmentPreview, enrolments.Selected | None, list[str]]


def _of_rules(
    connection: Connection, doing: Doing, asked: CourseChange, course: enrolments.Course, charging: enrolments.Charging
) -> Found:
    named = asked.segments or [] if asked.method == "segments" else []
    numbers = learners.known_segments(connection, doing.organisation.organisation, named)
    found = enrolments.preview_rules(
        connection,
        doing.organisation.organisation,
        course,
        charging,
        doing.runtime.settings.rollcall_notice_window_seconds,
        everyone=asked.method == "everyone",
        segments=list(numbers.values()),
    )
    return found, None, [id_ for id_ in named if id_ not in numbers]


def _of_request(
    connection: Connection, doing: Doing, asked: CourseChange, course: enrolments.Course, charging: enrolments.Charging
) -> Found:
    at = datetime.now(UTC)
    try:
        request = EnrolmentRequested(
            "preview",
            course.id,
            asked.cycle,
            asked.notify,
            UNSET if asked.learners is None else asked.learners,
            UNSET if asked.tab is None else asked.tab.value,
            UNSET if asked.segment is None else asked.segment,
        )
    except ValueError as problem:
        raise Invalid(f"{problem}.") from None
    selected = enrolments.select(connection, doing.organisation.organisation, request, at)
    if selected is None:
        raise NotFound(f"There is no segment {asked.segment!r} in the organisation {doing.organisation.id!r}.")
    found = enrolments.preview_request(
        connection,
        doing.organisation.organisation,
        course,
        charging,
        doing.runtime.settings.rollcall_notice_window_seconds,
        cycle=asked.cycle,
        at=at,
        learners=selected.eligible,
        notify=asked.notify,
    )
    return found, selected, []
