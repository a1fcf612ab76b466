"""Who has access to what, and since when, as SQL on sets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import execute, integer, one, rows, soon, the_one
from config.sql import query


@dataclass(frozen=True, slots=True)
class Opened:
    """An enrolment that gives access from now on."""

    learner: int
    course: int
    cycle: int


@dataclass(frozen=True, slots=True)
class Accessible:
    """A learner, and the courses open to them."""

    learner: int
    id: str
    courses: list[str]


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One enrolment, with the answer to who has access and why not."""

    course: str
    title: str
    cycle: int
    sources: list[str]
    enrolled_at: datetime
    silent: bool
    activated_at: datetime | None
    notified_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    result: str | None
    withdrawn_at: datetime | None
    access: bool
    missing: list[str]


@dataclass(frozen=True, slots=True)
class Explained:
    """Whether a learner has access to a course, and what is missing if not."""

    course: str
    access: bool
    missing: list[str]


@dataclass(frozen=True, slots=True)
class AccessFound:
    """Whether a learner has access to a course, by the ids of both; because of which conditions, or lack of which."""

    learner_known: bool
    course_known: bool
    access: bool
    because: list[str]


@dataclass(frozen=True, slots=True)
class PairAccess:
    """The same of one pair of many. `because` has `known` if there is no such learner, or no such course."""

    learner: str
    course: str
    access: bool
    because: list[str]


@dataclass(frozen=True, slots=True)
class AtStake:
    """What is open to learners while they are active: `access`, pairs of a learner and a course; `waiting`, those never
    open yet; `unreachable`, learners without an address; `digests`, those who could be told what is open at last."""

    access: int
    courses: int
    waiting: int
    unreachable: int
    digests: int


def activate(
    connection: Connection, organisation: int, learners: Sequence[int], times: Sequence[datetime]
) -> Callable[[], list[Opened]]:
    """Open to learners who are active again everything they are enrolled in, silent enrolments included (R4); what this
    returns gives what became available to them now, courses on hold left out (S7), see `soon`.

    `coalesce` hides from the planner that hardly anybody waits for access: it would look at every learner for each
    enrolment that does."""
    return soon(
        connection,
        Opened,
        query("enrolments.activate"),
        organisation=organisation,
        learners=list(learners),
        times=list(times),
    )


def unopened(connection: Connection, organisation: int) -> int:
    """How many enrolments give access, or would but for a hold, without a note since when."""
    return integer(
        connection,
        """
        SELECT count(*) FROM enrolments e JOIN learners l USING (organisation, learner)
        WHERE e.organisation = :organisation AND e.activated_at IS NULL
          AND gives_access(l.standing, e.withdrawn_at, false)
        """,
        organisation=organisation,
    )


def mend_unopened(connection: Connection, organisation: int) -> None:
    """Note of every enrolment that gives access, or would but for a hold, and does not say since when, that it does so
    now."""
    execute(
        connection,
        """
        UPDATE enrolments e SET activated_at = now() FROM learners l
        WHERE e.organisation = :organisation AND l.organisation = e.organisation AND l.learner = e.learner
          AND e.activated_at IS NULL AND gives_access(l.standing, e.withdrawn_at, false)
        """,
        organisation=organisation,
    )


def accessible(connection: Connection, organisation: int, learners: Sequence[int]) -> list[Accessible]:
    """The courses these learners have access to now, sorted.

    Each learner's standing is read once, and not again for each enrolment as by the view `access`: of learners who just
    changed, an index also holds what they were before."""
    return rows(
        connection,
        Accessible,
        """
        SELECT l.learner, l.id, ARRAY(
            SELECT DISTINCT c.id COLLATE "C" FROM enrolments e
            JOIN courses c ON c.organisation = e.organisation AND c.course = e.course
            WHERE e.organisation = l.organisation AND e.learner = l.learner
              AND gives_access(l.standing, e.withdrawn_at, c.on_hold) ORDER BY 1) AS courses
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
        JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
        ORDER BY l.learner
        """,
        organisation=organisation,
        learners=list(learners),
    )


def enrolments_of(connection: Connection, organisation: int, learner: int) -> list[Enrolment]:
    """A learner's enrolments, each with what stands between them and access."""
    return rows(
        connection,
        Enrolment,
        query("enrolments.enrolments_of"),
        organisation=organisation,
        learner=learner,
    )


def explain(connection: Connection, organisation: int, learner: int, course: str) -> Explained | None:
    """Why a learner has access to a course, or not (R3): by the cycle that gives it, else the last; None where the
    course is not known."""
    return one(
        connection,
        Explained,
        query("enrolments.explain"),
        organisation=organisation,
        learner=learner,
        course=course,
    )


def access_of(connection: Connection, organisation: str, learner: str, course: str) -> AccessFound | None:
    """Whether a learner has access to a course (R3), in one look-up by the ids of all three; None if there is no such
    organisation."""
    return one(connection, AccessFound, query("enrolments.access_of"), of=organisation, learner=learner, course=course)


def at_stake(connection: Connection, organisation: int, learners: Sequence[int]) -> AtStake:
    """What is open to these learners while they are active, and closed while they are not (R3, R4)."""
    return the_one(
        connection, AtStake, query("enrolments.at_stake"), organisation=organisation, learners=list(learners)
    )


def access_of_pairs(
    connection: Connection, organisation: str, learners: Sequence[str], courses: Sequence[str]
) -> list[PairAccess]:
    """Whether each of these learners has access to each of these courses (R3), in any order; nothing if there is no
    such organisation."""
    asked = {"of": organisation, "learners": list(learners), "courses": list(courses)}
    return rows(connection, PairAccess, query("enrolments.access_of_pairs"), **asked)
