"""What would come of new rules of a course, or of a request for it, said before anybody does it."""

from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import UNSET
from sqlalchemy import Connection

from config import clock
from tasks import enrolments, seats
from tasks.acts.acting import Doing, act
from tasks.acts.changing import Cycle, check_selection, known_course, known_segments
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
    cycle: Cycle = 1
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


@act("courses.preview", "POST courses/{course}/preview", changes=False)
def preview(doing: Doing, asked: CourseChange) -> CoursePreview:
    """What would come of new rules or of a request: who is enrolled, silently or not, who is told and who is not and
    why, who is withdrawn, and for how many seats or credits starts could come. Nothing is changed."""
    check_selection(asked.learners, asked.tab, asked.segment, method=asked.method)
    with doing.transaction() as connection:
        org = doing.organisation
        course = known_course(connection, doing, asked.course)
        of = _of_rules if asked.method else _of_request
        found, selected = of(connection, doing, asked, course)
    return CoursePreview(
        course=course.id,
        enrolled=found.enrolled,
        silent=found.silent,
        already=found.already,
        withdrawn=found.withdrawn,
        notices=found.notices,
        not_told=found.not_told,
        starts=Startable(seats.unit_of(org), found.startable, found.startable * seats.price(org, course.cost)),
        selected=selected.total if selected else None,
        not_eligible=selected.not_eligible if selected else {},
    )


Found = tuple[enrolments.EnrolmentPreview, enrolments.Selected | None]


def _of_rules(connection: Connection, doing: Doing, asked: CourseChange, course: enrolments.Course) -> Found:
    named = list(dict.fromkeys(asked.segments or []))
    numbers = known_segments(connection, doing, named)
    found = enrolments.preview_rules(
        connection,
        doing.organisation,
        course,
        doing.runtime.settings.rollcall_notice_window_seconds,
        everyone=asked.method == EnrolmentMethod.EVERYONE,
        segments=list(numbers.values()) if asked.method == EnrolmentMethod.SEGMENTS else [],
    )
    return found, None


def _of_request(connection: Connection, doing: Doing, asked: CourseChange, course: enrolments.Course) -> Found:
    at = clock.now()
    if asked.segment is not None:
        known_segments(connection, doing, [asked.segment])
    request = EnrolmentRequested(
        "preview",
        course.id,
        asked.cycle,
        asked.notify,
        UNSET if asked.learners is None else asked.learners,
        UNSET if asked.tab is None else asked.tab.value,
        UNSET if asked.segment is None else asked.segment,
    )
    selected = enrolments.select(connection, doing.organisation.organisation, request, at)
    assert selected is not None  # noqa: S101 - the segment is known
    found = enrolments.preview_request(
        connection,
        doing.organisation,
        course,
        doing.runtime.settings.rollcall_notice_window_seconds,
        cycle=asked.cycle,
        at=at,
        learners=selected.eligible,
        notify=asked.notify,
    )
    return found, selected
