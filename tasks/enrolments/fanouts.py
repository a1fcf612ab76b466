"""Fan-outs, as SQL on sets: a chunk of learners never passes through Python."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import column, execute, one, value
from tasks.enrolments.courses import Course
from tasks.seats import flag_unenrolled


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
class Counts:
    """What one chunk of a fan-out did."""

    enrolled: int
    silent: int
    already: int
    withdrawn: int


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
       AND o.learner BETWEEN :low AND :high
LEFT JOIN deliveries d ON d.organisation = o.organisation AND d.mailing = o.notice AND d.recipient = o.learner
       AND d.recipient BETWEEN :low AND :high
WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = :cycle
  AND e.learner BETWEEN :low AND :high AND e.withdrawn_at IS NOT NULL
  AND l.organisation = :organisation AND l.learner = e.learner AND l.learner BETWEEN :low AND :high
  AND l.standing IN ('active', 'inactive')
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


@contextmanager
def planned_for_sets(connection: Connection) -> Iterator[None]:
    """Keep the planner, within the block, from taking a chunk for one row where a table has no statistics yet: a nested
    loop is then quadratic in the chunk."""
    setting = "SELECT set_config('enable_nestloop', :loops, true), set_config('plan_cache_mode', :plans, true)"
    execute(connection, setting, loops="off", plans="force_custom_plan")
    yield
    execute(connection, setting, loops="on", plans="auto")


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
        revived = execute(connection, _REVIVE, **candidates, window=f"{window_seconds} seconds")
        enrolled = execute(connection, _INSERT, **candidates)
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
