"""The ledger as it is read: entry by entry, streamed where it may be long, and by period; as SQL."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql
from sqlalchemy import Connection

from config.database import column, rows, within
from tasks.organisations import Organisation
from tasks.reports import Format, stream_rows
from tasks.seats.rules import period_of, unit_of


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the ledger."""

    id: str
    organisation: str
    learner: str | None
    course: str
    cycle: int
    unit: str
    amount: int
    occurred_at: datetime
    event: str
    overdrawn: bool
    review: str | None


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Which entries are wanted: of one learner, by their id; still to be reviewed; that happened in a stretch."""

    learner: str | None = None
    review: bool = False
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Period:
    """What was used in a licence period, by the entries made in it."""

    period: datetime
    unit: str
    used: int
    entries: int
    overdrawn: int


_ENTRIES = """
SELECT * FROM (
    SELECT CAST(c.consumption AS text) AS id, o.id AS organisation,
           CASE WHEN l.standing <> 'deleted' AND c.occurred_at >= coalesce(l.deleted_at, '-infinity') THEN l.id
           END AS learner, course.id AS course, c.cycle, c.unit, c.amount,
           c.occurred_at, c.event, c.overdrawn,
           (SELECT min(r.code) FROM reviews r
            WHERE r.organisation = c.organisation AND r.consumption = c.consumption AND NOT EXISTS (
                SELECT FROM settled_reviews d WHERE d.organisation = r.organisation
                  AND d.consumption = r.consumption AND d.code = r.code)) AS review
    FROM consumptions c
    JOIN organisations o ON o.organisation = c.organisation
    JOIN learners l ON l.organisation = c.organisation AND l.learner = c.learner
    JOIN courses course ON course.organisation = c.organisation AND course.course = c.course
    WHERE c.organisation = {organisation} AND c.consumption > {after}
      AND c.occurred_at >= coalesce(CAST({since} AS timestamptz), '-infinity')
      AND c.occurred_at < coalesce(CAST({until} AS timestamptz), 'infinity')
      AND (CAST({learner} AS text) IS NULL OR c.learner = (
          SELECT one.learner FROM learners one WHERE one.organisation = {organisation} AND one.id = {learner}
            AND one.standing <> 'deleted' AND c.occurred_at >= coalesce(one.deleted_at, '-infinity')))
      AND (NOT {review} OR c.consumption IN (
          SELECT f.consumption FROM reviews f WHERE f.organisation = {organisation}))
    ORDER BY c.consumption
) entries WHERE review IS NOT NULL OR NOT {review} LIMIT {limit}
"""

#: What stands in it for what is wanted: a parameter.
_ASKED = _ENTRIES.format(
    organisation=":organisation",
    learner=":learner",
    review=":review",
    since=":since",
    until=":until",
    after=":after",
    limit=":limit",
)

#: The same with times as they are written, and safe in a spreadsheet.
_WRITTEN = f"""
SELECT id, organisation, learner, course, cycle, unit, amount, rfc3339(occurred_at) AS occurred_at, event, overdrawn,
       review
FROM ({_ENTRIES}) e
"""
_CELLS = sql.SQL(
    """
    SELECT id, spreadsheet_safe(organisation) AS organisation, spreadsheet_safe(learner) AS learner,
           spreadsheet_safe(course) AS course, cycle, unit, amount, occurred_at, spreadsheet_safe(event) AS event,
           overdrawn, review
    FROM ({rows}) r
    """
)


def ledger(
    connection: Connection,
    organisation: int,
    wanted: LedgerFilter = LedgerFilter(),
    *,
    after: int = 0,
    limit: int | None = None,
) -> list[Entry]:
    """The entries that are wanted, oldest first: those `after` one, by its number, and `limit` at most. Who was deleted
    has none of their data in it (S15)."""
    return rows(
        connection,
        Entry,
        _ASKED,
        organisation=organisation,
        learner=wanted.learner,
        review=wanted.review,
        since=wanted.since,
        until=wanted.until,
        after=after,
        limit=limit,
    )


def stream_ledger(connection: Connection, organisation: int, wanted: LedgerFilter, format_: Format) -> Iterator[bytes]:
    """The same, in blocks of whole rows, as the database makes them."""
    within(connection, organisation)
    query = sql.SQL(_WRITTEN).format(
        organisation=sql.Literal(organisation),
        learner=sql.Literal(wanted.learner),
        review=sql.Literal(wanted.review),
        since=sql.Literal(wanted.since),
        until=sql.Literal(wanted.until),
        after=sql.Literal(0),
        limit=sql.Literal(None),
    )
    return stream_rows(connection, query, _CELLS, format_)


def periods(connection: Connection, organisation: int) -> list[Period]:
    """What was used in each period, the latest first."""
    return rows(
        connection,
        Period,
        """
        SELECT period, unit, CAST(sum(amount) AS bigint) AS used, count(*) AS entries,
               count(*) FILTER (WHERE overdrawn) AS overdrawn
        FROM consumptions WHERE organisation = :organisation GROUP BY period, unit ORDER BY period DESC, unit
        """,
        organisation=organisation,
    )


def warned(connection: Connection, organisation: Organisation) -> list[int]:
    """The percents of the pool as it is now of which its admins were warned in this period."""
    return column(
        connection,
        """
        SELECT percent FROM pool_warnings
        WHERE organisation = :organisation AND unit = :unit AND period = :period AND pool = :pool ORDER BY percent
        """,
        organisation=organisation.organisation,
        unit=unit_of(organisation).value,
        period=period_of(organisation),
        pool=organisation.pool,
    )
