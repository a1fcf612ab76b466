"""What proves the ledger: each check is one statement that finds, of one organisation, what is off; as SQL.

An entry, the event that announces it and the balance it counts in say the same three times over; here they are compared
by merging and hashing, in the memory that the database allows a query, however long the ledger.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from config.database import one, rows, without_nested_loops
from config.sql import query
from tasks.organisations import Organisation
from tasks.seats.pools import COUNTS

#: What is off is listed up to so many of a kind and organisation; it is off all the same.
LISTED = 1000


class Discrepancy(StrEnum):
    """What can be off with the ledger."""

    BALANCE = "balance"
    NOT_ANNOUNCED = "not announced"
    NO_ENTRY = "no entry"
    ANNOUNCED_OTHERWISE = "announced otherwise"
    ANNOUNCED_TWICE = "announced twice"
    CHARGED_TWICE = "charged twice"
    OVERDRAWN = "overdrawn"
    UNKNOWN_LEARNER = "unknown learner"
    UNKNOWN_COURSE = "unknown course"


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found: the id of an entry or of an event out, or the unit and period of a balance."""

    what: str
    id: str
    detail: str


@dataclass(frozen=True, slots=True)
class Checked:
    """How much there was to check."""

    entries: int
    announced: int
    balances: int


#: Every balance is the sum of what counts in its period, and there is one for each period there are entries of.
_BALANCES = f"""
WITH summed AS (
    SELECT b.unit, b.period, b.used, coalesce(sum(c.amount), 0) AS entries
    FROM balances b
    LEFT JOIN consumptions c ON c.organisation = b.organisation AND c.unit = b.unit AND {COUNTS}
    WHERE b.organisation = :organisation
    GROUP BY b.unit, b.period, b.used
    UNION ALL
    SELECT c.unit, c.period, NULL, sum(c.amount) FROM consumptions c
    WHERE c.organisation = :organisation AND NOT EXISTS (
        SELECT FROM balances b WHERE b.organisation = c.organisation AND b.unit = c.unit AND b.period = c.period)
    GROUP BY c.unit, c.period
)
SELECT 'balance' AS what, unit || ' ' || rfc3339(period) AS id,
       'the balance says ' || coalesce(CAST(used AS text), 'nothing') || ', its entries ' || entries AS detail
FROM summed WHERE used IS DISTINCT FROM entries ORDER BY unit, period LIMIT :listed
"""


_ANNOUNCED_TWICE = """
SELECT 'announced twice' AS what, coalesce(data ->> 'consumption', 'none') AS id,
       count(*) || ' events tell of it' AS detail
FROM outbox WHERE organisation = :organisation AND type = 'rollcall.seat.consumed'
GROUP BY data ->> 'consumption' HAVING count(*) > 1 ORDER BY 2 LIMIT :listed
"""


#: What an entry says of the pool is what the running sum says, since the terms of its period are what they are.
_OVERDRAWN = f"""
WITH running AS (
    SELECT c.consumption, c.amount, c.overdrawn, b.pool, c.period = b.period AND c.consumption > b.through AS known,
           sum(c.amount) OVER (PARTITION BY b.unit, b.period ORDER BY c.consumption) AS used
    FROM balances b
    JOIN consumptions c ON c.organisation = b.organisation AND c.unit = b.unit AND {COUNTS}
    WHERE b.organisation = :organisation
)
SELECT 'overdrawn' AS what, CAST(consumption AS text) AS id,
       used || ' of ' || coalesce(CAST(pool AS text), 'no limit') || ' were used with it, and it says '
           || CASE WHEN overdrawn THEN 'overdrawn' ELSE 'within the pool' END AS detail
FROM running
WHERE known AND overdrawn <> (amount > 0 AND used > coalesce(pool, used)) ORDER BY consumption LIMIT :listed
"""


#: How many checks there are of an organisation.
CHECKS = 6


def checks(connection: Connection, organisation: Organisation) -> Iterator[list[Found]]:
    """What each check finds off, one after the other, at most `LISTED` each."""
    without_nested_loops(connection)
    for check in (
        _BALANCES,
        query("seats.announced_otherwise"),
        _ANNOUNCED_TWICE,
        query("seats.charged_twice"),
        _OVERDRAWN,
        query("seats.names_nobody"),
    ):
        yield rows(connection, Found, check, organisation=organisation.organisation, listed=LISTED)


def checked(connection: Connection, organisation: Organisation) -> Checked:
    """How much there is to check."""
    found = one(
        connection,
        Checked,
        """
        SELECT (SELECT count(*) FROM consumptions WHERE organisation = :organisation) AS entries,
               (SELECT count(*) FROM outbox
                WHERE organisation = :organisation AND type = 'rollcall.seat.consumed') AS announced,
               (SELECT count(*) FROM balances WHERE organisation = :organisation) AS balances
        """,
        organisation=organisation.organisation,
    )
    assert found is not None  # noqa: S101 - it counts
    return found
