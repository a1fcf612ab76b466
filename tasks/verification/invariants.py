"""What must hold, whatever happened: each check is a statement that finds what breaks it, or asks a capability that
proves its own.

A check holds of every committed moment, also while everybody works: what is merely under way breaks nothing. Nothing is
written, so a replica can be asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import Connection

from config.database import rows, without_nested_loops
from config.sql import query
from config.words import counted
from tasks import enrolments, seats
from tasks.organisations import Organisation
from tasks.reconcile import deviations

#: What breaks one check is listed up to so many; it is broken all the same.
LISTED = 1000

#: A lease, and the pause before a wake-up is repeated, are seconds or minutes.
LONGEST_LEASE = timedelta(days=1)


class Invariant(StrEnum):
    """What is proved here, besides what `seats.Discrepancy` and `reconcile.Deviation` name."""

    REQUEST = "request"
    MAILING = "mailing"
    DELIVERY = "delivery"
    NOT_CHARGED = "not charged"
    NO_START = "no start"
    LEARNER_NUMBER = "learner number"
    ERASED = "erased"
    ORPHAN = "orphan"
    WORK = "work"
    UNKNOWN_ORGANISATION = "unknown organisation"
    EVENT_IN = "event in"
    ORDER = "order"
    PROMISE = "promise"


@dataclass(frozen=True, slots=True)
class Breach:
    """Something that does not hold: what, of which thing, and how it is instead."""

    what: str
    id: str
    detail: str

    @property
    def in_words(self) -> str:
        """The same, as one line."""
        return f"{self.what} {self.id}: {self.detail}"


def _ledger(connection: Connection, organisation: Organisation) -> list[Breach]:
    """The ledger, the events that announce it, and the balances (R25, R26, R28)."""
    return [
        Breach(found.what, found.id, found.detail) for some in seats.checks(connection, organisation) for found in some
    ]


def _derived(connection: Connection, organisation: Organisation) -> list[Breach]:
    """Status, memberships, access and enrolments, from history and rules (R3, R6, R7, R9, R10)."""
    return [
        Breach(one.deviation, one.course or "learners", f"{counted(one.n, 'row')} off: rollcall reconcile mends it")
        for one in deviations(connection, organisation)
    ]


def of_organisation(connection: Connection, organisation: Organisation) -> Iterator[list[Breach] | None]:
    """What breaks each check, one after the other; None where it cannot be judged now, as enrolments are under way."""
    without_nested_loops(connection)
    for statement in (
        query("verification.requests"),
        query("verification.mailings"),
        query("verification.deliveries"),
        query("verification.starts"),
        query("verification.learners"),
        query("verification.orphans"),
        query("verification.work"),
    ):
        yield rows(
            connection,
            Breach,
            statement,
            organisation=organisation.organisation,
            listed=LISTED,
            longest=LONGEST_LEASE,
        )
    yield _ledger(connection, organisation)
    moving = enrolments.any_running(connection, organisation.organisation)
    yield None if moving else _derived(connection, organisation)


def of_database(connection: Connection) -> Iterator[list[Breach]]:
    """What breaks each check that is about no organisation."""
    for statement in (
        query("verification.catalogue"),
        query("verification.publication"),
        query("verification.inbox"),
        query("verification.strays"),
    ):
        yield rows(connection, Breach, statement, listed=LISTED)
