"""`rollcall tokens`: what programs show to be let in."""

from typing import Annotated

import typer

from tasks.accounts import Role, TokenDetails
from tasks.acts import accounts as acts
from tasks.acts.paging import PageAsked
from workers.commands.common import Json, cell, done, future, say, say_table, walked

app = typer.Typer(
    help="Tokens of programs. Each is shown once; only its hash is kept. The API takes it as Authorization: Bearer.",
    no_args_is_help=True,
)

RoleOption = Annotated[Role, typer.Option("--role", help="What it is trusted with.")]
Organisations = Annotated[
    list[str] | None,
    typer.Option("--organisation", "-o", metavar="ORG", help="An organisation it is of; may be repeated."),
]


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in the audit log.")],
    role: RoleOption,
    organisations: Organisations = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="SPAN", help="When it expires, as 90d or a time; unset: never."),
    ] = None,
    json_: Json = False,
) -> None:
    """Make a token for a program, and print it, this once."""
    moment = None if expires is None else future(expires, "--expires")
    added = done(acts.add_token, acts.NewToken(name, role, organisations or [], moment))
    until = f"until {cell(added.expires_at)} UTC" if added.expires_at else "and does not expire"
    of = f" of {', '.join(added.organisations)}" if added.organisations else ""
    says = f"{added.name} has the role {added.role}{of} {until}. Its token, which is not shown again:"
    say(added, says, added.token, json_=json_)


@app.command("list")
def list_(json_: Json = False) -> None:
    """List tokens: whose they are, when they were last used, and until when they are valid."""
    found = list(walked(acts.list_tokens, PageAsked()))
    say_table(
        found,
        ["name", "role", "organisations", "made by", "made", "last used", "valid"],
        [[t.name, t.role, t.organisations or "all", t.made_by, t.made_at, t.used_at, _valid(t)] for t in found],
        "There are no tokens.",
        json_=json_,
    )


def _valid(token: TokenDetails) -> str:
    if token.revoked_at:
        return f"revoked {cell(token.revoked_at)}"
    return f"until {cell(token.expires_at)}" if token.expires_at else "until it is revoked"


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, as `list` shows it.")], json_: Json = False
) -> None:
    """Make a token void at once, and for good."""
    revoked = done(acts.revoke_token, acts.OneToken(name))
    say(revoked, f"{revoked.name} lets nobody in any more.", json_=json_)
