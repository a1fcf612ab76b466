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


def course_numbered(connection: Connection, organisation: int, course: int) -> Course:
    """The course with this number."""
    found = one(
        connection,
        Course,
        """
        SELECT course, id, title, cost, on_hold, method FROM courses
        WHERE organisation = :organisation AND course = :course
        """,
        organisation=organisation,
        course=course,
    )
    if found is None:
        raise LookupError(f"no course has the number {course}")
    return found


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
    before = _rules_of(connection, organisation, id_)
    newest = execute(
        connection,
        """
        INSERT INTO courses AS known (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
        VALUES (:organisation, :id, :title, :cost, :on_hold, :method, :time, :time)
        ON CONFLICT (organisation, id) DO UPDATE SET
            title = excluded.title, cost = excluded.cost, on_hold = excluded.on_hold, method = excluded.method,
            saved_at = excluded.saved_at
        WHERE known.saved_at <= excluded.saved_at
        """,
        organisation=organisation,
        id=id_,
        title=title,
        cost=cost,
        on_hold=on_hold,
        method=method,
        time=time,
    )
    if not newest:
        return False
    execute(
        connection,
        """
        DELETE FROM course_segments cs USING courses c
        WHERE c.organisation = :organisation AND c.id = :id
          AND cs.organisation = c.organisation AND cs.course = c.course
        """,
        organisation=organisation,
        id=id_,
    )
    execute(
        connection,
        """
        INSERT INTO course_segments (organisation, course, segment)
        SELECT c.organisation, c.course, segment FROM courses c, unnest(CAST(:segments AS int[])) AS new (segment)
        WHERE c.organisation = :organisation AND c.id = :id
        """,
        organisation=organisation,
        id=id_,
        segments=list(segments),
    )
    if _rules_of(connection, organisation, id_) == before:
        return False
    execute(
        connection,
        "UPDATE courses SET rules_since = :time WHERE organisation = :organisation AND id = :id",
        organisation=organisation,
        id=id_,
        time=time,
    )
    return True


def _rules_of(connection: Connection, organisation: int, id_: str) -> tuple[str, list[int]]:
    """A course's method and, where they count, its links."""
    method: str = (
        value(
            connection,
            "SELECT method FROM courses WHERE organisation = :organisation AND id = :id",
            organisation=organisation,
            id=id_,
        )
        or "manual"
    )
    if method != "segments":
        return method, []
    linked = column(
        connection,
        """
        SELECT cs.segment FROM courses c JOIN course_segments cs USING (organisation, course)
        WHERE c.organisation = :organisation AND c.id = :id ORDER BY 1
        """,
        organisation=organisation,
        id=id_,
    )
    return method, linked


def courses_linked_to(connection: Connection, organisation: int, segment: int) -> list[int]:
    """The courses for which being in this segment counts."""
    return column(
        connection,
        """
        SELECT c.course FROM course_segments cs JOIN courses c USING (organisation, course)
        WHERE cs.organisation = :organisation AND cs.segment = :segment AND c.method = 'segments' ORDER BY 1
        """,
        organisation=organisation,
        segment=segment,
    )


def courses_touching(connection: Connection, organisation: int, learner: int) -> list[int]:
    """The courses whose rules may enrol or withdraw this learner."""
    return column(
        connection,
        """
        SELECT course FROM courses WHERE organisation = :organisation AND method <> 'manual'
        UNION
        SELECT course FROM enrolments WHERE organisation = :organisation AND learner = :learner AND cycle = 1
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
