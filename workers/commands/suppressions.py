"""`rollcall suppressions`: the addresses that get no more mail, and why."""

from dataclasses import dataclass
from typing import Annotated

import typer

from config.words import counted
from tasks import announcements, mail
from tasks.mail import mail_key, wire_address
from tasks.reports import Format, stream
from workers.commands.common import PAST, Json, Org, Refused, asked, document, opened, out, past, who, write_blocks

app = typer.Typer(
    help="Addresses that get no more mail from an organisation: their server refused them, mail came back, somebody"
    " complained, or a person decided so.",
    no_args_is_help=True,
)

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="A mail address, in any case.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides; the user of this machine otherwise.")]


@dataclass(frozen=True, slots=True)
class SuppressionDecision:
    """What a person made of an address."""

    address: str
    suppressed: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class Lifted:
    """How many addresses a person lets get mail again, or would."""

    lifted: int
    dry_run: bool


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
        written = Format.JSONL if json_ else format_
        write_blocks(stream(connection, mail.SUPPRESSIONS, org.organisation, None, written))


@app.command()
def add(
    address: Address,
    organisation: Org,
    why: Annotated[str, typer.Option("--why", help="The reason, kept with it.")],
    by: By = None,
    json_: Json = False,
) -> None:
    """Send an address no more mail, whoever has it."""
    known = mail_key(address)
    try:
        wire_address(known)
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None
    with opened("suppressions") as runtime, asked(runtime, organisation) as (connection, org):
        changed = mail.suppress(connection, org.organisation, known, mail.Suppressed.BY_HAND, why=why, by=who(by))
    if json_:
        document(SuppressionDecision(known, suppressed=True, changed=changed))
    else:
        out.print(f"{known} {'gets no more mail' if changed else 'was suppressed already'}.", markup=False)


@app.command()
def remove(
    organisation: Org,
    addresses: Annotated[
        list[str] | None, typer.Argument(metavar="[ADDRESS]...", help="Mail addresses, in any case.")
    ] = None,
    reason: Annotated[
        mail.Suppressed | None, typer.Option("--reason", help="All that are suppressed for this reason.")
    ] = None,
    mailing: Annotated[
        str | None,
        typer.Option("--mailing", metavar="ID", help="All that this announcement was refused at or came back from."),
    ] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help=f"All since then: {PAST}.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Of these, all until then.")] = None,
    why: Annotated[str | None, typer.Option("--why", help="The reason, kept.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many there are, and change nothing.")] = False,
    by: By = None,
    json_: Json = False,
) -> None:
    """Send addresses mail again: those that are named, or all that --reason, --mailing, --since and --until choose
    together. What came back from them before counts no more."""
    named = [mail_key(address) for address in addresses or []]
    chosen = any(one is not None for one in (reason, mailing, since, until))
    if bool(named) == chosen:
        raise typer.BadParameter("name addresses, or choose them with --reason, --mailing, --since or --until")
    wanted = mail.Chosen(
        named if named else None,
        reason,
        mailing,
        past(since, "--since") if since else None,
        past(until, "--until") if until else None,
    )
    with opened("suppressions") as runtime, asked(runtime, organisation) as (connection, org):
        if mailing is not None and announcements.find(connection, org.organisation, mailing) is None:
            raise Refused(f"There is no announcement {mailing!r} in the organisation {organisation!r}.")
        if dry_run:
            lifted = mail.count_suppressions(connection, org.organisation, wanted)
        else:
            lifted = mail.lift(connection, org.organisation, wanted, why=why, by=who(by))
        if len(named) == 1 and not lifted:
            raise Refused(f"The organisation {organisation!r} has not suppressed {named[0]!r}.")
    if json_:
        one = len(named) == 1 and not dry_run
        document(SuppressionDecision(named[0], suppressed=False, changed=True) if one else Lifted(lifted, dry_run))
    elif len(named) == 1 and not dry_run:
        out.print(f"{named[0]} gets mail again.", markup=False)
    else:
        get = ("address would get", "addresses would get") if dry_run else ("address gets", "addresses get")
        out.print(f"{counted(lifted, *get)} mail again.", markup=False)
