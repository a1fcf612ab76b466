"""Seats and credits: the balance, and the ledger behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from config.errors import NotFound
from tasks import seats
from tasks.acts.acting import Doing, act
from tasks.acts.exporting import exported
from tasks.acts.paging import USUAL, After, Limit, Page, Stream, keys_after, page
from tasks.events import Moment
from tasks.reports import Format
from tasks.seats import Entry, LedgerFilter

#: Digits of the longest number that an entry can have.
DIGITS = 18


@dataclass(frozen=True, slots=True)
class BalanceDetails:
    """The balance of the current licence period; `percent` of the pool is used, of which `warned` was warned of."""

    organisation: str
    licence: str
    unit: str
    pool: int | None
    used: int
    remaining: int | None
    entries: int
    overdrawn: int
    review: int
    licence_starts: datetime | None
    licence_ends: datetime | None
    percent: int | None
    warned: list[int]
    periods: list[seats.Period]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """An entry that a person looked at, and the flags that this settled."""

    id: str
    settled: list[str]


@dataclass(frozen=True, slots=True)
class BalanceOf:
    """Whether what earlier periods used is wanted, too."""

    all_periods: bool = False


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """Which entries: of one learner; still to be reviewed; that happened in a stretch."""

    learner: str | None = None
    review: bool = False
    since: Moment | None = None
    until: Moment | None = None
    limit: Limit = USUAL
    after: After | None = None


@dataclass(frozen=True, slots=True)
class LedgerExport:
    """The same, and how they are written."""

    learner: str | None = None
    review: bool = False
    since: Moment | None = None
    until: Moment | None = None
    format: Format = Format.CSV


@dataclass(frozen=True, slots=True)
class EntryReview:
    """What a person found, who looked at an entry."""

    id: str
    why: str = "reviewed by hand"


@dataclass(frozen=True, slots=True)
class EntryReviews:
    """What a person found, who looked at entries."""

    entries: list[str]
    why: str


@act("seats.show", "GET seats")
def show(doing: Doing, asked: BalanceOf) -> BalanceDetails:
    """Show the balance, added up from the ledger."""
    org = doing.organisation
    with doing.transaction() as connection:
        balance = seats.balance(connection, org)
        warned = seats.warned(connection, org)
        periods = seats.periods(connection, org.organisation) if asked.all_periods else []
    return BalanceDetails(
        organisation=org.id,
        licence=org.licence,
        unit=balance.unit,
        pool=balance.pool,
        used=balance.used,
        remaining=None if balance.pool is None else balance.pool - balance.used,
        entries=balance.entries,
        overdrawn=balance.overdrawn,
        review=balance.review,
        licence_starts=org.licence_starts,
        licence_ends=org.licence_ends,
        percent=None if balance.pool is None else seats.percent_used(balance.pool, balance.used),
        warned=warned,
        periods=periods,
    )


@act("seats.ledger", "GET seats/ledger")
def ledger(doing: Doing, asked: LedgerPage) -> Page[Entry]:
    """List the entries, oldest first: as they were written or, of a stretch, as they happened."""
    number = doing.organisation.organisation
    wanted = LedgerFilter(asked.learner, asked.review, asked.since, asked.until)
    listed = ("seats.ledger", number, wanted)
    if (asked.since or asked.until) and asked.learner is None and not asked.review:
        behind = keys_after(asked.after, tuple[datetime, int], *listed)
        with doing.transaction() as connection:
            found = seats.ledger_between(connection, number, wanted, behind, asked.limit + 1)
        return page(found, asked.limit, lambda entry: (entry.occurred_at, int(entry.id)), *listed)
    (after,) = keys_after(asked.after, tuple[int], *listed) or (0,)
    with doing.transaction() as connection:
        found = seats.ledger(connection, number, wanted, after=after, limit=asked.limit + 1)
    return page(found, asked.limit, lambda entry: (int(entry.id),), *listed)


@act("seats.export", "GET seats/ledger/export")
def export(doing: Doing, asked: LedgerExport) -> Stream:
    """Export the entries, oldest first, however many they are."""
    number = doing.organisation.organisation
    wanted = LedgerFilter(asked.learner, asked.review, asked.since, asked.until)
    return exported(
        doing, "ledger", asked.format, lambda connection: seats.stream_ledger(connection, number, wanted, asked.format)
    )


@act("seats.reviewed", "POST seats/ledger/{id}/reviewed")
def reviewed(doing: Doing, asked: EntryReview) -> Reviewed:
    """Say that you looked at an entry that is flagged for review. The ledger stays as it is (R28)."""
    return _settle(doing, [asked.id], asked.why)[0]


@act("seats.reviewed_many", "POST seats/ledger/reviewed")
def reviewed_many(doing: Doing, asked: EntryReviews) -> list[Reviewed]:
    """Say that you looked at entries that are flagged for review: at all of them, or nothing is changed (R28)."""
    return _settle(doing, asked.entries, asked.why)


def _settle(doing: Doing, entries: Sequence[str], why: str) -> list[Reviewed]:
    org, by = doing.organisation, doing.caller.who
    with doing.transaction() as connection:
        done = []
        for entry in dict.fromkeys(entries):
            known = entry.isascii() and entry.isdigit() and len(entry) <= DIGITS
            settled = seats.settle(connection, org.organisation, int(entry), by=by, why=why) if known else []
            if not settled:
                raise NotFound(f"Nothing was changed: of {org.id!r} no entry {entry} is to be reviewed.")
            done.append(Reviewed(entry, sorted(settled)))
        doing.record_each(connection, {one.id: ({"review": one.settled}, {"review": []}) for one in done})
    return done
