"""Where there is anything to do for the rules of a course, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from config.database import column, integer, is_true, the_one, tuples
from tasks import mail
from tasks.enrolments.courses import Course
from tasks.enrolments.fanouts import Fanout
from tasks.enrolments.fragments import HELD, LINKED, UNHELD


@dataclass(frozen=True, slots=True)
class EnrolmentDifference:
    """How many enrolments are not what the rules say: not there, or there though nothing holds them."""

    missing: int
    surplus: int


#: Whom the rules of a course would enrol.
_MISSING = f"""
FROM learners l
WHERE l.organisation = :organisation AND l.learner BETWEEN :low AND :high AND l.standing IN ('active', 'inactive')
  AND (:everyone OR :links AND {LINKED.format(learner="l.learner")})
  AND NOT EXISTS (
      SELECT FROM enrolments e
      WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = 1
        AND e.learner BETWEEN :low AND :high AND e.learner = l.learner AND e.withdrawn_at IS NULL)
  AND NOT EXISTS (
      SELECT FROM withdrawn_by_name(1) said
      WHERE said.organisation = :organisation AND said.course = :course AND said.learner = l.learner
        AND said.occurred_at > coalesce(l.deleted_at, '-infinity') AND said.occurred_at < :until)
"""

#: Whom they would withdraw, or flag.
_SURPLUS = f"FROM enrolments e WHERE NOT :everyone AND {HELD} AND {UNHELD}"

#: The chunks, by their place, in which the rules of a course have anything to do.
_TO_DO = f"""
SELECT (l.learner - 1) / :size {_MISSING} UNION SELECT (e.learner - 1) / :size {_SURPLUS}
UNION
SELECT (m.learner - 1) / :size FROM memberships m
WHERE m.organisation = :organisation AND m.learner BETWEEN :low AND :high AND m.since >= :until
UNION
SELECT chunk FROM generate_series((:low - 1) / :size, (:high - 1) / :size) AS all_ (chunk) WHERE EXISTS (
    SELECT FROM course_rules r
    WHERE r.organisation = :organisation AND r.course = :course AND r.occurred_at > :until)
"""

#: How many learners the rules of a course would enrol, and how many withdraw; of the deleted nothing is said.
_OFF = f"""
SELECT (SELECT count(*) {_MISSING}) AS missing, (SELECT count(*) {_SURPLUS} AND e.started_at IS NULL AND EXISTS (
    SELECT FROM learners l
    WHERE l.organisation = :organisation AND l.learner = e.learner AND l.standing IN ('active', 'inactive'))) AS surplus
"""


def chunks_to_do(connection: Connection, fanout: Fanout, course: Course, low: int, high: int, size: int) -> list[int]:
    """The chunks of `size` learners, by their place, in which the rules of a course have anything to do.

    A look without any lock: it may name too many, which do nothing, but none too few. Whoever changes a fact that the
    rules go by after the look has begun also does what follows from it.
    """
    return column(
        connection,
        _TO_DO,
        organisation=fanout.organisation,
        course=course.course,
        low=low,
        high=high,
        everyone=course.method == "everyone",
        links=course.method == "segments",
        size=size,
        until=fanout.occurred_at,
    )


#: One in so many numbers that was only mentioned is no reason to cut by those who were saved.
FEW = 10

_UNSAVED = """
SELECT count(*) FROM learners
WHERE organisation = :organisation AND learner BETWEEN :low AND :high AND standing = 'unsaved'
"""


def saved_stretches(connection: Connection, fanout: Fanout, low: int, high: int, size: int) -> list[tuple[int, int]]:
    """From which number to which so many learners at a time reach, of those who were ever saved: nobody else can be
    enrolled, or have been. A look without any lock, as `chunks_to_do`.

    To count the others costs a fifth of cutting by who is saved: where they are few, all numbers are cut alike."""
    scope: dict[str, object] = {"organisation": fanout.organisation, "low": low, "high": high}
    if high - low < size or integer(connection, _UNSAVED, **scope) * FEW <= high - low:
        return [(at, min(at + size - 1, high)) for at in range(low, high + 1, size)]
    return tuples(
        connection,
        """
        SELECT min(learner) AS low, max(learner) AS high FROM (
            SELECT learner, (row_number() OVER (ORDER BY learner) - 1) / CAST(:size AS int) AS place FROM learners
            WHERE organisation = :organisation AND learner BETWEEN :low AND :high AND standing <> 'unsaved') placed
        GROUP BY place ORDER BY 1
        """,
        **scope,
        size=size,
    )


def off_the_rules(connection: Connection, organisation: int, course: Course) -> EnrolmentDifference:
    """How many enrolments of a course are not what its rules say."""
    return the_one(
        connection,
        EnrolmentDifference,
        _OFF,
        organisation=organisation,
        course=course.course,
        low=1,
        high=mail.MOST_LEARNERS,
        everyone=course.method == "everyone",
        links=course.method == "segments",
        until=datetime.max.replace(tzinfo=UTC),
    )


def any_enrolled(connection: Connection, organisation: int, courses: Sequence[int]) -> bool:
    """Whether anybody is or was enrolled in one of these courses by rule or for the first time."""
    return is_true(
        connection,
        """
        SELECT EXISTS (
            SELECT FROM enrolments
            WHERE organisation = :organisation AND course = ANY(CAST(:courses AS int[])) AND cycle = 1)
        """,
        organisation=organisation,
        courses=list(courses),
    )
