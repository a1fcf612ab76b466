"""Courses, enrolments and access, as SQL on sets: a fan-out never passes a learner through Python."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import column, execute, one, rows, value
from tasks.seats import flag_unenrolled


@dataclass(frozen=True, slots=True)
class Course:
    """A course, as described last."""

    course: int
    id: str
    title: str
    cost: int
    on_hold: bool
    method: str


@dataclass(frozen=True, slots=True)
class Fanout:
    """Enrolling many for one reason, an event: by the rules of some courses as they stand, or by a request."""

    organisation: int
    fanout: int
    courses: list[int]
    cycle: int
    cause: str
    request: str | None
    occurred_at: datetime
    mailing: int | None
    learners: list[int] | None


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A learner whom the standing rules are to be applied to, and the event that made it so."""

    learner: int
    event: str
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
    event: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What one chunk of a fan-out did."""

    enrolled: int
    silent: int
    already: int
    withdrawn: int


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
        INSERT INTO courses AS known (organisation, id, title, cost, on_hold, method, saved_at)
        VALUES (:organisation, :id, :title, :cost, :on_hold, :method, :time)
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
    return _rules_of(connection, organisation, id_) != before


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


def begin(
    connection: Connection,
    organisation: int,
    *,
    courses: Sequence[int],
    cycle: int,
    cause: str,
    occurred_at: datetime,
    mailing: int | None,
    learners: Sequence[int] | None = None,
    request: str | None = None,
    selected: int = 0,
    reasons: str = "{}",
) -> Fanout:
    """Write down a fan-out that is to be done."""
    fanout = one(
        connection,
        Fanout,
        """
        INSERT INTO fanouts (organisation, courses, cycle, cause, request, occurred_at, mailing, learners, selected,
                             reasons)
        VALUES (:organisation, CAST(:courses AS int[]), :cycle, :cause, :request, :occurred_at, :mailing, :learners,
                :selected, CAST(:reasons AS jsonb))
        RETURNING organisation, fanout, courses, cycle, cause, request, occurred_at, mailing, learners
        """,
        organisation=organisation,
        courses=list(courses),
        cycle=cycle,
        cause=cause,
        request=request,
        occurred_at=occurred_at,
        mailing=mailing,
        learners=None if learners is None else list(learners),
        selected=selected,
        reasons=reasons,
    )
    assert fanout is not None  # noqa: S101 - an INSERT without a conflict clause returns its row
    return fanout


def load(connection: Connection, organisation: int, fanout: int, low: int, high: int) -> Fanout | None:
    """A fan-out, with just the part of its list that lies at these places."""
    return one(
        connection,
        Fanout,
        """
        SELECT organisation, fanout, courses, cycle, cause, request, occurred_at, mailing,
               learners[CAST(:low AS int) : CAST(:high AS int)] AS learners
        FROM fanouts WHERE organisation = :organisation AND fanout = :fanout
        """,
        organisation=organisation,
        fanout=fanout,
        low=low,
        high=high,
    )


def request_known(connection: Connection, organisation: int, request: str) -> bool:
    """Whether a request with this id was taken before (S16)."""
    return bool(
        value(
            connection,
            "SELECT EXISTS (SELECT FROM fanouts WHERE organisation = :organisation AND request = :request)",
            organisation=organisation,
            request=request,
        )
    )


#: The learners of a chunk: those numbered from :low to :high, or, of these, the listed ones.
#: The method of the course is asked by the caller: :everyone, or the links count (R10).
_INSERT = """
INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, notice, enrolled_at, activated_at,
                        requests)
SELECT l.organisation, :course, :cycle, l.learner, l.standing = 'inactive', :fanout,
       CASE WHEN l.standing = 'active' THEN CAST(:mailing AS bigint) END,
       CAST(:at AS timestamptz), CASE WHEN l.standing = 'active' THEN CAST(:at AS timestamptz) END,
       CAST(:requests AS bigint[])
FROM learners l
WHERE l.organisation = :organisation AND l.learner BETWEEN :low AND :high
  AND (CAST(:listed AS int[]) IS NULL OR l.learner = ANY(CAST(:listed AS int[])))
  AND l.standing IN ('active', 'inactive')
  AND (:chosen OR EXISTS (
      SELECT FROM course_segments cs JOIN memberships m USING (organisation, segment)
      WHERE cs.organisation = :organisation AND cs.course = :course AND m.learner = l.learner AND m.member))
  AND NOT EXISTS (
      SELECT FROM enrolments e
      WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = :cycle
        AND e.learner BETWEEN :low AND :high AND e.learner = l.learner)
  AND NOT EXISTS (
      SELECT FROM withdrawals w
      WHERE w.organisation = :organisation AND w.course = :course AND w.cycle IN (0, :cycle)
        AND w.learner = l.learner AND (CAST(:requests AS bigint[]) IS NULL OR w.occurred_at >= :at))
"""

_REVIVE = """
UPDATE enrolments e SET silent = l.standing = 'inactive', fanout = :fanout, withdrawn_at = NULL, withdrawn_by = NULL,
    enrolled_at = :at, activated_at = CASE WHEN l.standing = 'active' THEN CAST(:at AS timestamptz) END,
    requests = CAST(:requests AS bigint[]),
    notice = CASE
        WHEN d.state = 'pending' OR d.state = 'accepted' AND d.settled_at > now() - CAST(:window AS interval)
            THEN e.notice
        WHEN l.standing = 'active' THEN CAST(:mailing AS bigint)
    END
FROM learners l LEFT JOIN enrolments o
    ON o.organisation = :organisation AND o.course = :course AND o.cycle = :cycle AND o.learner = l.learner
LEFT JOIN deliveries d ON d.organisation = o.organisation AND d.mailing = o.notice AND d.recipient = o.learner
WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = :cycle
  AND e.learner BETWEEN :low AND :high AND e.withdrawn_at IS NOT NULL
  AND l.organisation = :organisation AND l.learner = e.learner AND l.standing IN ('active', 'inactive')
  AND (CAST(:listed AS int[]) IS NULL OR l.learner = ANY(CAST(:listed AS int[])))
  AND (CAST(:requests AS bigint[]) IS NOT NULL OR e.withdrawn_by = 'rule')
  AND (:chosen OR EXISTS (
      SELECT FROM course_segments cs JOIN memberships m USING (organisation, segment)
      WHERE cs.organisation = :organisation AND cs.course = :course AND m.learner = l.learner AND m.member))
  AND NOT EXISTS (
      SELECT FROM withdrawals w
      WHERE w.organisation = :organisation AND w.course = :course AND w.cycle IN (0, :cycle)
        AND w.learner = l.learner AND w.occurred_at >= :at)
"""

_WITHDRAW = """
UPDATE enrolments e SET withdrawn_at = :at, withdrawn_by = 'rule', fanout = :fanout
WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = 1
  AND e.learner BETWEEN :low AND :high AND e.withdrawn_at IS NULL
  AND (CAST(:listed AS int[]) IS NULL OR e.learner = ANY(CAST(:listed AS int[])))
  AND e.started_at IS NULL AND e.requests IS NULL
  AND NOT EXISTS (
      SELECT FROM course_segments cs JOIN memberships m USING (organisation, segment)
      WHERE :links AND cs.organisation = :organisation AND cs.course = :course AND m.learner = e.learner AND m.member)
"""

#: What was started from :at on and that no source holds any more: it is never withdrawn by a rule, but flagged (S13).
_CONTRADICTED = """
SELECT e.learner FROM enrolments e
WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = 1
  AND e.learner BETWEEN :low AND :high AND e.withdrawn_at IS NULL
  AND (CAST(:listed AS int[]) IS NULL OR e.learner = ANY(CAST(:listed AS int[])))
  AND e.started_at >= :at AND e.requests IS NULL
  AND NOT EXISTS (
      SELECT FROM course_segments cs JOIN memberships m USING (organisation, segment)
      WHERE :links AND cs.organisation = :organisation AND cs.course = :course AND m.learner = e.learner AND m.member)
"""

_JOIN = """
UPDATE enrolments e SET requests = coalesce(requests, '{}') || :fanout
WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = :cycle
  AND e.learner BETWEEN :low AND :high AND e.withdrawn_at IS NULL AND e.fanout <> :fanout
  AND e.learner = ANY(CAST(:listed AS int[]))
  AND NOT EXISTS (
      SELECT FROM withdrawals w
      WHERE w.organisation = :organisation AND w.course = :course AND w.cycle IN (0, :cycle)
        AND w.learner = e.learner AND w.occurred_at >= :at)
"""

_CHANGED = """
INSERT INTO outbox (organisation, type, data)
SELECT :organisation, 'rollcall.enrolment.changed', jsonb_build_object(
    'course', (SELECT id FROM courses WHERE organisation = :organisation AND course = :course),
    'cycle', :cycle, 'cause', CAST(:cause AS text),
    'enrolled', coalesce(jsonb_agg(l.id) FILTER (WHERE e.withdrawn_at IS NULL AND NOT e.silent), '[]'),
    'silent', coalesce(jsonb_agg(l.id) FILTER (WHERE e.withdrawn_at IS NULL AND e.silent), '[]'),
    'withdrawn', coalesce(jsonb_agg(l.id) FILTER (WHERE e.withdrawn_at IS NOT NULL), '[]'))
FROM enrolments e JOIN learners l USING (organisation, learner)
WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = :cycle AND e.fanout = :fanout
  AND e.learner BETWEEN :low AND :high AND l.learner BETWEEN :low AND :high
  AND (CAST(:listed AS int[]) IS NULL OR e.learner = ANY(CAST(:listed AS int[])))
HAVING count(*) > 0
"""


def follow_rules(
    connection: Connection, fanout: Fanout, course: Course, low: int, high: int, window_seconds: float
) -> Counts:
    """Bring the rule-made enrolments of one chunk of learners in line with the rules as they stand (R7, R9, R10)."""
    scope: dict[str, object] = {
        "organisation": fanout.organisation,
        "course": course.course,
        "cycle": 1,
        "fanout": fanout.fanout,
        "at": fanout.occurred_at,
        "low": low,
        "high": high,
        "listed": fanout.learners,
    }
    candidates = scope | {
        "mailing": None if course.on_hold else fanout.mailing,
        "requests": None,
        "chosen": course.method == "everyone",
    }
    enrolled = revived = withdrawn = 0
    if course.method != "manual":
        enrolled = execute(connection, _INSERT, **candidates)
        revived = execute(connection, _REVIVE, **candidates, window=f"{window_seconds} seconds")
    if course.method != "everyone":
        links = course.method == "segments"
        withdrawn = execute(connection, _WITHDRAW, **scope, links=links)
        contradicted = column(connection, _CONTRADICTED, **scope, links=links)
        flag_unenrolled(
            connection,
            fanout.organisation,
            course.course,
            [(1, learner) for learner in contradicted],
            fanout.occurred_at,
        )
    if enrolled + revived + withdrawn:
        execute(connection, _CHANGED, **scope, cause="rule")
    return Counts(enrolled + revived, 0, 0, withdrawn)


def follow_request(connection: Connection, fanout: Fanout, low: int, high: int, window_seconds: float) -> Counts:
    """Enrol the listed learners, who were found eligible; for those who are enrolled add the source alone (R11, S6)."""
    listed = fanout.learners or []
    scope: dict[str, object] = {
        "organisation": fanout.organisation,
        "course": fanout.courses[0],
        "cycle": fanout.cycle,
        "fanout": fanout.fanout,
        "low": low,
        "high": high,
        "listed": listed,
    }
    candidates = scope | {
        "at": fanout.occurred_at,
        "mailing": fanout.mailing,
        "requests": [fanout.fanout],
        "chosen": True,
    }
    changed = execute(connection, _INSERT, **candidates)
    changed += execute(connection, _REVIVE, **candidates, window=f"{window_seconds} seconds")
    already = execute(connection, _JOIN, **scope, at=fanout.occurred_at)
    silent = 0
    if changed:
        execute(connection, _CHANGED, **scope, cause="request")
        silent = int(
            value(
                connection,
                """
                SELECT count(*) FROM enrolments
                WHERE organisation = :organisation AND course = :course AND cycle = :cycle AND fanout = :fanout
                  AND learner BETWEEN :low AND :high AND learner = ANY(CAST(:listed AS int[])) AND silent
                """,
                **scope,
            )
        )
    return Counts(changed - silent, silent, already, 0)


def count_up(connection: Connection, fanout: Fanout, counts: Counts) -> None:
    """Add what a chunk did to its fan-out."""
    execute(
        connection,
        """
        UPDATE fanouts SET enrolled = enrolled + :enrolled, silent = silent + :silent, already = already + :already
        WHERE organisation = :organisation AND fanout = :fanout
        """,
        organisation=fanout.organisation,
        fanout=fanout.fanout,
        enrolled=counts.enrolled,
        silent=counts.silent,
        already=counts.already,
    )


#: What became of the requests among the `finished`: every learner selected is counted once (R14).
_RESULT = """
INSERT INTO outbox (organisation, type, data)
SELECT finished.organisation, 'rollcall.enrolment.finished', jsonb_build_object(
    'request', request, 'course', c.id, 'selected', selected, 'enrolled', enrolled, 'silent', silent,
    'already', already, 'not_eligible',
    CASE WHEN selected - enrolled - silent - already - known.total > 0
         THEN reasons || jsonb_build_object('withdrawn', selected - enrolled - silent - already - known.total)
         ELSE reasons END)
FROM finished JOIN courses c ON c.organisation = finished.organisation AND c.course = courses[1]
CROSS JOIN LATERAL (
    SELECT coalesce(sum(CAST(n AS int)), 0) AS total FROM jsonb_each_text(reasons) AS r (reason, n)
) known
WHERE request IS NOT NULL
"""


def finish_fanouts(connection: Connection) -> int:
    """Close the fan-outs of which no piece is left, and say what became of those somebody asked for (R14)."""
    return execute(
        connection,
        """
        WITH finished AS (
            UPDATE fanouts f SET finished_at = now()
            WHERE finished_at IS NULL AND NOT EXISTS (
                SELECT FROM work w
                WHERE w.organisation = f.organisation AND w.subject = f.fanout AND w.actor = 'enrolments.chunk')
            RETURNING *
        )
        """
        + _RESULT,
    )


def answer_again(connection: Connection, organisation: int, request: str) -> None:
    """Answer a request that was made before with its first result; one that is still under way answers both (S16)."""
    execute(
        connection,
        """
        WITH finished AS (
            SELECT * FROM fanouts
            WHERE organisation = :organisation AND request = :request AND finished_at IS NOT NULL
        )
        """
        + _RESULT,
        organisation=organisation,
        request=request,
    )


def running_fanouts(connection: Connection) -> int:
    """How many fan-outs are not finished."""
    return int(value(connection, "SELECT count(*) FROM fanouts WHERE finished_at IS NULL"))


def enrol_newcomers(connection: Connection, organisation: int, newcomers: Sequence[Newcomer]) -> list[Enrolled]:
    """Apply every standing rule to learners who are new (R7); what was recorded, for whom, because of which event."""
    return rows(
        connection,
        Enrolled,
        """
        WITH arrived AS (
            SELECT * FROM unnest(CAST(:learners AS int[]), CAST(:events AS text[]), CAST(:times AS timestamptz[]))
                AS new (learner, event, occurred_at)
        ), recorded AS (
            INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, activated_at)
            SELECT l.organisation, c.course, 1, l.learner, l.standing = 'inactive', 0,
                   greatest(a.occurred_at, c.saved_at),
                   CASE WHEN l.standing = 'active' THEN greatest(a.occurred_at, c.saved_at) END
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
        SELECT r.course, c.id AS course_id, c.on_hold, r.learner, l.id, r.silent, a.event
        FROM recorded r
        JOIN arrived a USING (learner)
        JOIN courses c ON c.organisation = :organisation AND c.course = r.course
        JOIN learners l ON l.organisation = :organisation AND l.learner = r.learner
        ORDER BY r.course, r.learner
        """,
        organisation=organisation,
        learners=[n.learner for n in newcomers],
        events=[n.event for n in newcomers],
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


def accessible(connection: Connection, organisation: int, learners: Sequence[int]) -> list[Accessible]:
    """The courses these learners have access to now, sorted."""
    return rows(
        connection,
        Accessible,
        """
        SELECT l.learner, l.id, coalesce(array_agg(DISTINCT c.id COLLATE "C" ORDER BY c.id COLLATE "C")
               FILTER (WHERE a.granted), '{}') AS courses
        FROM learners l
        LEFT JOIN access a ON a.organisation = :organisation AND a.learner = l.learner
        LEFT JOIN courses c ON c.organisation = :organisation AND c.course = a.course
        WHERE l.organisation = :organisation AND l.learner = ANY(CAST(:learners AS int[]))
        GROUP BY l.learner, l.id ORDER BY l.learner
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
            UPDATE enrolments e SET withdrawn_at = :time, withdrawn_by = 'name'
            WHERE e.organisation = :organisation AND e.course = :course AND e.learner = ANY(CAST(:learners AS int[]))
              AND (:cycle = 0 OR e.cycle = :cycle) AND e.requests IS NULL
              AND (e.withdrawn_at IS NULL OR e.withdrawn_by = 'rule')
            RETURNING e.cycle, e.learner
        ), numbered AS (
            SELECT gone.cycle, l.id, (row_number() OVER (PARTITION BY gone.cycle ORDER BY l.learner) - 1) / 5000 AS part
            FROM gone JOIN learners l ON l.organisation = :organisation AND l.learner = gone.learner
        ), told AS (
            INSERT INTO outbox (organisation, type, data)
            SELECT :organisation, 'rollcall.enrolment.changed', jsonb_build_object(
                'course', (SELECT id FROM courses WHERE organisation = :organisation AND course = :course),
                'cycle', cycle, 'cause', 'withdrawal', 'enrolled', CAST('[]' AS jsonb), 'silent', CAST('[]' AS jsonb),
                'withdrawn', jsonb_agg(id))
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
