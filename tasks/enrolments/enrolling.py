"""What a fan-out does in one chunk, as SQL on sets: a chunk of learners never passes through Python."""

from collections.abc import Sequence

from sqlalchemy import Connection

from config.database import execute, integer, planned_for_sets, the_one
from config.sql import query
from tasks import mail
from tasks.enrolments.courses import Course
from tasks.enrolments.fanouts import DENSE, NOBODY, Counts, Fanout, Recorded
from tasks.enrolments.fragments import (
    CHUNK,
    HELD,
    LINKED_LISTED,
    LIST,
    SINCE,
    UNHELD,
    UNHELD_THEM,
    WITHDRAWN,
)
from tasks.events import ENROLMENTS_CHANGED

#: Announces what changed, at most a chunk: each learner's id, and what `became` of their enrolment.
_ANNOUNCE = ENROLMENTS_CHANGED.format(
    changed="""(
    SELECT {of_course} AS course, CAST(:cycle AS int) AS cycle, id, {became} AS became, 0 AS part FROM {changed})"""
)
_BECAME = "CASE WHEN silent THEN 'silent' ELSE 'enrolled' END"

_HOW_MANY = "count(*) FILTER (WHERE NOT silent) AS enrolled, count(*) FILTER (WHERE silent) AS silent"

#: Enrol whoever is not, open the ledger of their notice and tell the platform, in one reading of the learners. Two that
#: enrol the same learner at once break on the key, and one of them tries again.
_ENROL_THEM = f"""
WITH {{places}} AS MATERIALIZED (
    SELECT {{kept}}l.learner, l.id, l.standing = 'inactive' AS silent, {SINCE} AS since,
           {mail.VERDICT.format(kind="'enrolment'", state="'sending'")} AS verdict
    FROM {{learners}}
    WHERE {{those}} AND l.standing IN ('active', 'inactive')
      AND ({{chosen}} OR {{linked}})
      AND {{free}}
    ORDER BY l.learner OFFSET 0
), recorded AS (
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, notice, enrolled_at, activated_at,
                            requests, asked)
    SELECT :organisation, {{of_course}}, :cycle, learner, silent, :fanout,
           CASE WHEN NOT silent {{told}} THEN CAST(:mailing AS bigint) END, since, CASE WHEN NOT silent THEN since END,
           CAST(:requests AS bigint[]), CAST(:requests AS bigint[])
    FROM {{places}}
), {{candidates}}opened AS ({mail.OPEN_FOR_CANDIDATES}), told AS (
    {_ANNOUNCE.format(changed="{places}", of_course="{of_course}", became=_BECAME)})
SELECT {_HOW_MANY}, EXISTS (
    SELECT FROM {{there}} AND e.cycle = :cycle AND e.withdrawn_at IS NOT NULL) AS withdrawn
FROM {{places}}
"""
_ENROL, _ENROL_LISTED = _ENROL_THEM.format(**CHUNK), _ENROL_THEM.format(**LIST)
_ENROL_DENSE = _ENROL_THEM.format(**CHUNK | {"those": f"{CHUNK['those']} AND l.learner = ANY(CAST(:listed AS int[]))"})

#: Record anew what was withdrawn, silent or not by today's status, and keep the period it had (R10).
_REVIVE_THEM = f"""
WITH revived AS (
    UPDATE enrolments e SET silent = l.standing = 'inactive', fanout = :fanout,
        withdrawn_at = NULL, withdrawn_by = NULL, enrolled_at = {SINCE},
        activated_at = CASE WHEN l.standing = 'active' THEN {SINCE} END,
        requests = CAST(:requests AS bigint[]), asked = e.asked || CAST(:requests AS bigint[]),
        notice = CASE
            WHEN d.state = 'pending' OR d.state = 'accepted' AND d.settled_at > now() - CAST(:window AS interval)
                THEN e.notice
            WHEN l.standing = 'active' {{told}} THEN CAST(:mailing AS bigint)
        END
    FROM {{learners}} LEFT JOIN enrolments o
        ON o.organisation = {{organisation}} AND o.course = {{course}} AND o.cycle = :cycle AND o.learner = l.learner
           {{before}}
    LEFT JOIN deliveries d ON d.organisation = o.organisation AND d.mailing = o.notice AND d.recipient = o.learner
           {{noticed}}
    WHERE e.organisation = {{organisation}} AND e.course = {{course}} AND e.cycle = :cycle
      {{enrolled}} AND e.learner = l.learner AND e.withdrawn_at IS NOT NULL
      AND {{those}} AND l.standing IN ('active', 'inactive') AND ({{chosen}} OR {{linked}})
      AND (CAST(:requests AS bigint[]) IS NOT NULL OR e.withdrawn_by = 'rule')
      AND NOT {WITHDRAWN}
    RETURNING e.course, e.learner, l.id, e.silent, o.enrolled_at, o.withdrawn_at, o.withdrawn_by
), past AS (
    INSERT INTO stints (organisation, course, cycle, learner, enrolled_at, withdrawn_at, withdrawn_by)
    SELECT :organisation, course, :cycle, learner, enrolled_at, withdrawn_at, withdrawn_by FROM revived
    ON CONFLICT DO NOTHING
), told AS ({_ANNOUNCE.format(changed="revived", of_course="{of_course}", became=_BECAME)})
SELECT {_HOW_MANY} FROM revived
"""

_REVIVE, _REVIVE_LISTED = _REVIVE_THEM.format(**CHUNK), _REVIVE_THEM.format(**LIST)

_WITHDRAW_THEM = f"""
WITH gone AS (
    UPDATE enrolments e SET withdrawn_at = :at, withdrawn_by = 'rule', fanout = :fanout {{asked}}
    WHERE {{held}} AND {{unheld}} AND e.started_at IS NULL
    RETURNING e.organisation, e.course, e.learner
), changed AS (
    SELECT gone.course, l.id FROM gone JOIN learners l ON {{gone}}
), told AS ({_ANNOUNCE.format(changed="changed", of_course="course", became="'withdrawn'")})
SELECT count(*) FROM gone
"""
_WITHDRAW = _WITHDRAW_THEM.format(
    asked="",
    held=HELD,
    unheld=UNHELD,
    gone="l.organisation = :organisation AND l.learner = gone.learner AND l.learner BETWEEN :low AND :high",
)
#: Of a list the places are looked up by the key: joined with it, all enrolments of everybody would be read in one go.
_WITHDRAW_LISTED = _WITHDRAW_THEM.format(
    asked="FROM unnest(CAST(:courses AS int[]), CAST(:links AS boolean[])) AS asked (course, links)",
    held="""e.organisation = :organisation AND e.course = ANY(CAST(:courses AS int[]))
      AND e.learner = ANY(CAST(:listed AS int[])) AND asked.course = e.course""",
    unheld=UNHELD_THEM.format(links="asked.links", linked=LINKED_LISTED.format(of="e", of_course="e.course")),
    gone="l.organisation = gone.organisation AND l.learner = gone.learner",
)


def follow_rules(
    connection: Connection, fanout: Fanout, courses: Sequence[Course], low: int, high: int, window_seconds: float
) -> list[Counts]:
    """Bring the rule-made enrolments of one chunk of learners in line with the rules as they stand (R7, R9, R10): of a
    list in all courses at once, of learners in a row course by course."""
    scope = _scope(fanout, low, high, window_seconds) | {"requests": None}
    if fanout.learners is not None:
        return [_follow_listed(connection, courses, scope)]
    return [_follow_in_a_row(connection, course, scope) for course in courses]


def follow_request(connection: Connection, fanout: Fanout, low: int, high: int, window_seconds: float) -> Counts:
    """Enrol the listed learners, who were found eligible; for those who are enrolled add the source alone (R11, S6)."""
    scope = _scope(fanout, low, high, window_seconds) | {"requests": [fanout.fanout], "course": fanout.courses[0]}
    places = scope | {"courses": fanout.courses, "chosen": [True], "on_hold": [False]}
    dense = high - low < DENSE * len(fanout.learners or [])
    enrolled, revived = _enrol_listed(connection, places, dense=dense)
    return Counts(enrolled, revived, integer(connection, query("enrolments.add_source"), **scope))


def _scope(fanout: Fanout, low: int, high: int, window_seconds: float) -> dict[str, object]:
    return {
        "organisation": fanout.organisation,
        "cycle": fanout.cycle,
        "fanout": fanout.fanout,
        "at": fanout.occurred_at,
        "low": low,
        "high": high,
        "listed": fanout.learners,
        "cause": fanout.cause,
        "mailing": fanout.mailing,
        "window": f"{window_seconds} seconds",
    }


def _follow_in_a_row(connection: Connection, course: Course, scope: dict[str, object]) -> Counts:
    scope = scope | {
        "course": course.course,
        "chosen": course.method == "everyone",
        "links": course.method == "segments",
    }
    enrolled = revived = NOBODY
    if course.method != "manual":
        scope["mailing"] = None if course.on_hold else scope["mailing"]
        enrolled = the_one(connection, Recorded, _ENROL, **scope)
        if enrolled.withdrawn:
            revived = the_one(connection, Recorded, _REVIVE, **scope)
    if course.method != "everyone":
        execute(connection, _WITHDRAW, **scope)
    return Counts(enrolled, revived, 0)


def _follow_listed(connection: Connection, courses: Sequence[Course], scope: dict[str, object]) -> Counts:
    enrolled = revived = NOBODY
    if ruled := [course for course in courses if course.method != "manual"]:
        scope["courses"] = [course.course for course in ruled]
        scope["chosen"] = [course.method == "everyone" for course in ruled]
        scope["on_hold"] = [course.on_hold for course in ruled]
        enrolled, revived = _enrol_listed(connection, scope)
    if ending := [course for course in courses if course.method != "everyone"]:
        scope["courses"] = [course.course for course in ending]
        scope["links"] = [course.method == "segments" for course in ending]
        execute(connection, _WITHDRAW_LISTED, **scope)
    return Counts(enrolled, revived, 0)


def _enrol_listed(
    connection: Connection, places: dict[str, object], *, dense: bool = False
) -> tuple[Recorded, Recorded]:
    """Who is enrolled, and who again: most have nobody to bring back, as is seen when the others are enrolled."""
    if dense:
        with planned_for_sets(connection):
            enrolled = the_one(connection, Recorded, _ENROL_DENSE, **places | {"chosen": True})
    else:
        enrolled = the_one(connection, Recorded, _ENROL_LISTED, **places)
    revived = the_one(connection, Recorded, _REVIVE_LISTED, **places) if enrolled.withdrawn else NOBODY
    return enrolled, revived
