"""The recipients of an announcement, one row each, with every attempt (R18): streamed, however many they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec
from psycopg import sql
from sqlalchemy import Connection

from config.database import rows, within
from tasks.mail import Delivery
from tasks.reports import Format, stream_rows

#: Larger than the number of any recipient.
LAST = 2**31 - 1

#: A recipient; `tried` are the attempts that settled nothing. The one that settled the delivery is the delivery itself;
#: here it is the last of the attempts.
_DETAILS = """
       l.id AS learner,
       CASE WHEN d.state IN ('accepted', 'failed', 'uncertain') THEN d.address ELSE l.email END AS address,
       d.state, d.reason, d.code, d.reply, rfc3339(d.settled_at) AS settled_at,
       rfc3339(d.due_at) AS next_try_at,
       coalesce(tried.attempts, '[]') || CASE WHEN d.state IN ('accepted', 'failed', 'uncertain')
           THEN jsonb_build_array(jsonb_build_object(
               'at', rfc3339(d.settled_at), 'answer', coalesce(d.reason, 'accepted'), 'code', d.code, 'reply', d.reply,
               'address', d.address))
           ELSE '[]' END AS attempts,
       CAST(b.kind AS text) AS bounced, rfc3339(b.at) AS bounced_at, b.status AS bounce_status
"""
_TRIED = """jsonb_agg(jsonb_build_object(
        'at', rfc3339(a.attempted_at), 'answer', a.reason, 'code', a.code, 'reply', a.reply, 'address', a.address)
        ORDER BY a.attempted_at) AS attempts"""

#: In the order of the ledger, so that nothing is sorted: learners and attempts are merged in.
_ROWS = f"""
SELECT {_DETAILS}
FROM deliveries d
JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
LEFT JOIN (
    SELECT a.recipient, {_TRIED}
    FROM attempts a WHERE a.organisation = {{organisation}} AND a.mailing = {{mailing}} GROUP BY a.recipient
) tried ON tried.recipient = d.recipient
LEFT JOIN bounces b ON b.organisation = d.organisation AND b.mailing = d.mailing AND b.recipient = d.recipient
WHERE d.organisation = {{organisation}} AND d.mailing = {{mailing}}
  AND (CAST({{state}} AS text) IS NULL OR d.state = CAST({{state}} AS delivery_state))
  AND (CAST({{reason}} AS text) IS NULL OR d.reason = {{reason}})
ORDER BY d.recipient
"""

#: A page of the same; what belongs to each is looked up.
_PAGE = f"""
SELECT d.recipient, {_DETAILS}
FROM (
    SELECT * FROM deliveries
    WHERE organisation = :organisation AND mailing = :mailing AND recipient > :after AND recipient <= :last
      AND (CAST(:state AS text) IS NULL OR state = CAST(:state AS delivery_state))
      AND (CAST(:reason AS text) IS NULL OR reason = :reason)
    ORDER BY recipient LIMIT :limit
) d
JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
LEFT JOIN LATERAL (
    SELECT {_TRIED} FROM attempts a
    WHERE a.organisation = d.organisation AND a.mailing = d.mailing AND a.recipient = d.recipient
) tried ON true
LEFT JOIN bounces b ON b.organisation = d.organisation AND b.mailing = d.mailing AND b.recipient = d.recipient
ORDER BY d.recipient
"""

#: The attempts in one cell, one after the other.
_CELLS = """
SELECT spreadsheet_safe(learner) AS learner, spreadsheet_safe(address) AS address, state, reason, code,
       spreadsheet_safe(reply) AS reply, settled_at, next_try_at,
       (SELECT spreadsheet_safe(string_agg(concat_ws(
           ' ', one ->> 'at', one ->> 'answer', one ->> 'code', one ->> 'reply'), ' / ' ORDER BY place))
        FROM jsonb_array_elements(attempts) WITH ORDINALITY AS each (one, place)) AS attempts,
       bounced, bounced_at, bounce_status
FROM ({rows}) r
"""


def recipients(
    connection: Connection,
    organisation: int,
    mailing: int,
    format_: Format,
    *,
    state: Delivery | None = None,
    reason: str | None = None,
) -> Iterator[bytes]:
    """The recipients of an announcement, or those who stand so, or for this reason, in blocks of whole rows."""
    within(connection, organisation)
    query = sql.SQL(_ROWS).format(
        organisation=sql.Literal(organisation),
        mailing=sql.Literal(mailing),
        state=sql.Literal(None if state is None else state.value),
        reason=sql.Literal(reason),
    )
    return stream_rows(connection, query, sql.SQL(_CELLS), format_)


@dataclass(frozen=True, slots=True)
class RecipientAttempt:
    """One attempt to send: when, what became of it, and what the server said."""

    at: datetime
    answer: str
    code: int | None
    reply: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class RecipientDetails:
    """How a recipient of an announcement stands, why, what their server said, and every attempt, as in the export."""

    learner: str
    address: str | None
    state: str
    reason: str | None
    code: int | None
    reply: str | None
    settled_at: datetime | None
    next_try_at: datetime | None
    attempts: list[RecipientAttempt]
    bounced: str | None
    bounced_at: datetime | None
    bounce_status: str | None


def recipients_after(
    connection: Connection,
    organisation: int,
    mailing: int,
    after: int,
    limit: int,
    *,
    state: Delivery | None = None,
    reason: str | None = None,
    last: int = LAST,
) -> list[tuple[int, RecipientDetails]]:
    """So many recipients at most, those after one, up to the `last` that is looked at, by their numbers."""
    found = rows(
        connection,
        dict,
        _PAGE,
        organisation=organisation,
        mailing=mailing,
        after=after,
        limit=limit,
        last=last,
        state=None if state is None else state.value,
        reason=reason,
    )
    return [(row.pop("recipient"), msgspec.convert(row, RecipientDetails)) for row in found]
