"""`rollcall seats`: what was bought, and every entry of what was used."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from config.database import lock_organisations, snapshot, transaction
from config.runtime import Runtime
from config.words import counted
from tasks import organisations, seats
from tasks.acts import seats as acts
from tasks.organisations import Organisation
from tasks.reports import Format
from workers.commands.common import (
    By,
    Json,
    Org,
    Refused,
    acting,
    as_list,
    chosen,
    document,
    done,
    items,
    opened,
    out,
    progress_bar,
    say,
    table,
    write_blocks,
)

app = typer.Typer(help="Seats and credits: the balance, and the ledger behind it.", no_args_is_help=True)


@app.command()
def show(
    organisation: Org,
    all_periods: Annotated[bool, typer.Option("--all-periods", help="List what earlier periods used, too.")] = False,
    json_: Json = False,
) -> None:
    """Show the balance, added up from the ledger."""
    shown = done(acts.show, acts.BalanceOf(all_periods), organisation)
    if json_:
        document(shown)
        return
    pool = "no limit" if shown.pool is None else f"{shown.remaining} of {shown.pool} left ({shown.percent} % used)"
    out.print(f"{counted(shown.used, shown.unit)} used in {counted(shown.entries, 'entry', 'entries')}, {pool}.")
    if shown.overdrawn or shown.review:
        out.print(
            f"{counted(shown.overdrawn, 'entry is', 'entries are')} overdrawn,"
            f" {shown.review} {'is' if shown.review == 1 else 'are'} to be reviewed.",
            style="yellow",
        )
    if shown.warned:
        out.print(f"The admins were warned at {' and '.join(f'{percent} %' for percent in shown.warned)}.")
    if all_periods:
        table(
            ["period from", "unit", "used", "entries", "overdrawn"],
            [[period.period, period.unit, period.used, period.entries, period.overdrawn] for period in shown.periods],
            "Nothing has been used.",
        )


class Written(StrEnum):
    """How the ledger is written."""

    TABLE = "table"
    CSV = "csv"
    JSONL = "jsonl"


@app.command()
def ledger(
    organisation: Org,
    learner: Annotated[str | None, typer.Option(metavar="ID", help="The entries of one learner alone.")] = None,
    review: Annotated[bool, typer.Option("--review", help="Only what a person has still to look at.")] = False,
    since: Annotated[datetime | None, typer.Option(help="Only what happened from then on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only what happened before that (UTC).")] = None,
    format_: Annotated[Written, typer.Option("--format", help="csv is safe to open in a spreadsheet.")] = Written.TABLE,
    json_: Json = False,
) -> None:
    """List every entry, oldest first; all but the table is streamed, however long it is."""
    wanted = (learner, review, _utc(since), _utc(until))
    with acting("seats") as do:
        if json_ or format_ is not Written.TABLE:
            written = Format.CSV if format_ is Written.CSV and not json_ else Format.JSONL
            blocks = do(acts.export, acts.LedgerExport(*wanted, written), organisation).blocks
            if json_:
                blocks = as_list(block.rstrip(b"\n").replace(b"\n", b",\n") for block in blocks if block)
            write_blocks(blocks)
            return
        entries = [*items(do, acts.ledger, acts.LedgerPage(*wanted), organisation)]
    table(
        ["entry", "when", "learner", "course", "cycle", "amount", "unit", "overdrawn", "review"],
        [[e.id, e.occurred_at, e.learner, e.course, e.cycle, e.amount, e.unit, e.overdrawn, e.review] for e in entries],
        "Nothing is to be reviewed." if review else "Nothing has been used.",
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


@app.command()
def reviewed(
    entries: Annotated[list[int], typer.Argument(metavar="ENTRY...", help="Entries of the ledger, by their ids.")],
    organisation: Org,
    why: Annotated[str, typer.Option(help="What you found; it is kept with the flag.")],
    by: By = None,
    json_: Json = False,
) -> None:
    """Say that you looked at entries that are flagged for review. The ledger stays as it is."""
    settled = done(acts.reviewed_many, acts.EntryReviews([*map(str, entries)], why), organisation, by=by)
    say(settled, *(f"{one.id}: {', '.join(one.settled)}: settled." for one in settled), json_=json_)


@dataclass(frozen=True, slots=True)
class LedgerProblem:
    """What is off: an entry or an event out by its id, a balance by its unit and period."""

    organisation: str
    what: str
    id: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verified:
    """How much was looked at, what was off (up to 1,000 of a kind and organisation), and which balances were mended."""

    organisations: int
    entries: int
    announced: int
    balances: int
    off: list[LedgerProblem]
    repaired: int


@app.command()
def verify(
    organisation: Annotated[
        str | None, typer.Option("--organisation", "-o", metavar="ORG", help="Only this one; all unless named.")
    ] = None,
    mend: Annotated[
        bool, typer.Option("--repair", help="Make balances the sum of their entries; the ledger is left as it is.")
    ] = False,
    json_: Json = False,
) -> None:
    """Prove the ledger: balances, announcements, charges and overdrawn flags agree with every entry.

    Each balance is the sum of its entries. Each entry has one rollcall.seat.consumed that says the same, and each such
    event its entry. Nobody paid twice. Exit code 1 where something is off and was not mended.
    """
    with opened("verify") as runtime:
        with transaction(runtime.engine) as connection:
            those = chosen(connection, organisation)
        result = _verify(runtime, those, mend=mend)
    if json_:
        document(result)
    else:
        out.print(
            f"{counted(result.organisations, 'organisation')}: {counted(result.entries, 'entry', 'entries')},"
            f" {counted(result.announced, 'event that announces', 'events that announce')}"
            f" them, {counted(result.balances, 'balance')}."
        )
        for off in result.off:
            out.print(f"{off.organisation}: {off.what} {off.id}: {off.detail}", style="red", markup=False)
        if not result.off:
            out.print("Everything agrees.", style="green")
    left = len(result.off) - result.repaired
    if left:
        raise Refused(
            f"{counted(left, 'thing is', 'things are')} off. Balances can be mended: rollcall seats verify --repair."
            if not mend
            else f"{counted(left, 'thing is', 'things are')} off that only a person can judge:"
            " nothing changes the ledger."
        )


def _verify(runtime: Runtime, chosen: list[Organisation], *, mend: bool) -> Verified:
    entries = announced = balances = repaired = 0
    found: list[LedgerProblem] = []
    with progress_bar() as progress:
        task = progress.add_task("Verifying", total=len(chosen) * seats.CHECKS)
        for org in chosen:
            off: list[LedgerProblem] = []
            with snapshot(runtime.engine, org.organisation) as connection:
                much = seats.checked(connection, org)
                for some in seats.checks(connection, org):
                    off += [LedgerProblem(org.id, one.what, one.id, one.detail) for one in some]
                    progress.advance(task)
            entries, announced = entries + much.entries, announced + much.announced
            balances += much.balances
            wrong = sum(one.what == seats.Discrepancy.BALANCE for one in off)
            if wrong and mend:
                with transaction(runtime.engine, org.organisation) as connection:
                    lock_organisations(connection, [org.organisation])
                    seats.recount(connection, organisations.numbered(connection, org.organisation))
                repaired += wrong
            found += off
    return Verified(len(chosen), entries, announced, balances, found, repaired)
