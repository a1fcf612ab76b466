"""The ledger as it is read: entry by entry, streamed where it may be long, and by period; as SQL."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from psycopg import sql
from sqlalchemy import Connection

from config.database import column, rows, within
from config.sql import query
from tasks.organisations import Organisation
from tasks.reports import Format, bound, stream_rows
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


@dataclass(frozen=True, slots=True)
class KeptBalance:
    """What is used of the pool of a period; `ends` is the first moment after it, and None is open."""

    unit: str
    starts: datetime | None
    ends: datetime | None
    pool: int | None
    used: int


#: Before and after whatever happened.
BEFORE_ALL, AFTER_ALL = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

#: The same with times as they are written.
_WRITTEN = """
SELECT id, organisation, learner, course, cycle, unit, amount, rfc3339(occurred_at) AS occurred_at, event, overdrawn,
       review
FROM ({entries}) e
"""


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
    scope = asdict(wanted) | {"organisation": organisation, "after": after, "limit": limit}
    if wanted.learner is not None:
        return rows(connection, Entry, query("seats.entries_of"), **scope)
    asked = query("seats.entries_to_review") if wanted.review else query("seats.entries")
    return rows(connection, Entry, asked, **scope)


def ledger_between(
    connection: Connection, organisation: int, wanted: LedgerFilter, after: tuple[datetime, int] | None, limit: int
) -> list[Entry]:
    """The entries that happened in a stretch, of everybody, in the order in which they did: so many, those `after` one,
    by its time and number."""
    at, number = after or (BEFORE_ALL, 0)
    return rows(
        connection,
        Entry,
        query("seats.entries_between"),
        organisation=organisation,
        since=wanted.since or BEFORE_ALL,
        until=wanted.until or AFTER_ALL,
        at=at,
        after=number,
        limit=limit,
    )


def stream_ledger(connection: Connection, organisation: int, wanted: LedgerFilter, format_: Format) -> Iterator[bytes]:
    """The same, in blocks of whole rows, as the database makes them."""
    within(connection, organisation)
    asked = query("seats.entries") if wanted.learner is None else query("seats.entries_of")
    entries = bound(asked, organisation=organisation, after=0, limit=None, **asdict(wanted))
    written = sql.SQL(_WRITTEN).format(entries=entries)
    return stream_rows(connection, written, query("seats.entries_cells"), format_)


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


def kept_balances(connection: Connection, organisation: int) -> list[KeptBalance]:
    """What is used of the pool of each period, as it is kept (R26), the latest first."""
    return rows(
        connection,
        KeptBalance,
        """
        SELECT unit, nullif(period, '1970-01-01T00:00:00Z') AS starts, ends, pool, used FROM balances
        WHERE organisation = :organisation ORDER BY period DESC, unit
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
