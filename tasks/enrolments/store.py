"""Enrolments and access, as SQL on sets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import column, execute, one, rows, value
from tasks.events import EMIT


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


#: Those of the learners asked for who count, and what the standing rules say of them: the courses for everyone, and
#: those that a segment of theirs is linked to.
_RULED = """
WITH arrived AS MATERIALIZED (
    SELECT l.organisation, l.learner, l.standing, asked.occurred_at
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                 unnest(CAST(:times AS timestamptz[])) AS occurred_at) asked
    JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
    WHERE l.standing IN ('active', 'inactive')
), everyones AS MATERIALIZED (
    SELECT course, rules_since FROM courses WHERE organisation = :organisation AND method = 'everyone'
), linked AS (
    SELECT a.organisation, a.learner, a.standing, a.occurred_at, c.course, c.rules_since
    FROM arrived a
    JOIN memberships m ON m.organisation = a.organisation AND m.learner = a.learner AND m.member
    JOIN course_segments cs ON cs.organisation = m.organisation AND cs.segment = m.segment
    JOIN courses c ON c.organisation = cs.organisation AND c.course = cs.course AND c.method = 'segments'
)
"""


def ruled(connection: Connection, organisation: int, newcomers: Sequence[Newcomer], most: int) -> int:
    """How many enrolments the standing rules want for learners who are new; those by segments are counted up to a
    bound."""
    return int(
        value(
            connection,
            _RULED
            + """
            SELECT (SELECT count(*) FROM arrived) * (SELECT count(*) FROM everyones)
                 + (SELECT count(*) FROM (SELECT FROM linked LIMIT :most) counted)
            """,
            **_as_asked(organisation, newcomers),
            most=most,
        )
    )


def enrol_newcomers(connection: Connection, organisation: int, newcomers: Sequence[Newcomer]) -> list[Enrolled]:
    """Apply every standing rule to learners who are new (R7); what was recorded, by course and learner."""
    recorded = rows(
        connection,
        Enrolled,
        _RULED
        + """
        INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, activated_at)
        SELECT w.organisation, w.course, 1, w.learner, w.standing = 'inactive', 0,
               greatest(w.occurred_at, w.rules_since),
               CASE WHEN w.standing = 'active' THEN greatest(w.occurred_at, w.rules_since) END
        FROM (
            SELECT a.organisation, a.learner, a.standing, a.occurred_at, e.course, e.rules_since
            FROM arrived a CROSS JOIN everyones e
            UNION
            SELECT * FROM linked
        ) w
        WHERE NOT EXISTS (
            SELECT FROM withdrawals n WHERE n.organisation = w.organisation AND n.course = w.course
              AND n.learner = w.learner AND n.cycle IN (0, 1) OFFSET 0)
          AND NOT EXISTS (
            SELECT FROM void_enrolments v WHERE v.organisation = w.organisation AND v.course = w.course
              AND v.learner = w.learner AND v.cycle = 1 OFFSET 0)
        ON CONFLICT DO NOTHING
        RETURNING course, learner, silent
        """,
        **_as_asked(organisation, newcomers),
    )
    return sorted(recorded, key=lambda entry: (entry.course, entry.learner))


def overtaken(connection: Connection, organisation: int, newcomers: Sequence[Newcomer]) -> list[int]:
    """Those of these learners of whom, or of whose courses, something is known that happened when they arrived or
    later (R6)."""
    return column(
        connection,
        """
        SELECT DISTINCT a.learner
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                     unnest(CAST(:times AS timestamptz[])) AS at) a
        WHERE a.at <= (SELECT max(r.occurred_at) FROM course_rules r WHERE r.organisation = :organisation)
           OR EXISTS (SELECT FROM memberships m
                      WHERE m.organisation = a.organisation AND m.learner = a.learner AND m.since >= a.at)
           OR EXISTS (SELECT FROM status_changes s
                      WHERE s.organisation = a.organisation AND s.learner = a.learner AND s.occurred_at > a.at)
           OR EXISTS (SELECT FROM deletions d WHERE d.organisation = a.organisation AND d.learner = a.learner)
        """,
        **_as_asked(organisation, newcomers),
    )


def _as_asked(organisation: int, newcomers: Sequence[Newcomer]) -> dict[str, object]:
    return {
        "organisation": organisation,
        "learners": [newcomer.learner for newcomer in newcomers],
        "times": [newcomer.occurred_at for newcomer in newcomers],
    }


def ids_of(connection: Connection, organisation: int, learners: Iterable[int]) -> dict[int, str]:
    """The ids of these learners."""
    found = rows(
        connection,
        _Named,
        """
        SELECT l.learner, l.id
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
        JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
        """,
        organisation=organisation,
        learners=sorted(set(learners)),
    )
    return {row.learner: row.id for row in found}


@dataclass(frozen=True, slots=True)
class _Named:
    learner: int
    id: str


def enrolled_in(connection: Connection, organisation: int, learners: Sequence[int], most: int) -> int:
    """How many enrolments these learners have, counted up to a bound."""
    return int(
        value(
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
    )


def active_among(connection: Connection, organisation: int, learners: Sequence[int]) -> set[int]:
    """Those of these learners who are active now."""
    return set(
        column(
            connection,
            """
            SELECT l.learner
            FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
            JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
            WHERE l.standing = 'active'
            """,
            organisation=organisation,
            learners=list(learners),
        )
    )


def present_among(connection: Connection, organisation: int, learners: Sequence[int]) -> set[int]:
    """Those of these learners who were saved and are not deleted."""
    return set(
        column(
            connection,
            """
            SELECT l.learner
            FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
            JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
            WHERE l.standing IN ('active', 'inactive')
            """,
            organisation=organisation,
            learners=list(learners),
        )
    )


def tell(connection: Connection, organisation: int, notices: Iterable[tuple[int, int, int, int]]) -> None:
    """Note which mailing tells of which enrolments: (course, cycle, learner, mailing)."""
    told = list(notices)
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
        courses=[course for course, _, _, _ in told],
        cycles=[cycle for _, cycle, _, _ in told],
        learners=[learner for _, _, learner, _ in told],
        mailings=[mailing for _, _, _, mailing in told],
    )


def activate(
    connection: Connection, organisation: int, learners: Sequence[int], times: Sequence[datetime]
) -> list[Opened]:
    """Open to learners who are active again everything they are enrolled in, silent enrolments included (R4); what
    became available to them now, courses on hold left out (S7)."""
    return rows(
        connection,
        Opened,
        """
        WITH opened AS (
            UPDATE enrolments e SET activated_at = new.time
            FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                         unnest(CAST(:times AS timestamptz[])) AS time) new
            WHERE e.organisation = new.organisation AND e.learner = new.learner
              AND e.activated_at IS NULL AND e.withdrawn_at IS NULL
            RETURNING e.organisation, e.learner, e.course, e.cycle
        )
        SELECT opened.learner, opened.course, opened.cycle FROM opened
        JOIN courses c ON c.organisation = opened.organisation AND c.course = opened.course AND NOT c.on_hold
        ORDER BY learner, course, cycle
        """,
        organisation=organisation,
        learners=list(learners),
        times=list(times),
    )


#: Enrolments that give access, and of which nobody noted since when.
_UNOPENED = """
SELECT e.course, e.cycle, e.learner FROM enrolments e JOIN learners l USING (organisation, learner)
WHERE e.organisation = :organisation AND e.activated_at IS NULL AND e.withdrawn_at IS NULL AND l.standing = 'active'
"""


def unopened(connection: Connection, organisation: int) -> int:
    """How many enrolments give access without a note since when."""
    return int(value(connection, f"SELECT count(*) FROM ({_UNOPENED}) unopened", organisation=organisation))


def mend_unopened(connection: Connection, organisation: int) -> None:
    """Note of every enrolment that gives access and does not say since when, that it does so now."""
    execute(
        connection,
        f"""
        UPDATE enrolments e SET activated_at = now() FROM ({_UNOPENED}) unopened
        WHERE e.organisation = :organisation AND e.course = unopened.course AND e.cycle = unopened.cycle
          AND e.learner = unopened.learner
        """,
        organisation=organisation,
    )


def accessible(connection: Connection, organisation: int, learners: Sequence[int]) -> list[Accessible]:
    """The courses these learners have access to now, sorted."""
    return rows(
        connection,
        Accessible,
        """
        SELECT l.learner, l.id, ARRAY(
            SELECT DISTINCT c.id COLLATE "C" FROM access a
            JOIN courses c ON c.organisation = a.organisation AND c.course = a.course
            WHERE a.organisation = l.organisation AND a.learner = l.learner AND a.granted ORDER BY 1) AS courses
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
        JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner
        ORDER BY l.learner
        """,
        organisation=organisation,
        learners=list(learners),
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
    execute(
        connection,
        f"""
        WITH gone AS (
            UPDATE enrolments e SET withdrawn_at = :time, withdrawn_by = 'name'
            FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner) asked
            WHERE e.organisation = asked.organisation AND e.learner = asked.learner AND e.course = :course
              AND (:cycle = 0 OR e.cycle = :cycle) AND e.requests IS NULL AND e.withdrawn_at IS NULL
            RETURNING e.organisation, e.cycle, e.learner
        ), numbered AS (
            SELECT gone.cycle, l.id, (row_number() OVER (PARTITION BY gone.cycle ORDER BY l.learner) - 1) / 5000 AS part
            FROM gone JOIN learners l ON l.organisation = gone.organisation AND l.learner = gone.learner
        ), told AS (
            {EMIT}
            SELECT :organisation, 'rollcall.enrolment.changed', json_build_object(
                'course', (SELECT id FROM courses WHERE organisation = :organisation AND course = :course),
                'cycle', cycle, 'cause', 'withdrawal', 'enrolled', CAST('[]' AS json), 'silent', CAST('[]' AS json),
                'withdrawn', json_agg(id))
            FROM numbered GROUP BY cycle, part ORDER BY cycle, part
        )
        SELECT count(*) FROM gone
        """,
        **scope,
    )


def enrolments_of(connection: Connection, organisation: int, learner: int) -> list[Enrolment]:
    """A learner's enrolments, each with what stands between them and access."""
    return rows(
        connection,
        Enrolment,
        """
        SELECT c.id AS course, c.title, e.cycle,
               CASE WHEN e.withdrawn_at IS NULL THEN enrolment_sources(e, c) ELSE '{}' END AS sources,
               e.enrolled_at, e.silent, e.activated_at, d.settled_at AS notified_at, e.started_at, e.completed_at,
               e.result, e.withdrawn_at, a.granted AS access,
               array_remove(ARRAY[CASE WHEN NOT a.active THEN 'active' END,
                                  CASE WHEN NOT a.not_withdrawn THEN 'not withdrawn' END,
                                  CASE WHEN NOT a.not_on_hold THEN 'not on hold' END], NULL) AS missing
        FROM enrolments e
        JOIN access a USING (organisation, learner, course, cycle)
        JOIN courses c USING (organisation, course)
        LEFT JOIN deliveries d ON d.organisation = e.organisation AND d.mailing = e.notice
            AND d.recipient = e.learner AND d.state = 'accepted'
        WHERE e.organisation = :organisation AND e.learner = :learner
        ORDER BY c.id, e.cycle
        """,
        organisation=organisation,
        learner=learner,
    )


def explain(connection: Connection, organisation: int, learner: int, course: str) -> Explained | None:
    """Why a learner has access to a course, or not (R3): by the cycle that gives it, else the last; None where the
    course is not known."""
    return one(
        connection,
        Explained,
        """
        SELECT c.id AS course, coalesce(a.granted, false) AS access,
               array_remove(ARRAY[CASE WHEN l.standing <> 'active' THEN 'active' END,
                                  CASE WHEN a.course IS NULL THEN 'enrolled' END,
                                  CASE WHEN NOT a.not_withdrawn THEN 'not withdrawn' END,
                                  CASE WHEN c.on_hold THEN 'not on hold' END], NULL) AS missing
        FROM courses c
        JOIN learners l ON l.organisation = :organisation AND l.learner = :learner
        LEFT JOIN access a ON a.organisation = :organisation AND a.course = c.course AND a.learner = l.learner
        WHERE c.organisation = :organisation AND c.id = :course
        ORDER BY a.granted DESC NULLS LAST, a.cycle DESC LIMIT 1
        """,
        organisation=organisation,
        learner=learner,
        course=course,
    )
