"""Courses, and the rules by which they enrol."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta
from sqlalchemy import Connection

from config.errors import Conflict, NotFound
from config.phrases import NO_COURSE
from tasks import enrolments
from tasks.acts.acting import Doing, act
from tasks.acts.changing import begun, happen, known_segments, moment_after, under_way
from tasks.acts.paging import USUAL, After, Begun, Limit, Page, keys_after, page
from tasks.enrolments import CourseDetails, EnrolmentCounts


@dataclass(frozen=True, slots=True)
class CoursesAsked:
    """Which part of the list. `segment`: only courses that are linked to it, whatever their method is now."""

    segment: str | None = None
    limit: Limit = USUAL
    after: After | None = None


@dataclass(frozen=True, slots=True)
class OneCourse:
    """Which course."""

    course: str


@dataclass(frozen=True, slots=True)
class CourseMethod:
    """Whom a course enrols by rule: nobody, everyone, or the members of segments."""

    course: str
    method: Literal["manual", "everyone", "segments"]
    segments: Annotated[list[str], Meta(max_length=10_000)]


@act("courses.list", "GET courses")
def list_(doing: Doing, asked: CoursesAsked) -> Page[CourseDetails]:
    """List courses with their methods, in the order of their ids."""
    number = doing.organisation.organisation
    listed = ("courses", number, *([asked.segment] if asked.segment else []))
    (after,) = keys_after(asked.after, tuple[str], *listed) or ("",)
    with doing.transaction() as connection:
        of = None if asked.segment is None else known_segments(connection, doing, [asked.segment])[asked.segment]
        found = enrolments.courses_after(connection, number, after, asked.limit + 1, segment=of)
    return page(found, asked.limit, lambda one: (one.course,), *listed)


@act("courses.show", "GET courses/{course}")
def show(doing: Doing, asked: OneCourse) -> CourseDetails:
    """Show a course."""
    with doing.transaction() as connection:
        return _details(connection, doing, asked.course)


def _details(connection: Connection, doing: Doing, id_: str) -> CourseDetails:
    found = enrolments.course_details(connection, doing.organisation.organisation, id_)
    if found is None:
        raise NotFound(NO_COURSE(course=repr(id_), organisation=repr(doing.organisation.id)))
    return found


@act("courses.method", "PUT courses/{course}/method", conditional=True)
def set_method(doing: Doing, asked: CourseMethod) -> CourseDetails | Begun[EnrolmentCounts]:
    """Change whom a course enrols by rule (R7, R10); in effect when this returns, but for the enrolments of many."""
    segments = list(dict.fromkeys(asked.segments))
    with doing.alone(f"course {asked.course}"):
        return _set_method(doing, asked, segments)


def _set_method(doing: Doing, asked: CourseMethod, segments: list[str]) -> CourseDetails | Begun[EnrolmentCounts]:
    with doing.transaction() as connection:
        before = _details(connection, doing, asked.course)
        doing.check_unchanged(before)
        known_segments(connection, doing, segments)
        was, is_now = (
            {"method": before.method, "segments": before.segments},
            {"method": asked.method, "segments": segments},
        )
        doing.record(connection, asked.course, before=was, after=is_now, outcome="begun")
    at = moment_after(before.saved_at)
    said = {"course": before.course, "title": before.title, "cost": before.cost, "on_hold": before.on_hold}
    happen(doing, "course.saved", said | {"method": asked.method, "segments": segments}, at)
    with doing.transaction() as connection:
        now = _details(connection, doing, asked.course)
        if (now.method, now.segments) != (asked.method, sorted(segments)):
            raise Conflict(f"The course {asked.course!r} was described anew meanwhile: read it again.")
        doing.record(connection, asked.course, before=was, after=is_now)
        fanout = under_way(connection, doing, at)
        return now if fanout is None else begun(connection, doing, fanout)
