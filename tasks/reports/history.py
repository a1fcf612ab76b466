"""The history of status: one row for each change of each learner (R30)."""

from psycopg import sql

from tasks.reports.export import Report

#: In the order in which the changes hold (S1), so that a learner's last row is how they stand.
_ROWS = """
SELECT o.id AS organisation, l.id AS learner, l.standing AS learner_status, rfc3339(h.occurred_at) AS occurred_at,
       CASE WHEN h.active THEN 'active' ELSE 'inactive' END AS status, h.cause
FROM learners l
JOIN organisations o USING (organisation)
JOIN status_changes h USING (organisation, learner)
WHERE l.organisation = {organisation} AND l.standing = {standing}
ORDER BY l.learner, h.version, h.occurred_at
"""

_CELLS = """
SELECT spreadsheet_safe(organisation) AS organisation, spreadsheet_safe(learner) AS learner, learner_status,
       occurred_at, status, spreadsheet_safe(cause) AS cause
FROM ({rows}) r
"""

HISTORY = Report(sql.SQL(_ROWS), sql.SQL(_CELLS))
