"""Enrolments, as SQL on sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import column, execute, integer, rows, tuples
from config.sql import query
from tasks.events import emit_changed
from tasks.learners import Standing


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A learner whom the standing rules are to be applied to, and the event that made it so."""

    learner: int
    cause: tuple[str, str]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An enrolment that was recorded just now."""

    course: int
    learner: int
    silent: bool


def ruled(connection: Connection, organisation: int, newcomers: Sequence[Newcomer], most: int) -> int:
    """How many enrolments the standing rules want for learners who are new; those by segments are counted up to a
    bound."""
    return integer(
        connection,
        query("enrolments.ruled"),
        organisation=organisation,
        learners=[newcomer.learner for newcomer in newcomers],
        most=most,
    )


def enrol_newcomers(connection: Connection, organisation: int, newcomers: Sequence[Newcomer]) -> list[Enrolled]:
    """Apply every standing rule to learners who are new (R7); what was recorded, by course and learner."""
    recorded = rows(connection, Enrolled, query("enrolments.enrol_newcomers"), **_as_asked(organisation, newcomers))
    return sorted(recorded, key=lambda entry: (entry.course, entry.learner))


def overtaken(connection: Connection, organisation: int, newcomers: Sequence[Newcomer]) -> list[int]:
    """Those of these learners of whom, or of whose courses, something is known that happened when they arrived or
    later (R6)."""
    return column(connection, query("enrolments.overtaken"), **_as_asked(organisation, newcomers))


def _as_asked(organisation: int, newcomers: Sequence[Newcomer]) -> dict[str, object]:
    return {
        "organisation": organisation,
        "learners": [newcomer.learner for newcomer in newcomers],
        "times": [newcomer.occurred_at for newcomer in newcomers],
    }


def enrolled_in(connection: Connection, organisation: int, learners: Sequence[int], most: int) -> int:
    """How many enrolments these learners have, counted up to a bound."""
    return integer(
        connection,
        """
        SELECT count(*) FROM (
            SELECT FROM (SELECT CAST(:organisation AS int) AS organisation,
                                unnest(CAST(:learners AS int[])) AS learner) asked
            JOIN enrolments e ON e.organisation = asked.organisation AND e.learner = asked.learner
            LIMIT :most) counted
        """,
        organisation=organisation,
        learners=list(learners),
        most=most,
    )


def standing_among(
    connection: Connection, organisation: int, learners: Sequence[int], standings: Sequence[Standing]
) -> set[int]:
    """Those of these learners who stand in one of these ways now."""
    return set(
        column(
            connection,
            """
            SELECT l.learner
            FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
            JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
            WHERE CAST(l.standing AS text) = ANY(CAST(:standings AS text[]))
            """,
            organisation=organisation,
            learners=list(learners),
            standings=list(standings),
        )
    )


def record_notices(connection: Connection, organisation: int, notices: Sequence[tuple[int, int, int, int]]) -> None:
    """Note which mailing tells of which enrolments: (course, cycle, learner, mailing)."""
    execute(
        connection,
        """
        UPDATE enrolments e SET notice = new.mailing
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:courses AS int[])) AS course,
                     unnest(CAST(:cycles AS int[])) AS cycle, unnest(CAST(:learners AS int[])) AS learner,
                     unnest(CAST(:mailings AS bigint[])) AS mailing) new
        WHERE e.organisation = new.organisation AND e.course = new.course AND e.cycle = new.cycle
          AND e.learner = new.learner
        """,
        organisation=organisation,
        courses=[course for course, _, _, _ in notices],
        cycles=[cycle for _, cycle, _, _ in notices],
        learners=[learner for _, _, learner, _ in notices],
        mailings=[mailing for _, _, _, mailing in notices],
    )


def withdraw(
    connection: Connection, organisation: int, course: int, learners: Sequence[int], cycle: int, time: datetime
) -> None:
    """Withdraw by name: it covers every cycle where `cycle` is 0, stands against rules and against every request that
    happened before it, and tells the platform (R10, S4)."""
    scope: dict[str, object] = {
        "organisation": organisation,
        "course": course,
        "learners": list(learners),
        "cycle": cycle,
        "time": time,
    }
    execute(
        connection,
        """
        INSERT INTO withdrawals (organisation, course, learner, cycle, occurred_at)
        SELECT :organisation, :course, learner, :cycle, :time FROM unnest(CAST(:learners AS int[])) AS new (learner)
        ON CONFLICT DO NOTHING
        """,
        **scope,
    )
    execute(
        connection,
        """
        UPDATE enrolments e SET requests = (
            SELECT array_agg(f.fanout ORDER BY f.fanout) FROM fanouts f
            WHERE f.organisation = e.organisation AND f.fanout = ANY(e.requests) AND f.occurred_at > :time)
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
        WHERE e.organisation = asked.organisation AND e.learner = asked.learner AND e.course = :course
          AND (:cycle = 0 OR e.cycle = :cycle) AND e.requests IS NOT NULL
        """,
        **scope,
    )
    gone = tuples(
        connection,
        """
        UPDATE enrolments e SET withdrawn_at = :time, withdrawn_by = 'name'
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
        WHERE e.organisation = asked.organisation AND e.learner = asked.learner AND e.course = :course
          AND (:cycle = 0 OR e.cycle = :cycle) AND e.requests IS NULL AND e.withdrawn_at IS NULL
        RETURNING e.cycle, e.learner
        """,
        **scope,
    )
    emit_changed(connection, organisation, "withdrawal", [(course, *one, "withdrawn") for one in gone])


def forget_results(connection: Connection, organisation: int, learners: Sequence[int]) -> None:
    """Remove what was said of how these learners, who are erased, completed courses: that may name them (S15)."""
    for table in (
        """
        UPDATE enrolments e SET result = NULL FROM learners l
        WHERE l.organisation = :organisation AND l.learner = ANY(CAST(:learners AS int[])) AND l.standing = 'deleted'
          AND e.organisation = :organisation AND e.learner = l.learner AND e.result IS NOT NULL
        """,
        """
        UPDATE void_enrolments e SET result = NULL FROM learners l
        WHERE l.organisation = :organisation AND l.learner = ANY(CAST(:learners AS int[])) AND l.standing = 'deleted'
          AND e.organisation = :organisation AND e.learner = l.learner AND e.result IS NOT NULL
        """,
    ):
        execute(connection, table, organisation=organisation, learners=list(learners))
