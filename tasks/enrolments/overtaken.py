"""Who was overtaken by newer facts before a fan-out came to them (R6), as SQL."""

from sqlalchemy import Connection

from config.database import column, execute
from tasks.enrolments.fanouts import DENSE, Fanout
from tasks.enrolments.fragments import ASKED, HELD_LISTED

#: The learners of whom something is known that happened at the time of a fan-out or later, besides what caused it
#: (:own facts), asked before it writes. Each table is read once, by its learners; most of them have nothing there.
#: When a learner was described is not asked: no rule enrols earlier, see `fragments.SINCE`.
_OVERTAKEN = """
WITH rules AS MATERIALIZED (
    SELECT count(*) AS n, coalesce(max(occurred_at) > :at, false) AS later FROM course_rules
    WHERE organisation = :organisation AND course = :course AND occurred_at >= :at
)
SELECT DISTINCT found.learner FROM (
    SELECT l.learner FROM learners l
    WHERE l.organisation = :organisation AND l.learner {those} AND (SELECT later OR n > :own FROM rules)
    UNION ALL
    SELECT d.learner FROM deletions d
    WHERE d.organisation = :organisation AND d.learner {those} AND d.occurred_at >= :at
    UNION ALL
    SELECT m.learner FROM memberships m
    WHERE m.organisation = :organisation AND m.learner {those} AND m.since >= :at
    GROUP BY m.learner HAVING max(m.since) > :at OR count(*) > :own - (SELECT n FROM rules)
    UNION ALL
    SELECT s.learner FROM status_changes s
    WHERE s.organisation = :organisation AND s.learner {those} AND s.occurred_at > :at
    UNION ALL
    SELECT w.learner FROM withdrawals w
    WHERE w.organisation = :organisation AND w.course = :course AND w.learner {those}
    UNION ALL
    SELECT t.learner FROM starts t
    WHERE t.organisation = :organisation AND t.course = :course AND t.cycle = :cycle AND t.learner {those}
      AND (t.occurred_at >= :at OR NOT EXISTS (
          SELECT FROM enrolments e
          WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = :cycle AND e.learner = t.learner
            AND e.started_at <= t.occurred_at))
    UNION ALL
    SELECT v.learner FROM void_enrolments v
    WHERE v.organisation = :organisation AND v.course = :course AND v.cycle = :cycle AND v.learner {those}
    UNION ALL
    SELECT s.learner FROM stints s
    WHERE s.organisation = :organisation AND s.course = :course AND s.cycle = :cycle AND s.learner {those}
      AND s.withdrawn_at >= :at
    UNION ALL
    SELECT e.learner FROM enrolments e
    WHERE e.organisation = :organisation AND e.course = :course AND e.cycle = :cycle AND e.learner {those}
      AND (e.withdrawn_at <= e.enrolled_at OR greatest(e.enrolled_at, e.withdrawn_at) >= CAST(:at AS timestamptz)
           OR EXISTS (
               SELECT FROM fanouts f
               WHERE f.organisation = :organisation AND f.fanout = ANY(e.asked) AND f.occurred_at >= :at))
) found
WHERE (
    SELECT l.standing <> 'unsaved' FROM learners l
    WHERE l.organisation = :organisation AND l.learner = found.learner)
"""
_IN_A_ROW = _OVERTAKEN.format(those="BETWEEN :low AND :high")
_LISTED = _OVERTAKEN.format(those="= ANY(CAST(:listed AS int[]))")


def overtaken(connection: Connection, fanout: Fanout, course: int, low: int, high: int) -> list[int]:
    """The learners of a chunk of whom something newer than its event was heard: what the fan-out makes of them may be
    otherwise than if all had been heard in time (R6)."""
    listed = fanout.learners
    sparse = listed is not None and high - low >= DENSE * len(listed)
    found = column(
        connection,
        _LISTED if sparse else _IN_A_ROW,
        organisation=fanout.organisation,
        course=course,
        cycle=fanout.cycle,
        at=fanout.occurred_at,
        own=0 if fanout.cause == "request" else 1,
        **{"listed": listed} if sparse else {"low": low, "high": high},
    )
    return found if listed is None else sorted(set(found).intersection(listed))


#: Keep that a request selected these learners, also where it holds nothing.
_REMEMBER = f"""
WITH shown AS (
    UPDATE enrolments e SET asked = e.asked || CAST(:fanout AS bigint) {ASKED}
    WHERE {HELD_LISTED} AND e.course = :course AND e.cycle = :cycle AND :fanout <> ALL(coalesce(e.asked, '{{}}'))
), void AS (
    UPDATE void_enrolments e SET asked = e.asked || CAST(:fanout AS bigint) {ASKED}
    WHERE {HELD_LISTED} AND e.course = :course AND e.cycle = :cycle AND :fanout <> ALL(coalesce(e.asked, '{{}}'))
)
INSERT INTO void_enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, asked)
SELECT asked.organisation, :course, :cycle, asked.learner, true, :fanout, :at, ARRAY[CAST(:fanout AS bigint)] {ASKED}
WHERE NOT EXISTS (
    SELECT FROM enrolments e WHERE {HELD_LISTED} AND e.course = :course AND e.cycle = :cycle)
ON CONFLICT DO NOTHING
"""


def remember_selected(connection: Connection, fanout: Fanout, learners: list[int]) -> None:
    """Keep that a request selected these learners, once it was followed."""
    execute(
        connection,
        _REMEMBER,
        organisation=fanout.organisation,
        course=fanout.courses[0],
        cycle=fanout.cycle,
        at=fanout.occurred_at,
        fanout=fanout.fanout,
        listed=learners,
    )
