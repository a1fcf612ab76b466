"""`rollcall suppressions`: the addresses that get no more mail, and why."""

from typing import Annotated

import typer

from config.errors import Invalid
from config.words import counted
from tasks import mail
from tasks.acts import suppressions as acts
from tasks.mail import mail_key
from tasks.reports import Format
from workers.commands.common import PAST, By, Json, Lines, Org, Written, acting, done, past, say, write_blocks

app = typer.Typer(
    help="Addresses that get no more mail from an organisation: their server refused them, mail came back, somebody"
    " complained, or a person decided so.",
    no_args_is_help=True,
)

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="A mail address, in any case.")]


@app.command("list")
def list_(organisation: Org, format_: Written = Format.CSV, json_: Lines = False) -> None:
    """List every address, the oldest first: since when and why, and who decided it if a person did."""
    with acting("suppressions") as do:
        write_blocks(do(acts.export, acts.SuppressionsExport(Format.JSONL if json_ else format_), organisation).blocks)


@app.command()
def add(
    address: Address,
    organisation: Org,
    why: Annotated[str, typer.Option("--why", help="The reason, kept with it.")],
    by: By = None,
    json_: Json = False,
) -> None:
    """Send an address no more mail, whoever has it."""
    try:
        decided = done(acts.add, acts.NewSuppression(address, why), organisation, by=by)
    except Invalid as problem:
        raise typer.BadParameter(str(problem)) from None
    said = "gets no more mail" if decided.changed else "was suppressed already"
    say(decided, f"{decided.address} {said}.", json_=json_)


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
    wanted = acts.SuppressionsChosen(
        named or None,
        reason,
        mailing,
        past(since, "--since") if since else None,
        past(until, "--until") if until else None,
        why,
        dry_run,
    )
    lifted = done(acts.remove, wanted, organisation, by=by)
    if len(named) == 1 and not dry_run:
        decided = acts.SuppressionDecision(named[0], suppressed=False, changed=True)
        say(decided, f"{named[0]} gets mail again.", json_=json_)
    else:
        get = ("address would get", "addresses would get") if dry_run else ("address gets", "addresses get")
        say(lifted, f"{counted(lifted.lifted, *get)} mail again.", json_=json_)
