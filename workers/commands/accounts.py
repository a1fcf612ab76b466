"""`rollcall accounts`: people who may sign in."""

from typing import Annotated

import typer

from config.words import counted
from tasks.acts import accounts as acts
from workers.commands.common import Json, cell, document, done, out, table, walked
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
    if json_:
        document(made)
        return
    out.print(f"By this link {made.email} chooses a password, once and until {cell(made.until)} UTC:", markup=False)
    out.print(made.link, markup=False)


@app.command("list")
def list_(json_: Json = False) -> None:
    """List accounts: what they may do, and when they last signed in."""
    found = list(walked(acts.list_accounts, acts.AccountList()))
    if json_:
        document(found)
        return
    table(
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
    )


@app.command()
def disable(email: Email, json_: Json = False) -> None:
    """Let a person in no more: their sessions end at once. Tokens that they made stay."""
    disabled = done(acts.disable_account, acts.OneAccount(email))
    if json_:
        document(disabled)
    else:
        out.print(f"{disabled.email} is let in no more.", markup=False)


@app.command()
def totp(
    email: Email,
    off: Annotated[bool, typer.Option("--off", help="Ask for no code any more.")] = False,
    json_: Json = False,
) -> None:
    """Ask a person for a code of an authenticator app besides the password. Prints what the app takes, this once."""
    made = done(acts.set_totp, acts.SecondFactorWish(email, not off))
    if json_:
        document(made)
    elif made.uri is None:
        out.print(f"{made.email} is asked for no code any more.", markup=False)
    else:
        out.print(f"{made.email} is asked for a code from now on. The app takes this, which is not shown again:")
        out.print(made.uri, markup=False)


@app.command()
def sessions(json_: Json = False) -> None:
    """List who is signed in, since when and from where."""
    found = list(walked(acts.list_sessions, acts.SessionList()))
    if json_:
        document(found)
        return
    table(
        ["email", "from", "since", "last used"],
        [[s.email, s.address, s.began_at, s.used_at] for s in found],
        "Nobody is signed in.",
    )


@app.command("sign-out")
def sign_out(email: Email, json_: Json = False) -> None:
    """End all sessions of a person."""
    ended = done(acts.sign_out, acts.OneAccount(email))
    if json_:
        document(ended)
    else:
        out.print(f"{counted(ended.sessions, 'session')} of {ended.email} ended.", markup=False)
