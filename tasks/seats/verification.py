"""What proves the ledger: each check is one statement that finds, of one organisation, what is off; as SQL.

An entry, the event that announces it and the balance it counts in say the same three times over; here they are compared
by merging and hashing, in the memory that the database allows a query, however long the ledger.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from config.database import one, rows, without_nested_loops
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

#: Each entry has one event out that says the same, and each such event its entry. Times are compared as they travel.
_ANNOUNCED = """
WITH told AS (
    SELECT CAST(outbox.id AS text) AS event, said.consumption AS id, said.learner, said.course, said.cycle, said.unit,
           said.amount, said.overdrawn, regexp_replace(said.occurred_at, '([.]0+)?(Z|[+]00:00)$', 'Z') AS occurred_at
    FROM outbox
    CROSS JOIN LATERAL json_to_record(data) AS said (
        consumption text, learner text, course text, cycle text, unit text, amount text, overdrawn text,
        occurred_at text)
    WHERE outbox.organisation = :organisation AND type = 'rollcall.seat.consumed'
), entries AS (
    SELECT CAST(c.consumption AS text) AS id, l.id AS learner, course.id AS course, CAST(c.cycle AS text) AS cycle,
           c.unit, CAST(c.amount AS text) AS amount, CAST(c.overdrawn AS text) AS overdrawn,
           replace(rfc3339(c.occurred_at), '.000000Z', 'Z') AS occurred_at
    FROM consumptions c
    LEFT JOIN learners l ON l.organisation = c.organisation AND l.learner = c.learner
    LEFT JOIN courses course ON course.organisation = c.organisation AND course.course = c.course
    WHERE c.organisation = :organisation
)
SELECT CASE WHEN t.event IS NULL THEN 'not announced' WHEN e.id IS NULL THEN 'no entry'
            ELSE 'announced otherwise' END AS what,
       coalesce(e.id, t.event) AS id,
       CASE WHEN t.event IS NULL THEN 'no rollcall.seat.consumed tells of it'
            WHEN e.id IS NULL THEN 'this event tells of entry ' || coalesce(t.id, 'none') || ', which is not there'
            ELSE 'event ' || t.event || ' says ' || concat_ws(
                ' ', t.learner, t.course, t.cycle, t.unit, t.amount, t.overdrawn, t.occurred_at) || ', the ledger '
                || concat_ws(' ', e.learner, e.course, e.cycle, e.unit, e.amount, e.overdrawn, e.occurred_at)
       END AS detail
FROM entries e FULL JOIN told t ON t.id = e.id
WHERE e.id IS NULL OR (e.id, e.learner, e.course, e.cycle, e.unit, e.amount, e.overdrawn, e.occurred_at)
                   IS DISTINCT FROM (t.id, t.learner, t.course, t.cycle, t.unit, t.amount, t.overdrawn, t.occurred_at)
ORDER BY 1, 2 LIMIT :listed
"""

_ANNOUNCED_TWICE = """
SELECT 'announced twice' AS what, coalesce(data ->> 'consumption', 'none') AS id,
       count(*) || ' events tell of it' AS detail
FROM outbox WHERE organisation = :organisation AND type = 'rollcall.seat.consumed'
GROUP BY data ->> 'consumption' HAVING count(*) > 1 ORDER BY 2 LIMIT :listed
"""

#: Credits: an entry for the learner, course and cycle before it. Seats: one in the same period before it, or within the
#: bounds that the period had when it was made, as far as they are known (R25).
_CHARGED_TWICE = """
SELECT 'charged twice' AS what, CAST(c.consumption AS text) AS id, 'paid with entry ' || (
    SELECT min(e.consumption) FROM consumptions e
    WHERE e.organisation = c.organisation AND e.learner = c.learner AND e.course = c.course AND e.cycle = c.cycle
      AND e.unit = 'credit') || ' already' AS detail
FROM consumptions c
WHERE c.organisation = :organisation AND c.unit = 'credit' AND EXISTS (
    SELECT FROM consumptions e WHERE e.organisation = c.organisation AND e.learner = c.learner AND e.course = c.course
      AND e.cycle = c.cycle AND e.unit = 'credit' AND e.consumption < c.consumption)
UNION ALL
SELECT 'charged twice', CAST(c.consumption AS text), 'the learner had a seat in this period already'
FROM consumptions c
LEFT JOIN balances b ON b.organisation = c.organisation AND b.unit = c.unit AND b.period = c.period
WHERE c.organisation = :organisation AND c.unit = 'seat' AND EXISTS (
    SELECT FROM consumptions e WHERE e.organisation = c.organisation AND e.learner = c.learner AND e.unit = 'seat'
      AND e.consumption < c.consumption
      AND (e.period = c.period OR c.consumption > b.through AND e.occurred_at >= c.period
           AND e.occurred_at < coalesce(b.ends, 'infinity')))
ORDER BY 2 LIMIT :listed
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

_UNKNOWN = """
SELECT CASE WHEN l.learner IS NULL THEN 'unknown learner' ELSE 'unknown course' END AS what,
       CAST(c.consumption AS text) AS id,
       CASE WHEN l.learner IS NULL THEN 'learner number ' || c.learner
            ELSE 'course number ' || c.course END || ' is not there' AS detail
FROM consumptions c
LEFT JOIN learners l ON l.organisation = c.organisation AND l.learner = c.learner
LEFT JOIN courses course ON course.organisation = c.organisation AND course.course = c.course
WHERE c.organisation = :organisation AND (l.learner IS NULL OR course.course IS NULL)
ORDER BY c.consumption LIMIT :listed
"""

#: How many checks there are of an organisation.
CHECKS = 6


def checks(connection: Connection, organisation: Organisation) -> Iterator[list[Found]]:
    """What each check finds off, one after the other, at most `LISTED` each."""
    without_nested_loops(connection)
    for check in (_BALANCES, _ANNOUNCED, _ANNOUNCED_TWICE, _CHARGED_TWICE, _OVERDRAWN, _UNKNOWN):
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
