"""What the statements of fan-outs have in common, as SQL."""

#: Whether a linked segment holds the learner. The method of the course is asked by the caller: do links count? (R10)
LINKED = """EXISTS (
    SELECT FROM course_segments cs JOIN memberships m USING (organisation, segment)
    WHERE cs.organisation = :organisation AND cs.course = :course AND m.learner = {learner} AND m.member)
"""

#: The same of a learner who is looked up: by the segments that they are in, not by all that are linked.
LINKED_LISTED = """EXISTS (
    SELECT FROM (
        SELECT m.organisation, m.segment FROM memberships m
        WHERE m.organisation = {of}.organisation AND m.learner = {of}.learner AND m.member OFFSET 0) held
    JOIN course_segments cs ON cs.organisation = held.organisation AND cs.segment = held.segment
        AND cs.course = :course)
"""

#: The learners that a statement is about. A chunk: those numbered from :low to :high, which are read in one go. A list:
#: each is looked up by its number, whatever the planner believes; what it is joined with comes by `{organisation}`, so
#: that no join begins with all that the organisation has.
CHUNK = {
    "learners": "learners l",
    "those": "l.organisation = :organisation AND l.learner BETWEEN :low AND :high",
    "organisation": ":organisation",
    "there": "enrolments e WHERE e.organisation = :organisation AND e.learner BETWEEN :low AND :high",
    "enrolled": "AND e.learner BETWEEN :low AND :high",
    "before": "AND o.learner BETWEEN :low AND :high",
    "noticed": "AND d.recipient BETWEEN :low AND :high",
    "linked": LINKED.format(learner="l.learner"),
}

LIST = {
    "learners": """(
        SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:listed AS int[])) AS learner) asked
    JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner""",
    "those": "true",
    "organisation": "l.organisation",
    "there": """(
        SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:listed AS int[])) AS learner) asked
    JOIN enrolments e ON e.organisation = asked.organisation AND e.learner = asked.learner WHERE true""",
    "enrolled": "",
    "before": "",
    "noticed": "",
    "linked": LINKED_LISTED.format(of="l"),
}

#: Whether a withdrawal by name stands against it: against rules always, against requests that happened before (S4).
WITHDRAWN_BY_NAME = """EXISTS (
    SELECT FROM withdrawals w
    WHERE w.organisation = :organisation AND w.course = :course AND w.cycle IN (0, :cycle) AND w.learner = {learner}
      AND ({rules} OR w.occurred_at >= :at))
"""

#: What no source holds any more. The statement that asks says which learners, and whether :links count.
UNHELD_THEM = """
    e.course = :course AND e.cycle = 1 AND e.withdrawn_at IS NULL AND e.requests IS NULL AND NOT (:links AND {linked})
"""
UNHELD = UNHELD_THEM.format(linked=LINKED.format(learner="e.learner"))
UNHELD_LISTED = UNHELD_THEM.format(linked=LINKED_LISTED.format(of="e"))

ASKED = """
    FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:listed AS int[])) AS learner) asked
"""
HELD = "e.organisation = :organisation AND e.learner BETWEEN :low AND :high"
HELD_LISTED = "e.organisation = asked.organisation AND e.learner = asked.learner"

#: Since when a fan-out's rule enrols a learner: its own time, or when they were first described in this life of theirs
#: (S15). A request counts from its own time on.
SINCE = """CASE WHEN CAST(:requests AS bigint[]) IS NOT NULL OR l.saved_at <= :at THEN CAST(:at AS timestamptz)
    ELSE greatest(CAST(:at AS timestamptz), least(l.saved_at, (
        SELECT min(d.occurred_at) FROM descriptions d
        WHERE d.organisation = l.organisation AND d.learner = l.learner
          AND d.occurred_at > coalesce(l.deleted_at, '-infinity')))) END"""
