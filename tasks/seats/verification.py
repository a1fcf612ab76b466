"""What proves the ledger: each check is one statement that finds, of one organisation, what is off; as SQL.

An entry, the event that announces it and the balance it counts in say the same three times over; here they are compared
by merging and hashing, in the memory that the database allows a query, however long the ledger.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from config.database import rows, the_one, without_nested_loops
from config.sql import query
from tasks.organisations import Organisation

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


#: How many checks there are of an organisation.
CHECKS = 6


def checks(connection: Connection, organisation: Organisation) -> Iterator[list[Found]]:
    """What each check finds off, one after the other, at most `LISTED` each."""
    without_nested_loops(connection)
    for check in (
        query("seats.balances_off"),
        query("seats.announced_otherwise"),
        query("seats.announced_twice"),
        query("seats.charged_twice"),
        query("seats.overdrawn_off"),
        query("seats.names_nobody"),
    ):
        yield rows(connection, Found, check, organisation=organisation.organisation, listed=LISTED)


def checked(connection: Connection, organisation: Organisation) -> Checked:
    """How much there is to check."""
    return the_one(
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
