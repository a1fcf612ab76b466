"""Who was overtaken by newer facts before a fan-out came to them (R6), as SQL."""

from sqlalchemy import Connection

from config.database import execute, tuples
from config.sql import query
from tasks.enrolments.fanouts import DENSE, Fanout

#: The learners and courses of whom something is known that happened at the time of a fan-out or later, besides what
#: caused it (:own facts), asked before it writes. Each table is read once, by its learners; most of them have nothing
#: there. When a learner was described is not asked: no rule enrols earlier, see `fragments.SINCE`.
_OVERTAKEN = """
WITH described AS MATERIALIZED (
    SELECT c.course, count(r.occurred_at) AS n, coalesce(max(r.occurred_at) > :at, false) AS later
    FROM {courses} AS c (course) LEFT JOIN course_rules r
        ON r.organisation = :organisation AND r.course = c.course AND r.occurred_at >= :at
    GROUP BY c.course
)
SELECT DISTINCT found.course, found.learner FROM (
    SELECT c.course, every.learner FROM described c CROSS JOIN LATERAL (
        SELECT l.learner FROM learners l
        WHERE l.organisation = :organisation AND l.learner {those} AND (c.later OR c.n > :own) OFFSET 0) every
    UNION ALL
    SELECT c.course, d.learner FROM deletions d CROSS JOIN described c
    WHERE d.organisation = :organisation AND d.learner {those} AND d.occurred_at >= :at
    UNION ALL
    SELECT c.course, m.learner FROM memberships m CROSS JOIN described c
    WHERE m.organisation = :organisation AND m.learner {those} AND m.since >= :at
    GROUP BY c.course, m.learner, c.n HAVING max(m.since) > :at OR count(*) > :own - c.n
    UNION ALL
    SELECT c.course, s.learner FROM status_changes s CROSS JOIN described c
    WHERE s.organisation = :organisation AND s.learner {those} AND s.occurred_at > :at
    UNION ALL
    SELECT w.course, w.learner FROM withdrawals w
    WHERE w.organisation = :organisation AND w.course {these} AND w.learner {those}
    UNION ALL
    SELECT t.course, t.learner FROM starts t
    WHERE t.organisation = :organisation AND t.course {these} AND t.cycle = :cycle AND t.learner {those}
      AND (t.occurred_at >= :at OR NOT EXISTS (
          SELECT FROM enrolments e
          WHERE e.organisation = :organisation AND e.course = t.course AND e.cycle = :cycle AND e.learner = t.learner
            AND e.started_at <= t.occurred_at))
    UNION ALL
    SELECT v.course, v.learner FROM void_enrolments v
    WHERE v.organisation = :organisation AND v.course {these} AND v.cycle = :cycle AND v.learner {those}
    UNION ALL
    SELECT s.course, s.learner FROM stints s
    WHERE s.organisation = :organisation AND s.course {these} AND s.cycle = :cycle AND s.learner {those}
      AND s.withdrawn_at >= :at
    UNION ALL
    SELECT e.course, e.learner FROM enrolments e
    WHERE e.organisation = :organisation AND e.course {these} AND e.cycle = :cycle AND e.learner {those}
      AND (e.withdrawn_at <= e.enrolled_at
           OR greatest(e.enrolled_at, e.withdrawn_at, e.activated_at) >= CAST(:at AS timestamptz)
           OR EXISTS (
               SELECT FROM fanouts f
               WHERE f.organisation = :organisation AND f.fanout = ANY(e.asked) AND f.occurred_at >= :at))
) found
WHERE (
    SELECT l.standing <> 'unsaved' FROM learners l
    WHERE l.organisation = :organisation AND l.learner = found.learner)
"""
_IN_A_ROW = _OVERTAKEN.format(
    courses="(SELECT CAST(:course AS int))", these="= :course", those="BETWEEN :low AND :high"
)
_LISTED = _OVERTAKEN.format(
    courses="unnest(CAST(:courses AS int[]))",
    these="= ANY(CAST(:courses AS int[]))",
    those="= ANY(CAST(:listed AS int[]))",
)


def overtaken(connection: Connection, fanout: Fanout, low: int, high: int) -> list[tuple[int, int]]:
    """The courses and learners of a chunk of whom something newer than its event was heard: what the fan-out makes of
    them may be otherwise than if all had been heard in time (R6). Learners in a row are asked for course by course,
    as nearly all of them are about one; the plan for one is kept."""
    scope: dict[str, object] = {
        "organisation": fanout.organisation,
        "cycle": fanout.cycle,
        "at": fanout.occurred_at,
        "own": 0 if fanout.cause == "request" else 1,
    }
    listed = fanout.learners
    if listed is not None and (len(fanout.courses) > 1 or high - low >= DENSE * len(listed)):
        return tuples(connection, _LISTED, **scope, courses=fanout.courses, listed=listed)
    among = None if listed is None else set(listed)
    return [
        (course, learner)
        for course in fanout.courses
        for _, learner in tuples(connection, _IN_A_ROW, **scope, course=course, low=low, high=high)
        if among is None or learner in among
    ]


def remember_selected(connection: Connection, fanout: Fanout, learners: list[int]) -> None:
    """Keep that a request selected these learners, once it was followed."""
    execute(
        connection,
        query("enrolments.remember_selected"),
        organisation=fanout.organisation,
        course=fanout.courses[0],
        cycle=fanout.cycle,
        at=fanout.occurred_at,
        fanout=fanout.fanout,
        listed=learners,
    )
