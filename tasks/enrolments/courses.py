"""Courses and the rules they carry, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import column, execute, one, rows, value


@dataclass(frozen=True, slots=True)
class Course:
    """A course, as described last."""

    course: int
    id: str
    title: str
    cost: int
    on_hold: bool
    method: str


def find_course(connection: Connection, organisation: int, id_: str) -> Course | None:
    """The course with this id, if it was saved."""
    return one(
        connection,
        Course,
        """
        SELECT course, id, title, cost, on_hold, method FROM courses
        WHERE organisation = :organisation AND id = :id
        """,
        organisation=organisation,
        id=id_,
    )


def courses_numbered(connection: Connection, organisation: int, numbers: Sequence[int]) -> list[Course]:
    """The courses with these numbers, in the order of the numbers."""
    return rows(
        connection,
        Course,
        """
        SELECT c.course, c.id, c.title, c.cost, c.on_hold, c.method
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:numbers AS int[])) AS course) asked
        JOIN courses c ON c.organisation = asked.organisation AND c.course = asked.course
        ORDER BY c.course
        """,
        organisation=organisation,
        numbers=list(dict.fromkeys(numbers)),
    )


def save_course(
    connection: Connection,
    organisation: int,
    *,
    id_: str,
    title: str,
    cost: int,
    on_hold: bool,
    method: str,
    segments: Sequence[int],
    time: datetime,
) -> bool:
    """Describe a course, unless a newer description holds (R6); whether the rules for it are new."""
    before = find_course(connection, organisation, id_)
    rules_before = ("manual", []) if before is None else _rules_of(connection, organisation, before)
    course = value(
        connection,
        """
        INSERT INTO courses AS known (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
        VALUES (:organisation, :id, :title, :cost, :on_hold, :method, :time, :time)
        ON CONFLICT (organisation, id) DO UPDATE SET
            title = excluded.title, cost = excluded.cost, on_hold = excluded.on_hold, method = excluded.method,
            saved_at = excluded.saved_at
        WHERE known.saved_at <= excluded.saved_at
        RETURNING course
        """,
        organisation=organisation,
        id=id_,
        title=title,
        cost=cost,
        on_hold=on_hold,
        method=method,
        time=time,
    )
    if course is None:
        return False
    execute(
        connection,
        "DELETE FROM course_segments WHERE organisation = :organisation AND course = :course",
        organisation=organisation,
        course=course,
    )
    execute(
        connection,
        """
        INSERT INTO course_segments (organisation, course, segment)
        SELECT :organisation, :course, segment FROM unnest(CAST(:segments AS int[])) AS new (segment)
        """,
        organisation=organisation,
        course=course,
        segments=list(segments),
    )
    if (method, sorted(segments) if method == "segments" else []) == rules_before:
        return False
    execute(
        connection,
        "UPDATE courses SET rules_since = :time WHERE organisation = :organisation AND course = :course",
        organisation=organisation,
        course=course,
        time=time,
    )
    return True


def _rules_of(connection: Connection, organisation: int, course: Course) -> tuple[str, list[int]]:
    """A course's method and, where they count, its links."""
    if course.method != "segments":
        return course.method, []
    linked = column(
        connection,
        "SELECT segment FROM course_segments WHERE organisation = :organisation AND course = :course ORDER BY segment",
        organisation=organisation,
        course=course.course,
    )
    return course.method, linked


def courses_linked_to(connection: Connection, organisation: int, segment: int) -> list[Course]:
    """The courses for which being in this segment counts."""
    return rows(
        connection,
        Course,
        """
        SELECT c.course, c.id, c.title, c.cost, c.on_hold, c.method
        FROM (SELECT CAST(:organisation AS int) AS organisation, CAST(:segment AS int) AS segment OFFSET 0) asked
        JOIN course_segments cs ON cs.organisation = asked.organisation AND cs.segment = asked.segment
        JOIN courses c ON c.organisation = cs.organisation AND c.course = cs.course
        WHERE c.method = 'segments' ORDER BY c.course
        """,
        organisation=organisation,
        segment=segment,
    )


def courses_touching(connection: Connection, organisation: int, learner: int) -> list[Course]:
    """The courses whose rules may enrol or withdraw this learner."""
    return rows(
        connection,
        Course,
        """
        SELECT course, id, title, cost, on_hold, method FROM courses
        WHERE organisation = :organisation AND method <> 'manual'
        UNION
        SELECT c.course, c.id, c.title, c.cost, c.on_hold, c.method
        FROM (SELECT CAST(:organisation AS int) AS organisation, CAST(:learner AS int) AS learner OFFSET 0) asked
        JOIN enrolments e ON e.organisation = asked.organisation AND e.learner = asked.learner AND e.cycle = 1
        JOIN courses c ON c.organisation = e.organisation AND c.course = e.course
        ORDER BY course
        """,
        organisation=organisation,
        learner=learner,
    )


def all_courses(connection: Connection, organisation: int) -> list[Course]:
    """Every course of an organisation."""
    return rows(
        connection,
        Course,
        """
        SELECT course, id, title, cost, on_hold, method FROM courses
        WHERE organisation = :organisation ORDER BY course
        """,
        organisation=organisation,
    )


def courses_with_rules(connection: Connection, organisation: int) -> list[Course]:
    """The courses that enrol by a rule (R7, R10)."""
    return [course for course in all_courses(connection, organisation) if course.method != "manual"]
