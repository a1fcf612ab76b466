"""The training report: one row for each enrolment (R29, R30)."""

from psycopg import sql

from tasks.reports.export import Report

#: The columns, in the contract's order. A learner's segments and the segments that hold an enrolment are gathered once
#: for all and merged in by learner; a course, and what requests hold, is looked up once and remembered (OFFSET 0 keeps
#: that lookup from becoming a join, which would lose the order). The notice is asked for row by row: the ledger of mail
#: is far larger than the report. So rows come in order with none of them sorted on disk. Sources are those of the
#: function `enrolment_sources` and access is that of the view `access`, for all at once.
_ROWS = """
SELECT (SELECT id FROM organisations WHERE organisation = {organisation}) AS organisation,
       l.id AS learner, l.username, l.email, l.standing AS learner_status,
       coalesce(membership.segments, '{{}}') AS segments, c.id AS course, c.title, e.cycle,
       CASE WHEN e.withdrawn_at IS NULL THEN coalesce(
           CASE WHEN c.method = 'everyone' AND e.cycle = 1 THEN ARRAY['everyone'] END
           || requested.sources || linked.sources, '{{}}') ELSE '{{}}' END AS sources,
       rfc3339(e.enrolled_at) AS enrolled_at, e.silent, rfc3339(e.activated_at) AS activated_at,
       (SELECT rfc3339(d.settled_at) FROM deliveries d
        WHERE d.organisation = e.organisation AND d.mailing = e.notice AND d.recipient = e.learner
          AND d.state = 'accepted') AS notified_at,
       rfc3339(e.started_at) AS started_at, rfc3339(e.completed_at) AS completed_at, e.result,
       rfc3339(e.withdrawn_at) AS withdrawn_at,
       l.standing = 'active' AND e.withdrawn_at IS NULL AND NOT c.on_hold AS access
FROM learners l
JOIN enrolments e USING (organisation, learner)
CROSS JOIN LATERAL (
    SELECT * FROM courses c WHERE c.organisation = {organisation} AND c.course = e.course OFFSET 0
) c
LEFT JOIN (
    SELECT m.learner, array_agg(s.id ORDER BY s.id COLLATE "C") AS segments
    FROM memberships m JOIN segments s USING (organisation, segment)
    WHERE m.organisation = {organisation} AND m.member AND s.saved_at IS NOT NULL
    GROUP BY m.learner
) membership ON membership.learner = l.learner
LEFT JOIN (
    SELECT m.learner, cs.course, array_agg('segment:' || s.id ORDER BY s.id COLLATE "C") AS sources
    FROM courses c
    JOIN course_segments cs USING (organisation, course)
    JOIN memberships m USING (organisation, segment)
    JOIN segments s USING (organisation, segment)
    WHERE m.organisation = {organisation} AND m.member AND c.method = 'segments' AND s.saved_at IS NOT NULL
    GROUP BY m.learner, cs.course
) linked ON linked.learner = e.learner AND linked.course = e.course AND e.cycle = 1
LEFT JOIN LATERAL (
    SELECT array_agg('request:' || f.request ORDER BY f.request COLLATE "C") AS sources FROM fanouts f
    WHERE f.organisation = {organisation} AND f.fanout = ANY(e.requests)
) requested ON true
WHERE l.organisation = {organisation} AND l.standing = {standing}
ORDER BY l.learner, e.course, e.cycle
"""

#: Lists in one cell.
_CELLS = """
SELECT spreadsheet_safe(organisation) AS organisation, spreadsheet_safe(learner) AS learner,
       spreadsheet_safe(username) AS username, spreadsheet_safe(email) AS email, learner_status,
       spreadsheet_safe(array_to_string(segments, ' ')) AS segments, spreadsheet_safe(course) AS course,
       spreadsheet_safe(title) AS title, cycle, spreadsheet_safe(array_to_string(sources, ' ')) AS sources,
       enrolled_at, silent, activated_at, notified_at, started_at, completed_at, spreadsheet_safe(result) AS result,
       withdrawn_at, access
FROM ({rows}) r
"""

TRAINING = Report(sql.SQL(_ROWS), sql.SQL(_CELLS))
