"""`rollcall seats`: what was bought, and every entry of what was used."""

from dataclasses import dataclass
from datetime import datetime

import typer

from tasks import seats
from workers.commands.common import Json, Org, asked, document, opened, out, table

app = typer.Typer(help="Seats and credits: the balance, and the ledger behind it.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class Shown:
    """The balance of the current licence period."""

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


@app.command()
def show(organisation: Org, json_: Json = False) -> None:
    """Show the balance, added up from the ledger."""
    with opened("seats") as runtime, asked(runtime, organisation) as (connection, org):
        balance = seats.balance(connection, org)
    shown = Shown(
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
    )
    if json_:
        document(shown)
        return
    pool = "no limit" if shown.pool is None else f"{shown.remaining} of {shown.pool} left"
    out.print(f"{shown.used} {shown.unit}s used in {shown.entries} entries, {pool}.")
    if shown.overdrawn or shown.review:
        out.print(f"{shown.overdrawn} entries are overdrawn, {shown.review} are to be reviewed.", style="yellow")


@app.command()
def ledger(organisation: Org, json_: Json = False) -> None:
    """List every entry, oldest first."""
    with opened("seats") as runtime, asked(runtime, organisation) as (connection, org):
        entries = seats.ledger(connection, org.organisation)
    if json_:
        document(entries)
        return
    table(
        ["entry", "when", "learner", "course", "cycle", "amount", "unit", "overdrawn", "review"],
        [[e.id, e.occurred_at, e.learner, e.course, e.cycle, e.amount, e.unit, e.overdrawn, e.review] for e in entries],
        "Nothing has been used.",
    )
