"""Who is enrolled in a course, as a list shows it, and what enrols many at this moment, as SQL.

A page of the list is found by looking at so many enrolments in the order of their keys, so that each costs the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import numbered_rows, rows, tuples
from config.sql import query
from tasks.enrolments.fragments import UNDER_WAY


@dataclass(frozen=True, slots=True)
class EnrolledLearner:
    """A learner in a cycle of a course, or no longer: then `withdrawn_at`, and `withdrawn_by` a rule or by name."""

    learner: str
    status: str
    username: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    cycle: int
    silent: bool
    enrolled_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    withdrawn_at: datetime | None
    withdrawn_by: str | None


@dataclass(frozen=True, slots=True)
class RunningFanout:
    """Something that enrols or withdraws many, and is under way: a request, new rules (`rule`), or the rules for
    learners who came, came back or are active again. `course`: None if it is about several."""

    fanout: int
    cause: str
    course: str | None
    title: str | None
    began_at: datetime


def enrolled_after(
    connection: Connection,
    organisation: int,
    course: int,
    after: tuple[int, int],
    states: Sequence[str],
    scanned: int,
    limit: int,
) -> list[tuple[int, EnrolledLearner]]:
    """The first enrolments in a course behind a cycle and learner, of the next so many that are looked at, each with
    the number of its learner, by which they are ordered after the cycle. `states`: enrolled, withdrawn."""
    return numbered_rows(
        connection,
        EnrolledLearner,
        query("enrolments.roster"),
        organisation=organisation,
        course=course,
        cycle=after[0],
        after=after[1],
        states=list(states),
        scanned=scanned,
        limit=limit,
    )


def roster_scanned_to(
    connection: Connection, organisation: int, course: int, after: tuple[int, int], scanned: int
) -> tuple[int, int] | None:
    """The last that was looked at; None if that is the last there is."""
    [(n, cycle, learner)] = tuples(
        connection,
        """
        SELECT count(*) AS n, coalesce(max(cycle), 0) AS cycle,
               coalesce(max(learner) FILTER (WHERE cycle = last), 0) AS learner
        FROM (SELECT cycle, learner, max(cycle) OVER () AS last FROM (
                  SELECT e.cycle, e.learner FROM enrolments e
                  WHERE e.organisation = :organisation AND e.course = :course
                    AND (e.cycle, e.learner) > (CAST(:cycle AS int), CAST(:after AS int))
                  ORDER BY e.cycle, e.learner LIMIT :scanned) looked) ended
        """,
        organisation=organisation,
        course=course,
        cycle=after[0],
        after=after[1],
        scanned=scanned,
    )
    return (cycle, learner) if n == scanned else None


def running(connection: Connection, organisation: int, limit: int) -> list[RunningFanout]:
    """What is under way, the oldest first."""
    return rows(
        connection,
        RunningFanout,
        f"""
        SELECT f.fanout, f.cause, c.id AS course, c.title, f.occurred_at AS began_at
        FROM fanouts f LEFT JOIN courses c ON c.organisation = f.organisation AND c.course = f.courses[1]
        WHERE f.organisation = :organisation AND f.finished_at IS NULL AND {UNDER_WAY}
        ORDER BY f.fanout LIMIT :limit
        """,
        organisation=organisation,
        limit=limit,
    )
