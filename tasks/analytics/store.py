"""Numbers by course, segment and day, as SQL: as they were counted last or, if there is little to count, as they are.

What is kept and what is counted has the same columns, so each question is asked of either.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection

from config.database import execute, rows, the_one, value, without_nested_loops
from config.sql import query
from tasks import seats, work
from tasks.analytics.rules import LOST, UsedDay, is_stale
from tasks.organisations import Organisation
from tasks.reports import CourseSummary

#: Learners, memberships, enrolments and entries of the ledger: so many are few enough to be counted whenever somebody
#: looks.
FEW = 10_000

#: Days that are counted, up to today.
DAYS = 366

#: More than anybody is enrolled in: where a list begins.
FIRST = (1 << 62, "")


@dataclass(frozen=True, slots=True)
class CountState:
    """How an organisation is counted: `live`, as it is now; else as it was at `counted_at`, if it ever was."""

    live: bool
    now: datetime
    asked_at: datetime | None = None
    counted_at: datetime | None = None
    seconds: float = 0


@dataclass(frozen=True, slots=True)
class SegmentSummary:
    """How far the active members of one segment have come, in all courses (R29)."""

    segment: str
    name: str
    members: int
    enrolled: int
    started: int
    completed: int


@dataclass(frozen=True, slots=True)
class TrainingDay:
    """What the active started and completed on a day (UTC)."""

    day: date
    started: int
    completed: int


def state(connection: Connection, organisation: int) -> CountState:
    """How an organisation is counted: it looks at few rows, however many there are."""
    return the_one(
        connection,
        CountState,
        """
        SELECT (SELECT learners FROM organisations WHERE organisation = :organisation) < :most
           AND (SELECT count(*) FROM (
                   SELECT FROM memberships WHERE organisation = :organisation LIMIT :most) m) < :most
           AND (SELECT count(*) FROM (
                   SELECT FROM enrolments WHERE organisation = :organisation LIMIT :most) e) < :most
           AND (SELECT count(*) FROM (
                   SELECT FROM consumptions WHERE organisation = :organisation LIMIT :most) c) < :most AS live,
               now() AS now, kept.asked_at, kept.counted_at, coalesce(kept.seconds, 0) AS seconds
        FROM (SELECT) nothing LEFT JOIN counts kept ON kept.organisation = :organisation
        """,
        organisation=organisation,
        most=FEW + 1,
    )


def ask_for_count(connection: Connection, organisation: int, known: CountState) -> bool:
    """Have a worker count, if it is time and none was asked; whether one is at it."""
    if known.live or not is_stale(known.now, known.counted_at, known.seconds):
        return False
    asked = value(
        connection,
        """
        INSERT INTO counts AS kept (organisation, asked_at) VALUES (:organisation, now())
        ON CONFLICT (organisation) DO UPDATE SET asked_at = now()
        WHERE kept.asked_at <= kept.counted_at OR kept.asked_at < now() - CAST(:lost AS interval)
        RETURNING 1
        """,
        organisation=organisation,
        lost=LOST,
    )
    if asked:
        work.add(connection, organisation, "tasks", "analytics.count", 0)
    return True


def count_all(connection: Connection, organisation: Organisation, since: date) -> None:
    """Count everything, and keep it in place of what was kept."""
    number, began = organisation.organisation, time.monotonic()
    without_nested_loops(connection)
    execute(connection, "DELETE FROM course_counts WHERE organisation = :organisation", organisation=number)
    execute(
        connection,
        "INSERT INTO course_counts (organisation, id, title, enrolled, started, completed, not_started, withdrawn) "
        + query("analytics.courses"),
        organisation=number,
    )
    execute(connection, "DELETE FROM segment_counts WHERE organisation = :organisation", organisation=number)
    execute(
        connection,
        "INSERT INTO segment_counts (organisation, id, name, members, enrolled, started, completed) "
        + query("analytics.segments"),
        organisation=number,
    )
    execute(connection, "DELETE FROM training_days WHERE organisation = :organisation", organisation=number)
    execute(
        connection,
        "INSERT INTO training_days (organisation, id, day, started, completed) " + query("analytics.days"),
        organisation=number,
        since=since,
    )
    execute(connection, "DELETE FROM ledger_days WHERE organisation = :organisation", organisation=number)
    execute(
        connection,
        "INSERT INTO ledger_days (organisation, unit, period, day, used, entries, overdrawn) "
        + query("analytics.ledger"),
        organisation=number,
        **seats.charging(organisation),
    )
    execute(
        connection,
        """
        INSERT INTO counts (organisation, asked_at, counted_at, seconds)
        VALUES (:organisation, now(), now(), :seconds)
        ON CONFLICT (organisation) DO UPDATE SET counted_at = now(), seconds = :seconds
        """,
        organisation=number,
        seconds=time.monotonic() - began,
    )


#: A page of courses, or of segments, those with most enrolled first.
_LARGEST = """
    WHERE organisation = :organisation AND enrolled <= :enrolled AND (enrolled < :enrolled OR id > :id)
    ORDER BY enrolled DESC, id LIMIT :limit
"""


def courses(
    connection: Connection, organisation: int, *, live: bool, after: tuple[int, str] = FIRST, limit: int
) -> list[CourseSummary]:
    """Courses, those with most enrolled first. `after`: how many are enrolled in the last one before, and its id."""
    without_nested_loops(connection)
    source = f"({query('analytics.courses')}) counted" if live else "course_counts"
    return rows(
        connection,
        CourseSummary,
        f"""
        SELECT id AS course, title, enrolled, started, completed, not_started, withdrawn
        FROM {source}
        {_LARGEST}
        """,
        organisation=organisation,
        enrolled=after[0],
        id=after[1],
        limit=limit,
    )


def segments(
    connection: Connection, organisation: int, *, live: bool, after: tuple[int, str] = FIRST, limit: int
) -> list[SegmentSummary]:
    """Segments, those with most enrolments first. `after`: see `courses`."""
    without_nested_loops(connection)
    source = f"({query('analytics.segments')}) counted" if live else "segment_counts"
    return rows(
        connection,
        SegmentSummary,
        f"""
        SELECT id AS segment, name, members, enrolled, started, completed
        FROM {source}
        {_LARGEST}
        """,
        organisation=organisation,
        enrolled=after[0],
        id=after[1],
        limit=limit,
    )


def days(
    connection: Connection, organisation: int, course: str | None, since: date, *, live: bool
) -> Sequence[TrainingDay]:
    """The days on which anything was started or completed, of one course or of all."""
    without_nested_loops(connection)
    source = f"({query('analytics.days')}) counted" if live else "training_days"
    return rows(
        connection,
        TrainingDay,
        f"""
        SELECT day, started, completed FROM {source}
        WHERE organisation = :organisation AND id = :id AND day >= :since ORDER BY day
        """,
        organisation=organisation,
        id=course or "",
        since=since,
    )


def used_days(connection: Connection, organisation: Organisation, *, live: bool) -> list[UsedDay]:
    """The days of the current licence period on which anything was used."""
    source = f"({query('analytics.ledger')}) counted" if live else "ledger_days"
    return rows(
        connection,
        UsedDay,
        f"""
        SELECT day, used, entries, overdrawn FROM {source}
        WHERE organisation = :organisation AND unit = :unit AND period = :period ORDER BY day
        """,
        organisation=organisation.organisation,
        **seats.charging(organisation),
    )
