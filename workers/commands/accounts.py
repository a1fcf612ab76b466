"""`rollcall accounts`: people who may sign in."""

from typing import Annotated

import typer

from config.words import counted
from tasks.acts import accounts as acts
from tasks.acts.paging import PageAsked
from workers.commands.common import Json, cell, done, say, say_table, walked
from workers.commands.tokens import Organisations, RoleOption

app = typer.Typer(
    help="Accounts of people who sign in at PUBLIC_URL/sign-in. Passwords are kept as argon2id hashes alone.",
    no_args_is_help=True,
)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The address that the person signs in with.")]


@app.command()
def add(email: Email, role: RoleOption, organisations: Organisations = None, json_: Json = False) -> None:
    """Let a person in. Prints a link, good once and for a day, by which they choose a password."""
    _show_link(done(acts.add_account, acts.NewAccount(email, role, organisations or [])), json_=json_)


@app.command()
def password(email: Email, json_: Json = False) -> None:
    """Print a link, good once and for a day, by which a person chooses a new password."""
    _show_link(done(acts.reset_password, acts.OneAccount(email)), json_=json_)


def _show_link(made: acts.PasswordLink, *, json_: bool) -> None:
    says = f"By this link {made.email} chooses a password, once and until {cell(made.until)} UTC:"
    say(made, says, made.link, json_=json_)


@app.command("list")
def list_(json_: Json = False) -> None:
    """List accounts: what they may do, and when they last signed in."""
    found = list(walked(acts.list_accounts, PageAsked()))
    say_table(
        found,
        ["id", "email", "role", "organisations", "password", "code", "made by", "last signed in", "disabled"],
        [
            [
                a.id,
                a.email,
                a.role,
                a.organisations or "all",
                a.has_password,
                a.has_totp,
                a.made_by,
                a.signed_in_at,
                a.disabled_at,
            ]
            for a in found
        ],
        "There are no accounts.",
        json_=json_,
    )


@app.command()
def disable(email: Email, json_: Json = False) -> None:
    """Let a person in no more: their sessions end at once. Tokens that they made stay."""
    disabled = done(acts.disable_account, acts.OneAccount(email))
    say(disabled, f"{disabled.email} is let in no more.", json_=json_)


@app.command()
def totp(
    email: Email,
    off: Annotated[bool, typer.Option("--off", help="Ask for no code any more.")] = False,
    json_: Json = False,
) -> None:
    """Ask a person for a code of an authenticator app besides the password. Prints what the app takes, this once."""
    made = done(acts.set_totp, acts.SecondFactorWish(email, not off))
    if made.uri is None:
        say(made, f"{made.email} is asked for no code any more.", json_=json_)
    else:
        says = f"{made.email} is asked for a code from now on. The app takes this, which is not shown again:"
        say(made, says, made.uri, json_=json_)


@app.command()
def sessions(json_: Json = False) -> None:
    """List who is signed in, since when and from where."""
    found = list(walked(acts.list_sessions, PageAsked()))
    lines = [[s.email, s.address, s.began_at, s.used_at] for s in found]
    say_table(found, ["email", "from", "since", "last used"], lines, "Nobody is signed in.", json_=json_)


@app.command("sign-out")
def sign_out(email: Email, json_: Json = False) -> None:
    """End all sessions of a person."""
    ended = done(acts.sign_out, acts.OneAccount(email))
    say(ended, f"{counted(ended.sessions, 'session')} of {ended.email} ended.", json_=json_)
