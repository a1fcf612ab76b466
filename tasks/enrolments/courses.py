"""Courses and the rules they carry, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import execute, integer, one, rows, tuples, value


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


@dataclass(frozen=True, slots=True)
class CourseDescription:
    """How an event describes a course. Of two with the same time the greater holds, whichever is heard last (R6)."""

    id: str
    title: str
    cost: int
    on_hold: bool
    method: str
    segments: dict[str, int]
    time: datetime

    @property
    def rank(self) -> tuple[object, ...]:
        """What decides between descriptions."""
        return self.time, self.method, sorted(self.segments), self.title, self.cost, self.on_hold


@dataclass(frozen=True, slots=True)
class _Rule:
    occurred_at: datetime
    method: str
    segments: list[int]
    ids: list[str]


def save_course(connection: Connection, organisation: int, said: CourseDescription) -> bool:
    """Describe a course, unless a newer description holds (R6), and add to the history of its rules; whether that is
    another than before, now or in the past."""
    known = course_details(connection, organisation, said.id)
    if known is None or known.rank < said.rank:
        _describe(connection, organisation, said)
    course = integer(connection, _NUMBER, organisation=organisation, id=said.id)
    before = one(connection, _Rule, _RULE_AT, organisation=organisation, course=course, at=said.time)
    again = before is not None and before.occurred_at == said.time
    if again and before is not None and (before.method, before.ids) >= (said.method, sorted(said.segments)):
        return False
    segments = sorted(set(said.segments.values()))
    execute(
        connection,
        """
        INSERT INTO course_rules (organisation, course, occurred_at, method, segments)
        VALUES (:organisation, :course, :at, :method, CAST(:segments AS int[]))
        ON CONFLICT (organisation, course, occurred_at)
        DO UPDATE SET method = excluded.method, segments = excluded.segments
        """,
        organisation=organisation,
        course=course,
        at=said.time,
        method=said.method,
        segments=segments,
    )
    rules_before = ("manual", []) if before is None else (before.method, before.segments)
    changed = again or _counting(*rules_before) != _counting(said.method, segments)
    if changed:
        execute(connection, _RULES_SINCE, organisation=organisation, course=course, at=said.time)
    return changed


def _counting(method: str, segments: list[int]) -> tuple[str, list[int]]:
    """A method, and links where they count (R10)."""
    return method, segments if method == "segments" else []


_RULES_SINCE = """
UPDATE courses SET rules_since = :at WHERE organisation = :organisation AND course = :course AND saved_at = :at
"""
_NUMBER = "SELECT course FROM courses WHERE organisation = :organisation AND id = :id"
#: The rules that held at a time.
_RULE_AT = """
SELECT r.occurred_at, r.method, r.segments, ARRAY(
    SELECT s.id FROM segments s
    WHERE s.organisation = :organisation AND s.segment = ANY(r.segments) ORDER BY s.id COLLATE "C") AS ids
FROM course_rules r WHERE r.organisation = :organisation AND r.course = :course AND r.occurred_at <= :at
ORDER BY r.occurred_at DESC LIMIT 1
"""


def _describe(connection: Connection, organisation: int, said: CourseDescription) -> None:
    course = value(
        connection,
        """
        INSERT INTO courses AS known (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
        VALUES (:organisation, :id, :title, :cost, :on_hold, :method, :time, :time)
        ON CONFLICT (organisation, id) DO UPDATE SET
            title = excluded.title, cost = excluded.cost, on_hold = excluded.on_hold, method = excluded.method,
            saved_at = excluded.saved_at
        RETURNING course
        """,
        organisation=organisation,
        id=said.id,
        title=said.title,
        cost=said.cost,
        on_hold=said.on_hold,
        method=said.method,
        time=said.time,
    )
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
        segments=sorted(set(said.segments.values())),
    )


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


def courses_ever_linked_to(connection: Connection, organisation: int, segment: int) -> dict[int, datetime]:
    """The courses for which being in this segment ever counted, each with the time of its newest description."""
    found = tuples(
        connection,
        """
        SELECT r.course, max(r.occurred_at) AS newest FROM course_rules r WHERE r.organisation = :organisation
        GROUP BY r.course HAVING bool_or(r.method = 'segments' AND :segment = ANY(r.segments)) ORDER BY r.course
        """,
        organisation=organisation,
        segment=segment,
    )
    return dict(found)


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


@dataclass(frozen=True, slots=True)
class CourseDetails:
    """A course, as described last, and the segments it is linked to. `saved_at`: when."""

    course: str
    title: str
    cost: int
    on_hold: bool
    method: str
    segments: list[str]
    saved_at: datetime

    @property
    def rank(self) -> tuple[object, ...]:
        """See `CourseDescription.rank`."""
        return self.saved_at, self.method, sorted(self.segments), self.title, self.cost, self.on_hold


_DETAILS = """
SELECT c.id AS course, c.title, c.cost, c.on_hold, c.method, ARRAY(
    SELECT s.id FROM course_segments cs JOIN segments s USING (organisation, segment)
    WHERE cs.organisation = c.organisation AND cs.course = c.course ORDER BY s.id COLLATE "C") AS segments, c.saved_at
FROM courses c WHERE c.organisation = :organisation
"""
_ONE = _DETAILS + " AND c.id = :id"
_AFTER = _DETAILS + " AND c.id > :after ORDER BY c.id LIMIT :limit"
_LINKED = (
    _DETAILS
    + """
  AND c.course IN (SELECT cs.course FROM course_segments cs
                   WHERE cs.organisation = :organisation AND cs.segment = :segment)
  AND c.id > :after ORDER BY c.id LIMIT :limit
"""
)


def course_details(connection: Connection, organisation: int, id_: str) -> CourseDetails | None:
    """A course, whole; None if it was not saved."""
    return one(connection, CourseDetails, _ONE, organisation=organisation, id=id_)


def courses_after(
    connection: Connection, organisation: int, id_: str, limit: int, *, segment: int | None = None
) -> list[CourseDetails]:
    """So many courses whose ids follow this one, in the order of ids; with a segment, those that are linked to it."""
    if segment is not None:
        linked: dict[str, object] = {"segment": segment, "after": id_, "limit": limit}
        return rows(connection, CourseDetails, _LINKED, organisation=organisation, **linked)
    return rows(connection, CourseDetails, _AFTER, organisation=organisation, after=id_, limit=limit)
