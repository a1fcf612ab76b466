"""Fan-outs, as SQL on sets: a chunk of learners never passes through Python."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from config.database import column, execute, one, planned_for_sets, rows, say, value
from tasks import mail
from tasks.chores import one_by_one
from tasks.enrolments.courses import Course
from tasks.enrolments.store import Newcomer


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
    sources: list[str] | None
    events: list[str] | None
    times: list[datetime] | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many enrolments a statement recorded."""

    enrolled: int
    silent: int


_NOBODY = Recorded(0, 0)

#: Of so many learners in a row that one is listed, reading them all is cheaper than looking each up.
DENSE = 4


@dataclass(frozen=True, slots=True)
class Off:
    """How many enrolments are not what the rules say: not there, or there though nothing holds them."""

    missing: int
    surplus: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What one chunk of a fan-out did: who is enrolled for the first time, who again, who was enrolled already."""

    new: Recorded
    again: Recorded
    already: int


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
        RETURNING organisation, fanout, courses, cycle, cause, request, occurred_at, mailing, learners, sources, events,
                  times
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
    say(connection, "fanout.begun", organisation=organisation, fanout=fanout.fanout, courses=len(courses))
    return fanout


def begin_for_each(connection: Connection, organisation: int, cause: str, newcomers: Sequence[Newcomer]) -> int:
    """Write down what is to be done for learners of whom each has an event of its own to thank; its number."""
    return int(
        value(
            connection,
            """
            INSERT INTO fanouts (organisation, courses, cycle, cause, occurred_at, learners, sources, events, times)
            VALUES (:organisation, '{}', 1, :cause, now(), :learners, :sources, :events, :times) RETURNING fanout
            """,
            organisation=organisation,
            cause=cause,
            learners=[newcomer.learner for newcomer in newcomers],
            sources=[newcomer.cause[0] for newcomer in newcomers],
            events=[newcomer.cause[1] for newcomer in newcomers],
            times=[newcomer.occurred_at for newcomer in newcomers],
        )
    )


def newcomers_of(fanout: Fanout) -> list[Newcomer]:
    """The learners of a part of such a fan-out, each with its event."""
    parts = zip(fanout.learners or [], fanout.sources or [], fanout.events or [], fanout.times or [], strict=True)
    return [Newcomer(learner, (source, event), time) for learner, source, event, time in parts]


def load(connection: Connection, organisation: int, fanout: int, low: int, high: int) -> Fanout | None:
    """A fan-out, with just the part of its list that lies at these places."""
    return one(
        connection,
        Fanout,
        """
        SELECT organisation, fanout, courses, cycle, cause, request, occurred_at, mailing,
               learners[CAST(:low AS int) : CAST(:high AS int)] AS learners,
               sources[CAST(:low AS int) : CAST(:high AS int)] AS sources,
               events[CAST(:low AS int) : CAST(:high AS int)] AS events,
               times[CAST(:low AS int) : CAST(:high AS int)] AS times
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


#: Whether a linked segment holds the learner. The method of the course is asked by the caller: do links count? (R10)
_LINKED = """EXISTS (
    SELECT FROM course_segments cs JOIN memberships m USING (organisation, segment)
    WHERE cs.organisation = :organisation AND cs.course = :course AND m.learner = {learner} AND m.member)
"""
#: The same of a learner who is looked up: by the segments that they are in, not by all that are linked.
_LINKED_LISTED = """EXISTS (
    SELECT FROM (
        SELECT m.organisation, m.segment FROM memberships m
        WHERE m.organisation = {of}.organisation AND m.learner = {of}.learner AND m.member OFFSET 0) held
    JOIN course_segments cs ON cs.organisation = held.organisation AND cs.segment = held.segment
        AND cs.course = :course)
"""

#: The learners that a statement is about. A chunk: those numbered from :low to :high, which are read in one go. A list:
#: each is looked up by its number, whatever the planner believes; what it is joined with comes by `{organisation}`, so
#: that no join begins with all that the organisation has.
_CHUNK = {
    "learners": "learners l",
    "those": "l.organisation = :organisation AND l.learner BETWEEN :low AND :high",
    "organisation": ":organisation",
    "enrolled": "AND e.learner BETWEEN :low AND :high",
    "before": "AND o.learner BETWEEN :low AND :high",
    "noticed": "AND d.recipient BETWEEN :low AND :high",
    "linked": _LINKED.format(learner="l.learner"),
}
_LIST = {
    "learners": """(
        SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:listed AS int[])) AS learner) asked
    JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner""",
    "those": "true",
    "organisation": "l.organisation",
    "enrolled": "",
    "before": "",
    "noticed": "",
    "linked": _LINKED_LISTED.format(of="l"),
}

#: Whether a withdrawal by name stands against it: against rules always, against requests that happened before (S4).
_WITHDRAWN_BY_NAME = """EXISTS (
    SELECT FROM withdrawals w
    WHERE w.organisation = :organisation AND w.course = :course AND w.cycle IN (0, :cycle) AND w.learner = {learner}
      AND ({rules} OR w.occurred_at >= :at))
"""

#: Tells the platform of what changed: each learner's id, and what `became` of their enrolment.
_TELL = """
INSERT INTO outbox (organisation, type, data)
SELECT :organisation, 'rollcall.enrolment.changed', json_build_object(
    'course', (SELECT id FROM courses WHERE organisation = :organisation AND course = :course),
    'cycle', CAST(:cycle AS int), 'cause', CAST(:cause AS text),
    'enrolled', coalesce(json_agg(id) FILTER (WHERE became = 'enrolled'), '[]'),
    'silent', coalesce(json_agg(id) FILTER (WHERE became = 'silent'), '[]'),
    'withdrawn', coalesce(json_agg(id) FILTER (WHERE became = 'withdrawn'), '[]'))
FROM {changed} HAVING count(*) > 0
"""

_HOW_MANY = (
    "SELECT count(*) FILTER (WHERE NOT silent) AS enrolled, count(*) FILTER (WHERE silent) AS silent FROM {those}"
)


#: Enrol whoever is not, open the ledger of their notice and tell the platform, in one reading of the learners. Two that
#: enrol the same learner at once break on the key, and one of them tries again.
_ENROL_THEM = f"""
WITH candidates AS MATERIALIZED (
    SELECT l.learner, l.id, l.standing = 'inactive' AS silent,
           CASE WHEN l.standing = 'inactive' THEN 'silent' ELSE 'enrolled' END AS became,
           {mail.VERDICT.format(kind="'enrolment'", state="'sending'")} AS verdict
    FROM {{learners}}
    WHERE {{those}} AND l.standing IN ('active', 'inactive')
      AND (:chosen OR {{linked}})
      AND NOT EXISTS (
          SELECT FROM enrolments e
          WHERE e.organisation = {{organisation}} AND e.course = :course AND e.cycle = :cycle
            {{enrolled}} AND e.learner = l.learner)
      AND NOT EXISTS (
          SELECT FROM void_enrolments v
          WHERE v.organisation = {{organisation}} AND v.course = :course AND v.cycle = :cycle AND v.learner = l.learner)
      AND NOT {_WITHDRAWN_BY_NAME.format(learner="l.learner", rules="CAST(:requests AS bigint[]) IS NULL")}
    OFFSET 0
), recorded AS (
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, notice, enrolled_at, activated_at,
                            requests, asked)
    SELECT :organisation, :course, :cycle, learner, silent, :fanout,
           CASE WHEN NOT silent THEN CAST(:mailing AS bigint) END, CAST(:at AS timestamptz),
           CASE WHEN NOT silent THEN CAST(:at AS timestamptz) END, CAST(:requests AS bigint[]),
           CAST(:requests AS bigint[])
    FROM candidates
), opened AS ({mail.OPEN_FOR_CANDIDATES}), told AS ({_TELL.format(changed="candidates")})
{_HOW_MANY.format(those="candidates")}
"""
_ENROL, _ENROL_LISTED = _ENROL_THEM.format(**_CHUNK), _ENROL_THEM.format(**_LIST)
_ENROL_DENSE = _ENROL_THEM.format(
    **_CHUNK | {"those": f"{_CHUNK['those']} AND l.learner = ANY(CAST(:listed AS int[]))"}
)


_ANY_WITHDRAWN = """
SELECT EXISTS (
    SELECT FROM enrolments
    WHERE organisation = :organisation AND course = :course AND cycle = :cycle AND learner BETWEEN :low AND :high
      AND withdrawn_at IS NOT NULL)
"""
_ANY_WITHDRAWN_LISTED = """
SELECT EXISTS (
    SELECT FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:listed AS int[])) AS learner) asked
    JOIN enrolments e ON e.organisation = asked.organisation AND e.course = :course AND e.cycle = :cycle
        AND e.learner = asked.learner
    WHERE e.withdrawn_at IS NOT NULL)
"""

#: Record anew what was withdrawn, silent or not by today's status, and keep the stint it had (R10).
_REVIVE_THEM = f"""
WITH revived AS (
    UPDATE enrolments e SET silent = l.standing = 'inactive', fanout = :fanout,
        withdrawn_at = NULL, withdrawn_by = NULL, enrolled_at = :at,
        activated_at = CASE WHEN l.standing = 'active' THEN CAST(:at AS timestamptz) END,
        requests = CAST(:requests AS bigint[]), asked = e.asked || CAST(:requests AS bigint[]),
        notice = CASE
            WHEN d.state = 'pending' OR d.state = 'accepted' AND d.settled_at > now() - CAST(:window AS interval)
                THEN e.notice
            WHEN l.standing = 'active' THEN CAST(:mailing AS bigint)
        END
    FROM {{learners}} LEFT JOIN enrolments o
        ON o.organisation = {{organisation}} AND o.course = :course AND o.cycle = :cycle AND o.learner = l.learner
           {{before}}
    LEFT JOIN deliveries d ON d.organisation = o.organisation AND d.mailing = o.notice AND d.recipient = o.learner
           {{noticed}}
    WHERE e.organisation = {{organisation}} AND e.course = :course AND e.cycle = :cycle
      {{enrolled}} AND e.learner = l.learner AND e.withdrawn_at IS NOT NULL
      AND {{those}} AND l.standing IN ('active', 'inactive') AND (:chosen OR {{linked}})
      AND (CAST(:requests AS bigint[]) IS NOT NULL OR e.withdrawn_by = 'rule')
      AND NOT {_WITHDRAWN_BY_NAME.format(learner="l.learner", rules="CAST(:requests AS bigint[]) IS NULL")}
    RETURNING e.learner, l.id, e.silent, CASE WHEN e.silent THEN 'silent' ELSE 'enrolled' END AS became,
              o.enrolled_at, o.withdrawn_at, o.withdrawn_by
), past AS (
    INSERT INTO stints (organisation, course, cycle, learner, enrolled_at, withdrawn_at, withdrawn_by)
    SELECT :organisation, :course, :cycle, learner, enrolled_at, withdrawn_at, withdrawn_by FROM revived
    ON CONFLICT DO NOTHING
), told AS ({_TELL.format(changed="revived")})
{_HOW_MANY.format(those="revived")}
"""
_REVIVE, _REVIVE_LISTED = _REVIVE_THEM.format(**_CHUNK), _REVIVE_THEM.format(**_LIST)


#: What no source holds any more. The statement that asks says which learners, and whether :links count.
_UNHELD_THEM = """
    e.course = :course AND e.cycle = 1 AND e.withdrawn_at IS NULL AND e.requests IS NULL AND NOT (:links AND {linked})
"""
_UNHELD = _UNHELD_THEM.format(linked=_LINKED.format(learner="e.learner"))
_UNHELD_LISTED = _UNHELD_THEM.format(linked=_LINKED_LISTED.format(of="e"))

_ASKED = """
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:listed AS int[])) AS learner) asked
"""
_HELD = "e.organisation = :organisation AND e.learner BETWEEN :low AND :high"
_HELD_LISTED = "e.organisation = asked.organisation AND e.learner = asked.learner"

_WITHDRAW_THEM = f"""
WITH gone AS (
    UPDATE enrolments e SET withdrawn_at = :at, withdrawn_by = 'rule', fanout = :fanout {{asked}}
    WHERE {{held}} AND {{unheld}} AND e.started_at IS NULL
    RETURNING e.organisation, e.learner
), changed AS (
    SELECT l.id, 'withdrawn' AS became
    FROM gone JOIN learners l ON {{gone}}
), told AS ({_TELL.format(changed="changed")})
SELECT count(*) FROM gone
"""
_WITHDRAW = _WITHDRAW_THEM.format(
    asked="",
    held=_HELD,
    unheld=_UNHELD,
    gone="l.organisation = :organisation AND l.learner = gone.learner AND l.learner BETWEEN :low AND :high",
)
_WITHDRAW_LISTED = _WITHDRAW_THEM.format(
    asked=_ASKED,
    held=_HELD_LISTED,
    unheld=_UNHELD_LISTED,
    gone="l.organisation = gone.organisation AND l.learner = gone.learner",
)


#: Add a request to what holds an enrolment, and nothing else (S6).
_JOIN = f"""
WITH joined AS (
    UPDATE enrolments e SET requests = e.requests || CAST(:fanout AS bigint), asked = e.asked || CAST(:fanout AS bigint)
    {_ASKED}
    WHERE {_HELD_LISTED} AND e.course = :course AND e.cycle = :cycle
      AND e.withdrawn_at IS NULL AND e.fanout <> :fanout
      AND NOT {_WITHDRAWN_BY_NAME.format(learner="e.learner", rules="false")}
    RETURNING e.learner
)
SELECT count(*) FROM joined
"""

#: Of whom something is known that happened at the time of this fan-out or later, besides what caused it (:own facts).
_OVERTAKEN_LISTED = """
SELECT l.learner FROM {learners} WHERE {those} AND l.standing <> 'unsaved' AND (
    :overtaken
    OR l.deleted_at >= :at
    OR l.saved_at >= :at AND NOT EXISTS (
        SELECT FROM descriptions d
        WHERE d.organisation = {organisation} AND d.learner = l.learner AND d.occurred_at < :at
          AND d.occurred_at > coalesce(l.deleted_at, '-infinity') OFFSET 0)
    OR EXISTS (
        SELECT FROM memberships m
        WHERE m.organisation = {organisation} AND m.learner = l.learner AND m.since >= :at
        HAVING max(m.since) > :at OR count(*) > :own)
    OR EXISTS (
        SELECT FROM status_changes s
        WHERE s.organisation = {organisation} AND s.learner = l.learner AND s.occurred_at > :at OFFSET 0)
    OR EXISTS (
        SELECT FROM withdrawals w
        WHERE w.organisation = {organisation} AND w.course = :course AND w.learner = l.learner OFFSET 0)
    OR EXISTS (
        SELECT FROM starts t
        WHERE t.organisation = {organisation} AND t.learner = l.learner AND t.course = :course AND t.cycle = :cycle
          AND (t.occurred_at >= :at OR NOT EXISTS (
              SELECT FROM enrolments e
              WHERE e.organisation = {organisation} AND e.course = :course AND e.cycle = :cycle
                AND e.learner = l.learner AND e.started_at <= t.occurred_at OFFSET 0)) OFFSET 0)
    OR EXISTS (
        SELECT FROM void_enrolments v
        WHERE v.organisation = {organisation} AND v.course = :course AND v.cycle = :cycle AND v.learner = l.learner
        OFFSET 0)
    OR EXISTS (
        SELECT FROM stints s
        WHERE s.organisation = {organisation} AND s.course = :course AND s.cycle = :cycle AND s.learner = l.learner
          AND s.withdrawn_at >= :at OFFSET 0)
    OR EXISTS (
        SELECT FROM enrolments e
        WHERE e.organisation = {organisation} AND e.course = :course AND e.cycle = :cycle AND e.learner = l.learner
          AND (e.withdrawn_at <= e.enrolled_at
               OR greatest(e.enrolled_at, e.withdrawn_at) >= CAST(:at AS timestamptz)
                  AND (e.fanout <> :fanout OR greatest(e.enrolled_at, e.withdrawn_at) > CAST(:at AS timestamptz))
               OR EXISTS (SELECT FROM fanouts f
                          WHERE f.organisation = {organisation} AND f.fanout = ANY(e.asked) AND f.fanout <> :fanout
                            AND f.occurred_at >= :at)) OFFSET 0))
""".format(**_LIST)

#: The same of a chunk: each table is read once, by its range of learners.
_OVERTAKEN = """
SELECT l.learner FROM learners l
WHERE l.organisation = :organisation AND l.learner BETWEEN :low AND :high AND l.standing <> 'unsaved' AND (
    :overtaken
    OR l.deleted_at >= :at
    OR l.saved_at >= :at AND NOT EXISTS (
        SELECT FROM descriptions d
        WHERE d.organisation = :organisation AND d.learner = l.learner AND d.occurred_at < :at
          AND d.occurred_at > coalesce(l.deleted_at, '-infinity'))
    OR l.learner IN (
        SELECT m.learner FROM memberships m
        WHERE m.organisation = :organisation AND m.learner BETWEEN :low AND :high AND m.since >= :at
        GROUP BY m.learner HAVING max(m.since) > :at OR count(*) > :own
        UNION ALL
        SELECT s.learner FROM status_changes s
        WHERE s.organisation = :organisation AND s.learner BETWEEN :low AND :high AND s.occurred_at > :at
        UNION ALL
        SELECT w.learner FROM withdrawals w
        WHERE w.organisation = :organisation AND w.course = :course AND w.learner BETWEEN :low AND :high
        UNION ALL
        SELECT t.learner FROM starts t
        WHERE t.organisation = :organisation AND t.learner BETWEEN :low AND :high AND t.course = :course
          AND t.cycle = :cycle AND (t.occurred_at >= :at OR NOT EXISTS (
              SELECT FROM enrolments e
              WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = :cycle
                AND e.learner = t.learner AND e.started_at <= t.occurred_at))
        UNION ALL
        SELECT v.learner FROM void_enrolments v
        WHERE v.organisation = :organisation AND v.course = :course AND v.cycle = :cycle
          AND v.learner BETWEEN :low AND :high
        UNION ALL
        SELECT s.learner FROM stints s
        WHERE s.organisation = :organisation AND s.course = :course AND s.cycle = :cycle
          AND s.learner BETWEEN :low AND :high AND s.withdrawn_at >= :at
        UNION ALL
        SELECT e.learner FROM enrolments e
        WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = :cycle
          AND e.learner BETWEEN :low AND :high
          AND (e.withdrawn_at <= e.enrolled_at
               OR greatest(e.enrolled_at, e.withdrawn_at) >= CAST(:at AS timestamptz)
                  AND (e.fanout <> :fanout OR greatest(e.enrolled_at, e.withdrawn_at) > CAST(:at AS timestamptz))
               OR e.asked IS NOT NULL AND EXISTS (
                   SELECT FROM fanouts f
                   WHERE f.organisation = :organisation AND f.fanout = ANY(e.asked) AND f.fanout <> :fanout
                     AND f.occurred_at >= :at))))
  AND (CAST(:listed AS int[]) IS NULL OR l.learner = ANY(CAST(:listed AS int[])))
"""

#: Whether there can be anybody like that among the learners numbered from :low to :high, before the fan-out did
#: anything: each table is read in one go, most of them have nothing there.
_ANY_OVERTAKEN = """
SELECT EXISTS (
        SELECT FROM withdrawals
        WHERE organisation = :organisation AND course = :course AND learner BETWEEN :low AND :high)
    OR EXISTS (
        SELECT FROM void_enrolments
        WHERE organisation = :organisation AND course = :course AND cycle = :cycle AND learner BETWEEN :low AND :high)
    OR EXISTS (
        SELECT FROM enrolments e
        WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = :cycle
          AND e.learner BETWEEN :low AND :high
          AND (e.withdrawn_at <= e.enrolled_at OR greatest(e.enrolled_at, e.withdrawn_at) >= CAST(:at AS timestamptz)
               OR e.asked IS NOT NULL))
    OR EXISTS (
        SELECT FROM starts
        WHERE organisation = :organisation AND learner BETWEEN :low AND :high AND course = :course AND cycle = :cycle)
    OR EXISTS (
        SELECT FROM stints
        WHERE organisation = :organisation AND learner BETWEEN :low AND :high AND course = :course AND cycle = :cycle
          AND withdrawn_at >= :at)
    OR EXISTS (
        SELECT FROM learners
        WHERE organisation = :organisation AND learner BETWEEN :low AND :high
          AND (saved_at >= :at OR deleted_at >= :at) AND standing <> 'unsaved')
    OR EXISTS (
        SELECT FROM status_changes
        WHERE organisation = :organisation AND learner BETWEEN :low AND :high AND occurred_at > :at)
    OR EXISTS (
        SELECT FROM memberships
        WHERE organisation = :organisation AND learner BETWEEN :low AND :high AND since >= :at
        GROUP BY learner HAVING max(since) > :at OR count(*) > :own)
"""

#: How many descriptions of a course happened at a time or later; and whether one of them happened later.
_RULES_SINCE = """
SELECT count(*) AS n, coalesce(max(occurred_at) > :at, false) AS later FROM course_rules
WHERE organisation = :organisation AND course = :course AND occurred_at >= :at
"""

#: Keep that a request selected these learners, also where it holds nothing.
_REMEMBER = f"""
WITH shown AS (
    UPDATE enrolments e SET asked = e.asked || CAST(:fanout AS bigint) {_ASKED}
    WHERE {_HELD_LISTED} AND e.course = :course AND e.cycle = :cycle AND :fanout <> ALL(coalesce(e.asked, '{{}}'))
), void AS (
    UPDATE void_enrolments e SET asked = e.asked || CAST(:fanout AS bigint) {_ASKED}
    WHERE {_HELD_LISTED} AND e.course = :course AND e.cycle = :cycle AND :fanout <> ALL(coalesce(e.asked, '{{}}'))
)
INSERT INTO void_enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, asked)
SELECT asked.organisation, :course, :cycle, asked.learner, true, :fanout, :at, ARRAY[CAST(:fanout AS bigint)] {_ASKED}
WHERE NOT EXISTS (
    SELECT FROM enrolments e WHERE {_HELD_LISTED} AND e.course = :course AND e.cycle = :cycle)
ON CONFLICT DO NOTHING
"""


#: Whom the rules of a course would enrol.
_MISSING = f"""
FROM learners l
WHERE l.organisation = :organisation AND l.learner BETWEEN :low AND :high AND l.standing IN ('active', 'inactive')
  AND (:everyone OR :links AND {_LINKED.format(learner="l.learner")})
  AND NOT EXISTS (
      SELECT FROM enrolments e
      WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = 1
        AND e.learner BETWEEN :low AND :high AND e.learner = l.learner AND e.withdrawn_at IS NULL)
  AND NOT EXISTS (
      SELECT FROM withdrawals w
      WHERE w.organisation = :organisation AND w.course = :course AND w.cycle IN (0, 1) AND w.learner = l.learner
        AND w.occurred_at > coalesce(l.deleted_at, '-infinity') AND w.occurred_at < :until)
"""

#: Whom they would withdraw, or flag.
_SURPLUS = f"FROM enrolments e WHERE NOT :everyone AND {_HELD} AND {_UNHELD}"

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
        "cause": "rule",
    }
    revived = enrolled = _NOBODY
    if course.method != "manual":
        candidates = scope | {
            "mailing": None if course.on_hold else fanout.mailing,
            "requests": None,
            "chosen": course.method == "everyone",
        }
        revived = _revived(connection, candidates, window_seconds)
        enrol = _ENROL if fanout.learners is None else _ENROL_LISTED
        enrolled = one(connection, Recorded, enrol, **candidates) or _NOBODY
    if course.method != "everyone":
        scope["links"] = course.method == "segments"
        withdraw = _WITHDRAW if fanout.learners is None else _WITHDRAW_LISTED
        execute(connection, withdraw, **scope)
    return Counts(enrolled, revived, 0)


def any_overtaken(connection: Connection, fanout: Fanout, course: int, low: int, high: int) -> bool:
    """Whether something newer than its event may have been heard of a learner in a chunk. Nearly always nothing was: to
    look, before anything is written, costs little. Of a sparse list that is not known before each is looked up."""
    if fanout.learners is not None and high - low >= DENSE * len(fanout.learners):
        return True
    own, rules = _own(connection, fanout, course)
    scope = _scope(fanout, course) | {"cycle": fanout.cycle, "low": low, "high": high}
    return rules or bool(value(connection, _ANY_OVERTAKEN, **scope, own=own))


def overtaken(connection: Connection, fanout: Fanout, course: int, low: int, high: int) -> list[int]:
    """The learners of a chunk of whom something newer than its event was heard: what the fan-out made of them may be
    otherwise than if all had been heard in time (R6)."""
    own, rules = _own(connection, fanout, course)
    scope = _scope(fanout, course)
    found = column(
        connection,
        _OVERTAKEN if fanout.learners is None or high - low < DENSE * len(fanout.learners) else _OVERTAKEN_LISTED,
        **scope,
        cycle=fanout.cycle,
        fanout=fanout.fanout,
        low=low,
        high=high,
        listed=fanout.learners,
        overtaken=rules,
        own=own,
    )
    if found and fanout.cause == "request":
        remember = {"cycle": fanout.cycle, "fanout": fanout.fanout, "listed": found}
        execute(connection, _REMEMBER, **scope, **remember)
    return found


def _scope(fanout: Fanout, course: int) -> dict[str, object]:
    return {"organisation": fanout.organisation, "course": course, "at": fanout.occurred_at}


def _own(connection: Connection, fanout: Fanout, course: int) -> tuple[int, bool]:
    """How many facts at the time of a fan-out, besides descriptions of the course, are its own; and whether there are
    more descriptions, or newer ones."""
    rules = one(connection, _RulesSince, _RULES_SINCE, **_scope(fanout, course)) or _RulesSince(0, False)
    own = 0 if fanout.cause == "request" else 1
    return own - rules.n, rules.later or rules.n > own


@dataclass(frozen=True, slots=True)
class _RulesSince:
    n: int
    later: bool


def follow_request(connection: Connection, fanout: Fanout, low: int, high: int, window_seconds: float) -> Counts:
    """Enrol the listed learners, who were found eligible; for those who are enrolled add the source alone (R11, S6)."""
    candidates: dict[str, object] = {
        "organisation": fanout.organisation,
        "course": fanout.courses[0],
        "cycle": fanout.cycle,
        "fanout": fanout.fanout,
        "at": fanout.occurred_at,
        "low": low,
        "high": high,
        "listed": fanout.learners or [],
        "cause": "request",
        "mailing": fanout.mailing,
        "requests": [fanout.fanout],
        "chosen": True,
    }
    revived = _revived(connection, candidates, window_seconds)
    if high - low < DENSE * len(fanout.learners or []):
        with planned_for_sets(connection):
            enrolled = one(connection, Recorded, _ENROL_DENSE, **candidates) or _NOBODY
    else:
        enrolled = one(connection, Recorded, _ENROL_LISTED, **candidates) or _NOBODY
    already = int(value(connection, _JOIN, **candidates))
    return Counts(enrolled, revived, already)


def _revived(connection: Connection, candidates: dict[str, object], window_seconds: float) -> Recorded:
    """Most chunks have nobody to bring back: to look costs less than to plan how it would be done."""
    look = _ANY_WITHDRAWN if candidates["listed"] is None else _ANY_WITHDRAWN_LISTED
    if not value(connection, look, **candidates):
        return _NOBODY
    revive = _REVIVE if candidates["listed"] is None else _REVIVE_LISTED
    return one(connection, Recorded, revive, **candidates, window=f"{window_seconds} seconds") or _NOBODY


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


@dataclass(frozen=True, slots=True)
class _Stretch:
    low: int
    high: int


def saved_stretches(connection: Connection, fanout: Fanout, low: int, high: int, size: int) -> list[tuple[int, int]]:
    """From which number to which so many learners at a time reach, of those who were ever saved: nobody else can be
    enrolled, or have been. A look without any lock, as `chunks_to_do`."""
    found = rows(
        connection,
        _Stretch,
        """
        SELECT min(learner) AS low, max(learner) AS high FROM (
            SELECT learner, (row_number() OVER (ORDER BY learner) - 1) / CAST(:size AS int) AS place FROM learners
            WHERE organisation = :organisation AND learner BETWEEN :low AND :high AND standing <> 'unsaved') placed
        GROUP BY place ORDER BY 1
        """,
        organisation=fanout.organisation,
        low=low,
        high=high,
        size=size,
    )
    return [(stretch.low, stretch.high) for stretch in found]


def off_the_rules(connection: Connection, organisation: int, course: Course) -> Off:
    """How many enrolments of a course are not what its rules say."""
    found = one(
        connection,
        Off,
        _OFF,
        organisation=organisation,
        course=course.course,
        low=1,
        high=mail.MOST_LEARNERS,
        everyone=course.method == "everyone",
        links=course.method == "segments",
        until=datetime.max.replace(tzinfo=UTC),
    )
    return found or Off(0, 0)


def any_enrolled(connection: Connection, organisation: int, courses: Sequence[int]) -> bool:
    """Whether anybody is or was enrolled in one of these courses by rule or for the first time."""
    return bool(
        value(
            connection,
            """
            SELECT EXISTS (
                SELECT FROM enrolments
                WHERE organisation = :organisation AND course = ANY(CAST(:courses AS int[])) AND cycle = 1)
            """,
            organisation=organisation,
            courses=list(courses),
        )
    )


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
        enrolled=counts.new.enrolled + counts.again.enrolled,
        silent=counts.new.silent + counts.again.silent,
        already=counts.already,
    )


#: What became of the requests among the `finished`: every learner selected is counted once (R14).
_RESULT = """
INSERT INTO outbox (organisation, type, data)
SELECT finished.organisation, 'rollcall.enrolment.finished', json_build_object(
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


@dataclass(frozen=True, slots=True)
class _Finished:
    """What a fan-out came to; counted is what was asked for, and not what follows from rules."""

    organisation: int
    fanout: int
    cause: str
    selected: int
    enrolled: int
    silent: int
    already: int


def finish_fanouts(connection: Connection, *, alone: bool = False) -> int:
    """Close the fan-outs of which no piece is left, and say what became of those somebody asked for (R14)."""
    numbers = column(
        connection,
        """
        SELECT fanout FROM fanouts f
        WHERE finished_at IS NULL AND NOT EXISTS (
            SELECT FROM work w
            WHERE w.organisation = f.organisation AND w.subject = f.fanout
              AND w.actor IN ('enrolments.survey', 'enrolments.chunk'))
        ORDER BY fanout
        """,
    )
    if alone:
        return one_by_one(connection, "finish fan-out", numbers, lambda number: _finish(connection, [number]))
    return _finish(connection, numbers) if numbers else 0


def _finish(connection: Connection, fanouts: list[int]) -> int:
    finished = rows(
        connection,
        _Finished,
        """
        WITH finished AS (
            UPDATE fanouts SET finished_at = now() WHERE finished_at IS NULL AND fanout = ANY(:fanouts) RETURNING *
        ), told AS (
        """
        + _RESULT
        + ") SELECT organisation, fanout, cause, selected, enrolled, silent, already FROM finished",
        fanouts=fanouts,
    )
    for fanout in finished:
        counts = asdict(fanout) if fanout.cause == "request" else {}
        numbers = {"organisation": fanout.organisation, "fanout": fanout.fanout, "cause": fanout.cause}
        say(connection, "fanout.finished", **counts | numbers)
    return len(finished)


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


def any_running(connection: Connection, organisation: int) -> bool:
    """Whether a part of a fan-out of this organisation is still to be done."""
    return bool(
        value(
            connection,
            """
            SELECT EXISTS (
                SELECT FROM work
                WHERE organisation = :organisation AND actor IN ('enrolments.survey', 'enrolments.chunk'))
            """,
            organisation=organisation,
        )
    )


def running_fanouts(connection: Connection) -> int:
    """How many fan-outs are not finished."""
    return int(value(connection, "SELECT count(*) FROM fanouts WHERE finished_at IS NULL"))
