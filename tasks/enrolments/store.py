"""Enrolments and access, as SQL on sets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import execute, one, rows, value
from tasks.seats import flag_unenrolled


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
    course_id: str
    on_hold: bool
    learner: int
    id: str
    silent: bool
    source: str
    event: str

    @property
    def cause(self) -> tuple[str, str]:
        """The event that did it."""
        return self.source, self.event


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


def enrol_newcomers(connection: Connection, organisation: int, newcomers: Sequence[Newcomer]) -> list[Enrolled]:
    """Apply every standing rule to learners who are new (R7); what was recorded, for whom, because of which event."""
    return rows(
        connection,
        Enrolled,
        """
        WITH arrived AS (
            SELECT * FROM unnest(CAST(:learners AS int[]), CAST(:sources AS text[]), CAST(:events AS text[]),
                                 CAST(:times AS timestamptz[])) AS new (learner, source, event, occurred_at)
        ), recorded AS (
            INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, activated_at)
            SELECT l.organisation, c.course, 1, l.learner, l.standing = 'inactive', 0,
                   greatest(a.occurred_at, c.rules_since),
                   CASE WHEN l.standing = 'active' THEN greatest(a.occurred_at, c.rules_since) END
            FROM arrived a
            JOIN learners l ON l.organisation = :organisation AND l.learner = a.learner
            JOIN courses c ON c.organisation = :organisation AND c.method <> 'manual'
            WHERE (c.method = 'everyone' OR EXISTS (
                    SELECT FROM course_segments cs JOIN memberships m USING (organisation, segment)
                    WHERE cs.organisation = :organisation AND cs.course = c.course
                      AND m.learner = l.learner AND m.member))
              AND NOT EXISTS (
                    SELECT FROM withdrawals w WHERE w.organisation = :organisation AND w.course = c.course
                      AND w.cycle IN (0, 1) AND w.learner = l.learner)
            ON CONFLICT DO NOTHING
            RETURNING course, learner, silent
        )
        SELECT r.course, c.id AS course_id, c.on_hold, r.learner, l.id, r.silent, a.source, a.event
        FROM recorded r
        JOIN arrived a USING (learner)
        JOIN courses c ON c.organisation = :organisation AND c.course = r.course
        JOIN learners l ON l.organisation = :organisation AND l.learner = r.learner
        ORDER BY r.course, r.learner
        """,
        organisation=organisation,
        learners=[n.learner for n in newcomers],
        sources=[n.cause[0] for n in newcomers],
        events=[n.cause[1] for n in newcomers],
        times=[n.occurred_at for n in newcomers],
    )


def tell(connection: Connection, organisation: int, notices: Iterable[tuple[int, int, int, int]]) -> None:
    """Note which mailing tells of which enrolments: (course, cycle, learner, mailing)."""
    told = list(notices)
    execute(
        connection,
        """
        UPDATE enrolments e SET notice = new.mailing
        FROM unnest(CAST(:courses AS int[]), CAST(:cycles AS int[]), CAST(:learners AS int[]),
                    CAST(:mailings AS bigint[])) AS new (course, cycle, learner, mailing)
        WHERE e.organisation = :organisation AND e.course = new.course AND e.cycle = new.cycle
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
            FROM unnest(CAST(:learners AS int[]), CAST(:times AS timestamptz[])) AS new (learner, time)
            WHERE e.organisation = :organisation AND e.learner = new.learner
              AND e.activated_at IS NULL AND e.withdrawn_at IS NULL
            RETURNING e.learner, e.course, e.cycle
        )
        SELECT opened.* FROM opened
        JOIN courses c ON c.organisation = :organisation AND c.course = opened.course AND NOT c.on_hold
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
            JOIN courses c ON c.organisation = :organisation AND c.course = a.course
            WHERE a.organisation = :organisation AND a.learner = l.learner AND a.granted ORDER BY 1) AS courses
        FROM learners l
        WHERE l.organisation = :organisation AND l.learner = ANY(CAST(:learners AS int[])) ORDER BY l.learner
        """,
        organisation=organisation,
        learners=list(learners),
    )


def withdraw(
    connection: Connection, organisation: int, course: int, learners: Sequence[int], cycle: int, time: datetime
) -> None:
    """Withdraw by name: it covers every cycle where `cycle` is 0, stands against rules and against every request that
    happened before it, and tells the platform (R10, S4). What was started since is flagged (S13)."""
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
        INSERT INTO withdrawals AS known (organisation, course, learner, cycle, occurred_at)
        SELECT :organisation, :course, learner, :cycle, :time FROM unnest(CAST(:learners AS int[])) AS new (learner)
        ON CONFLICT (organisation, course, learner, cycle)
        DO UPDATE SET occurred_at = greatest(known.occurred_at, excluded.occurred_at)
        """,
        **scope,
    )
    execute(
        connection,
        """
        UPDATE enrolments e SET requests = (
            SELECT array_agg(f.fanout ORDER BY f.fanout) FROM fanouts f
            WHERE f.organisation = e.organisation AND f.fanout = ANY(e.requests) AND f.occurred_at > :time)
        WHERE e.organisation = :organisation AND e.course = :course AND e.learner = ANY(CAST(:learners AS int[]))
          AND (:cycle = 0 OR e.cycle = :cycle) AND e.requests IS NOT NULL
        """,
        **scope,
    )
    gone = rows(
        connection,
        _Gone,
        """
        WITH gone AS (
            UPDATE enrolments e SET withdrawn_at = least(e.withdrawn_at, CAST(:time AS timestamptz)),
                withdrawn_by = 'name'
            WHERE e.organisation = :organisation AND e.course = :course AND e.learner = ANY(CAST(:learners AS int[]))
              AND (:cycle = 0 OR e.cycle = :cycle) AND e.requests IS NULL
              AND (e.withdrawn_at IS NULL OR e.withdrawn_by = 'rule')
            RETURNING e.cycle, e.learner
        ), numbered AS (
            SELECT gone.cycle, l.id, (row_number() OVER (PARTITION BY gone.cycle ORDER BY l.learner) - 1) / 5000 AS part
            FROM gone JOIN learners l ON l.organisation = :organisation AND l.learner = gone.learner
        ), told AS (
            INSERT INTO outbox (organisation, type, data)
            SELECT :organisation, 'rollcall.enrolment.changed', json_build_object(
                'course', (SELECT id FROM courses WHERE organisation = :organisation AND course = :course),
                'cycle', cycle, 'cause', 'withdrawal', 'enrolled', CAST('[]' AS json), 'silent', CAST('[]' AS json),
                'withdrawn', json_agg(id))
            FROM numbered GROUP BY cycle, part ORDER BY cycle, part
        )
        SELECT cycle, learner FROM gone
        """,
        **scope,
    )
    flag_unenrolled(connection, organisation, course, [(entry.cycle, entry.learner) for entry in gone], time)


@dataclass(frozen=True, slots=True)
class _Gone:
    cycle: int
    learner: int


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
