"""What a fan-out does in one chunk, as SQL on sets: a chunk of learners never passes through Python."""

from sqlalchemy import Connection

from config.database import execute, one, planned_for_sets, value
from tasks import mail
from tasks.enrolments.courses import Course
from tasks.enrolments.fanouts import DENSE, NOBODY, Counts, Fanout, Recorded
from tasks.enrolments.fragments import (
    ASKED,
    CHUNK,
    HELD,
    HELD_LISTED,
    LIST,
    SINCE,
    UNHELD,
    UNHELD_LISTED,
    WITHDRAWN_BY_NAME,
)
from tasks.events import EMIT

#: Tells the platform of what changed: each learner's id, and what `became` of their enrolment.
_TELL = (
    EMIT
    + """
SELECT :organisation, 'rollcall.enrolment.changed', json_build_object(
    'course', (SELECT id FROM courses WHERE organisation = :organisation AND course = :course),
    'cycle', CAST(:cycle AS int), 'cause', CAST(:cause AS text),
    'enrolled', coalesce(json_agg(id) FILTER (WHERE became = 'enrolled'), '[]'),
    'silent', coalesce(json_agg(id) FILTER (WHERE became = 'silent'), '[]'),
    'withdrawn', coalesce(json_agg(id) FILTER (WHERE became = 'withdrawn'), '[]'))
FROM {changed} HAVING count(*) > 0
"""
)

_HOW_MANY = "count(*) FILTER (WHERE NOT silent) AS enrolled, count(*) FILTER (WHERE silent) AS silent"

#: Enrol whoever is not, open the ledger of their notice and tell the platform, in one reading of the learners. Two that
#: enrol the same learner at once break on the key, and one of them tries again.
_ENROL_THEM = f"""
WITH candidates AS MATERIALIZED (
    SELECT l.learner, l.id, l.standing = 'inactive' AS silent,
           CASE WHEN l.standing = 'inactive' THEN 'silent' ELSE 'enrolled' END AS became,
           {SINCE} AS since, {mail.VERDICT.format(kind="'enrolment'", state="'sending'")} AS verdict
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
      AND NOT {WITHDRAWN_BY_NAME.format(learner="l.learner", rules="CAST(:requests AS bigint[]) IS NULL")}
    OFFSET 0
), recorded AS (
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, notice, enrolled_at, activated_at,
                            requests, asked)
    SELECT :organisation, :course, :cycle, learner, silent, :fanout,
           CASE WHEN NOT silent THEN CAST(:mailing AS bigint) END, since, CASE WHEN NOT silent THEN since END,
           CAST(:requests AS bigint[]), CAST(:requests AS bigint[])
    FROM candidates
), opened AS ({mail.OPEN_FOR_CANDIDATES}), told AS ({_TELL.format(changed="candidates")})
SELECT {_HOW_MANY}, EXISTS (
    SELECT FROM {{there}} AND e.course = :course AND e.cycle = :cycle AND e.withdrawn_at IS NOT NULL) AS withdrawn
FROM candidates
"""
_ENROL, _ENROL_LISTED = _ENROL_THEM.format(**CHUNK), _ENROL_THEM.format(**LIST)
_ENROL_DENSE = _ENROL_THEM.format(**CHUNK | {"those": f"{CHUNK['those']} AND l.learner = ANY(CAST(:listed AS int[]))"})

#: Record anew what was withdrawn, silent or not by today's status, and keep the stint it had (R10).
_REVIVE_THEM = f"""
WITH revived AS (
    UPDATE enrolments e SET silent = l.standing = 'inactive', fanout = :fanout,
        withdrawn_at = NULL, withdrawn_by = NULL, enrolled_at = {SINCE},
        activated_at = CASE WHEN l.standing = 'active' THEN {SINCE} END,
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
      AND NOT {WITHDRAWN_BY_NAME.format(learner="l.learner", rules="CAST(:requests AS bigint[]) IS NULL")}
    RETURNING e.learner, l.id, e.silent, CASE WHEN e.silent THEN 'silent' ELSE 'enrolled' END AS became,
              o.enrolled_at, o.withdrawn_at, o.withdrawn_by
), past AS (
    INSERT INTO stints (organisation, course, cycle, learner, enrolled_at, withdrawn_at, withdrawn_by)
    SELECT :organisation, :course, :cycle, learner, enrolled_at, withdrawn_at, withdrawn_by FROM revived
    ON CONFLICT DO NOTHING
), told AS ({_TELL.format(changed="revived")})
SELECT {_HOW_MANY} FROM revived
"""

_REVIVE, _REVIVE_LISTED = _REVIVE_THEM.format(**CHUNK), _REVIVE_THEM.format(**LIST)

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
    held=HELD,
    unheld=UNHELD,
    gone="l.organisation = :organisation AND l.learner = gone.learner AND l.learner BETWEEN :low AND :high",
)
_WITHDRAW_LISTED = _WITHDRAW_THEM.format(
    asked=ASKED,
    held=HELD_LISTED,
    unheld=UNHELD_LISTED,
    gone="l.organisation = gone.organisation AND l.learner = gone.learner",
)

#: Add a request to what holds an enrolment, and nothing else (S6).
_JOIN = f"""
WITH joined AS (
    UPDATE enrolments e SET requests = e.requests || CAST(:fanout AS bigint), asked = e.asked || CAST(:fanout AS bigint)
    {ASKED}
    WHERE {HELD_LISTED} AND e.course = :course AND e.cycle = :cycle
      AND e.withdrawn_at IS NULL AND e.fanout <> :fanout
      AND NOT {WITHDRAWN_BY_NAME.format(learner="e.learner", rules="false")}
    RETURNING e.learner
)
SELECT count(*) FROM joined
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
    revived = enrolled = NOBODY
    if course.method != "manual":
        candidates = scope | {
            "mailing": None if course.on_hold else fanout.mailing,
            "requests": None,
            "chosen": course.method == "everyone",
        }
        enrol = _ENROL if fanout.learners is None else _ENROL_LISTED
        enrolled = one(connection, Recorded, enrol, **candidates) or NOBODY
        revived = _revived(connection, candidates, window_seconds, enrolled)
    if course.method != "everyone":
        scope["links"] = course.method == "segments"
        withdraw = _WITHDRAW if fanout.learners is None else _WITHDRAW_LISTED
        execute(connection, withdraw, **scope)
    return Counts(enrolled, revived, 0)


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
    if high - low < DENSE * len(fanout.learners or []):
        with planned_for_sets(connection):
            enrolled = one(connection, Recorded, _ENROL_DENSE, **candidates) or NOBODY
    else:
        enrolled = one(connection, Recorded, _ENROL_LISTED, **candidates) or NOBODY
    revived = _revived(connection, candidates, window_seconds, enrolled)
    already = int(value(connection, _JOIN, **candidates))
    return Counts(enrolled, revived, already)


def _revived(
    connection: Connection, candidates: dict[str, object], window_seconds: float, enrolled: Recorded
) -> Recorded:
    """Most chunks have nobody to bring back, as was seen when the others were enrolled."""
    if not enrolled.withdrawn:
        return NOBODY
    revive = _REVIVE if candidates["listed"] is None else _REVIVE_LISTED
    return one(connection, Recorded, revive, **candidates, window=f"{window_seconds} seconds") or NOBODY
