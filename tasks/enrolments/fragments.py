"""What the statements of fan-outs have in common, as SQL."""

#: Whether a linked segment holds the learner. The method of the course is asked by the caller: do links count? (R10)
LINKED = """EXISTS (
    SELECT FROM linked k WHERE k.organisation = :organisation AND k.course = :course AND k.learner = {learner})
"""
#: The same of a learner who is looked up: by the segments that they are in, not by all that are linked.
LINKED_LISTED = """EXISTS (
    SELECT FROM (
        SELECT m.organisation, m.segment FROM memberships m
        WHERE m.organisation = {of}.organisation AND m.learner = {of}.learner AND m.member OFFSET 0) held
    JOIN course_segments cs ON cs.organisation = held.organisation AND cs.segment = held.segment
        AND cs.course = {of_course})
"""

#: Whether a withdrawal by name stands against an enrolment, one that covers its cycle: against rules always, against
#: requests that happened before (S4).
_STANDS = "(CAST(:requests AS bigint[]) IS NULL OR said.occurred_at >= :at)"
WITHDRAWN = f"""EXISTS (
    SELECT FROM withdrawn_by_name(:cycle) said
    WHERE said.organisation = :organisation AND said.course = {{course}} AND said.learner = l.learner AND {_STANDS})"""

_IN_CHUNK = "{of}.organisation = :organisation AND {of}.course = :course AND {of}.learner BETWEEN :low AND :high"
_LOOKED_UP = "{of}.organisation = l.organisation AND {of}.course = asked.course AND {of}.learner = l.learner"

#: The learners and courses that a statement is about. A chunk: the learners numbered from :low to :high, who are read
#: in one go, in one :course. A list: each learner in each of the :courses is looked up, whatever the planner believes;
#: what they are joined with comes by `{organisation}`, so that no join begins with all that the organisation has.
#: OFFSET hides which organisation that is from the planner: one that its statistics do not know it takes for one row.
#: :chosen are courses that need no linked segment to enrol. `{free}` says who has no enrolment and may have one. Of a
#: chunk that is asked of sets, which are small and mostly empty: a join costs more, and may put learners out of order.
CHUNK = {
    "learners": "learners l",
    "those": "l.organisation = :organisation AND l.learner BETWEEN :low AND :high",
    "organisation": ":organisation",
    "course": ":course",
    "of_course": "CAST(:course AS int)",
    "chosen": ":chosen",
    "told": "",
    "there": """enrolments e
    WHERE e.organisation = :organisation AND e.course = :course AND e.learner BETWEEN :low AND :high""",
    "enrolled": "AND e.learner BETWEEN :low AND :high",
    "before": "AND o.learner BETWEEN :low AND :high",
    "noticed": "AND d.recipient BETWEEN :low AND :high",
    "linked": LINKED.format(learner="l.learner"),
    "free": f"""l.learner NOT IN (
          SELECT e.learner FROM enrolments e WHERE {_IN_CHUNK.format(of="e")} AND e.cycle = :cycle)
      AND l.learner NOT IN (
          SELECT v.learner FROM void_enrolments v WHERE {_IN_CHUNK.format(of="v")} AND v.cycle = :cycle)
      AND l.learner NOT IN (
          SELECT said.learner FROM withdrawn_by_name(:cycle) said WHERE {_IN_CHUNK.format(of="said")} AND {_STANDS})""",
    "places": "candidates",
    "kept": "",
    "candidates": "",
}

_PLACES = """(
        SELECT CAST(:organisation AS int) AS organisation, learner, course, chosen, on_hold
        FROM unnest(CAST(:listed AS int[])) AS learner
        CROSS JOIN unnest(CAST(:courses AS int[]), CAST(:chosen AS boolean[]), CAST(:on_hold AS boolean[]))
            AS c (course, chosen, on_hold)
        OFFSET 0) asked"""
LIST = {
    "learners": f"{_PLACES} JOIN learners l ON l.organisation = asked.organisation AND l.learner = asked.learner",
    "those": "true",
    "organisation": "l.organisation",
    "course": "asked.course",
    "of_course": "course",
    "chosen": "asked.chosen",
    "told": "AND NOT on_hold",
    "there": f"""{_PLACES}
    JOIN enrolments e ON e.organisation = asked.organisation AND e.course = asked.course AND e.learner = asked.learner
    WHERE true""",
    "enrolled": "",
    "before": "",
    "noticed": "",
    "linked": LINKED_LISTED.format(of="l", of_course="asked.course"),
    "free": f"""NOT EXISTS (SELECT FROM enrolments e WHERE {_LOOKED_UP.format(of="e")} AND e.cycle = :cycle)
      AND NOT EXISTS (SELECT FROM void_enrolments v WHERE {_LOOKED_UP.format(of="v")} AND v.cycle = :cycle)
      AND NOT {WITHDRAWN.format(course="asked.course")}""",
    "places": "places",
    "kept": "asked.course, asked.on_hold, ",
    "candidates": "candidates AS (SELECT DISTINCT learner, silent, verdict FROM places WHERE NOT on_hold), ",
}

#: What no source holds any more. The statement that asks says which learners, and whether links count.
UNHELD_THEM = "e.cycle = 1 AND e.withdrawn_at IS NULL AND e.requests IS NULL AND NOT ({links} AND {linked})"
UNHELD = "e.course = :course AND " + UNHELD_THEM.format(links=":links", linked=LINKED.format(learner="e.learner"))

HELD = "e.organisation = :organisation AND e.learner BETWEEN :low AND :high"

#: Since when a fan-out's rule enrols a learner: its own time, or when they were first described in this life of theirs
#: (S15). A request counts from its own time on.
SINCE = """CASE WHEN CAST(:requests AS bigint[]) IS NOT NULL OR l.saved_at <= :at THEN CAST(:at AS timestamptz)
    ELSE greatest(CAST(:at AS timestamptz), least(l.saved_at, (
        SELECT min(d.occurred_at) FROM descriptions d
        WHERE d.organisation = l.organisation AND d.learner = l.learner
          AND d.occurred_at > coalesce(l.deleted_at, '-infinity')))) END"""

#: Whether a part of the fan-out `f` is still to be done.
UNDER_WAY = """EXISTS (
    SELECT FROM work w
    WHERE w.organisation = f.organisation AND w.subject = f.fanout
      AND w.actor IN ('enrolments.survey', 'enrolments.chunk'))"""
