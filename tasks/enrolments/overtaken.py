"""Who was overtaken by newer facts before a fan-out came to them (R6), as SQL."""

from dataclasses import dataclass

from sqlalchemy import Connection

from config.database import column, execute, one, value
from tasks.enrolments.fanouts import DENSE, Fanout
from tasks.enrolments.fragments import ASKED, HELD_LISTED, LIST

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
""".format(**LIST)

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
