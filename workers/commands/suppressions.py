"""`rollcall suppressions`: the addresses that get no more mail, and why."""

import os
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from tasks import bounces
from tasks.mail.message import wire_address
from tasks.reports import Format, stream
from workers.commands.common import Json, Org, Refused, asked, document, opened, out, who

app = typer.Typer(
    help="Addresses that get no more mail from an organisation: their server refused them, mail came back, somebody"
    " complained, or a person decided so.",
    no_args_is_help=True,
)

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="A mail address, in any case.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides; the user of this machine otherwise.")]


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person made of an address."""

    address: str
    suppressed: bool
    changed: bool


@app.command("list")
def list_(
    organisation: Org,
    format_: Annotated[
        Format,
        typer.Option("--format", help="csv is safe to open in a spreadsheet; jsonl is one JSON document a line."),
    ] = Format.CSV,
    json_: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
) -> None:
    """List every address, the oldest first: since when and why, and who decided it if a person did."""
    with opened("suppressions") as runtime, asked(runtime, organisation) as (connection, org):
        try:
            for block in stream(
                connection, bounces.SUPPRESSIONS, org.organisation, None, Format.JSONL if json_ else format_
            ):
                sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # whoever read has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@app.command()
def add(
    address: Address,
    organisation: Org,
    why: Annotated[str, typer.Option("--why", help="The reason, kept with it.")],
    by: By = None,
    json_: Json = False,
) -> None:
    """Send an address no more mail, whoever has it."""
    known = address.strip().lower()
    try:
        wire_address(known)
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None
    with opened("suppressions") as runtime, asked(runtime, organisation) as (connection, org):
        changed = bounces.suppress(connection, org.organisation, known, bounces.Suppressed.BY_HAND, why=why, by=who(by))
    if json_:
        document(Decided(known, suppressed=True, changed=changed))
    else:
        out.print(f"{known} {'gets no more mail' if changed else 'was suppressed already'}.", markup=False)


@app.command()
def remove(
    address: Address,
    organisation: Org,
    why: Annotated[str | None, typer.Option("--why", help="The reason, kept.")] = None,
    by: By = None,
    json_: Json = False,
) -> None:
    """Send an address mail again. What came back from it before counts no more."""
    known = address.strip().lower()
    with opened("suppressions") as runtime, asked(runtime, organisation) as (connection, org):
        if not bounces.lift(connection, org.organisation, known, why=why, by=who(by)):
            raise Refused(f"The organisation {organisation!r} has not suppressed {known!r}.")
    if json_:
        document(Decided(known, suppressed=False, changed=True))
    else:
        out.print(f"{known} gets mail again.", markup=False)
