"""The training report: one row for each enrolment, streamed by PostgreSQL itself, however many there are (R29, R30)."""

from collections.abc import Iterator
from enum import StrEnum

from psycopg import sql
from sqlalchemy import Connection

from config.database import within


class Tab(StrEnum):
    """Whose rows: of the learners active now, or of those who are not."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class Format(StrEnum):
    """How a row is written."""

    CSV = "csv"
    JSONL = "jsonl"


#: The columns, in the contract's order.
_ROWS = """
SELECT o.id AS organisation, l.id AS learner, l.username, l.email, l.standing AS learner_status,
       ARRAY(SELECT s.id FROM memberships m JOIN segments s USING (organisation, segment)
             WHERE m.organisation = l.organisation AND m.learner = l.learner AND m.member AND s.saved_at IS NOT NULL
             ORDER BY s.id COLLATE "C") AS segments,
       c.id AS course, c.title, e.cycle,
       CASE WHEN e.withdrawn_at IS NULL THEN enrolment_sources(e, c) ELSE '{{}}' END AS sources,
       e.enrolled_at, e.silent, e.activated_at, d.settled_at AS notified_at, e.started_at, e.completed_at, e.result,
       e.withdrawn_at, a.granted AS access
FROM learners l
JOIN organisations o USING (organisation)
JOIN enrolments e USING (organisation, learner)
JOIN courses c USING (organisation, course)
JOIN access a USING (organisation, learner, course, cycle)
LEFT JOIN deliveries d ON d.organisation = e.organisation AND d.mailing = e.notice AND d.recipient = e.learner
    AND d.state = 'accepted'
WHERE l.organisation = {organisation} AND l.standing = {standing}
ORDER BY l.learner, e.course, e.cycle
"""

#: JSON escapes what this "CSV" would quote, so that each line is the JSON text as it is.
_JSONL = "COPY (SELECT row_to_json(r) FROM ({rows}) r) TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"

#: For spreadsheets: lists in one cell, and no cell that would be taken for a formula.
_CSV = """
COPY (
    SELECT spreadsheet_safe(organisation) AS organisation, spreadsheet_safe(learner) AS learner,
           spreadsheet_safe(username) AS username, spreadsheet_safe(email) AS email, learner_status,
           spreadsheet_safe(array_to_string(segments, ' ')) AS segments, spreadsheet_safe(course) AS course,
           spreadsheet_safe(title) AS title, cycle, array_to_string(sources, ' ') AS sources,
           rfc3339(enrolled_at) AS enrolled_at, silent, rfc3339(activated_at) AS activated_at,
           rfc3339(notified_at) AS notified_at, rfc3339(started_at) AS started_at,
           rfc3339(completed_at) AS completed_at, spreadsheet_safe(result) AS result,
           rfc3339(withdrawn_at) AS withdrawn_at, access
    FROM ({rows}) r
) TO STDOUT (FORMAT csv, HEADER)
"""


def stream(connection: Connection, organisation: int, tab: Tab, format_: Format) -> Iterator[bytes]:
    """The report, in pieces as the database makes them."""
    rows = sql.SQL(_ROWS).format(
        organisation=sql.Literal(within(connection, organisation)),
        standing=sql.Literal("active" if tab is Tab.ACTIVE else "inactive"),
    )
    statement = sql.SQL(_JSONL if format_ is Format.JSONL else _CSV).format(rows=rows)
    cursor = connection.connection.cursor()
    with cursor.copy(statement) as copy:
        for piece in copy:
            yield bytes(piece)
