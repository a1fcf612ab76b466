"""What is counted, as SQL."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import rows, tuples, without_nested_loops
from config.sql import query


@dataclass(frozen=True, slots=True)
class CourseCount:
    """How the enrolments of one course were recorded, and what became of them."""

    course: str
    title: str
    enrolled: int
    silent: int
    withdrawn: int
    started: int
    completed: int
    access: int


@dataclass(frozen=True, slots=True)
class CourseSummary:
    """How far the active learners of one course have come (R29). `enrolled` = `started` + `not_started`; a withdrawn
    enrolment counts as `withdrawn` alone, and each cycle counts by itself, as each is a row of the export."""

    course: str
    title: str
    enrolled: int
    started: int
    completed: int
    not_started: int
    withdrawn: int


@dataclass(frozen=True, slots=True)
class ArchivedRow:
    """An enrolment of a learner who is inactive; of one who was never enrolled all of it is None."""

    number: int
    learner: str
    username: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    course: str | None
    title: str | None
    cycle: int | None
    enrolled_at: datetime | None
    silent: bool | None
    started_at: datetime | None
    completed_at: datetime | None
    result: str | None
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class MailCount:
    """How the deliveries of one kind of mail stand."""

    kind: str
    state: str
    reason: str | None
    n: int


def headcounts(connection: Connection, organisation: int) -> dict[str, int]:
    """Learners by how they stand; who was only mentioned so far does not count."""
    found = tuples(
        connection,
        """
        SELECT standing, count(*) AS n FROM learners
        WHERE organisation = :organisation AND standing <> 'unsaved' GROUP BY standing
        """,
        organisation=organisation,
    )
    return dict(found)


def course_counts(connection: Connection, organisation: int) -> list[CourseCount]:
    """Every course that somebody is or was enrolled in."""
    without_nested_loops(connection)
    return rows(
        connection,
        CourseCount,
        query("reports.course_counts"),
        organisation=organisation,
    )


def summary(connection: Connection, organisation: int, course: str | None = None) -> list[CourseSummary]:
    """Analytics of one course or of all, those nobody takes too; whoever is not active now is left out (R29)."""
    without_nested_loops(connection)
    return rows(
        connection,
        CourseSummary,
        query("reports.summary"),
        organisation=organisation,
        course=course,
    )


def mail_counts(connection: Connection, organisation: int) -> list[MailCount]:
    """Deliveries by kind of mail and how they stand."""
    return rows(
        connection,
        MailCount,
        """
        SELECT m.kind, d.state, d.reason, count(*) AS n
        FROM deliveries d JOIN mailings m USING (organisation, mailing)
        WHERE d.organisation = :organisation GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        organisation=organisation,
    )


def archived(connection: Connection, organisation: int, after: int, limit: int) -> list[ArchivedRow]:
    """The enrolments of so many inactive learners, those `after` one, by their number (R29, R30)."""
    return rows(connection, ArchivedRow, query("reports.archived"), organisation=organisation, after=after, limit=limit)
