"""Where somebody is signed in; and, for operators, who may come in: accounts and their sessions, and tokens."""

from collections import Counter
from datetime import UTC, datetime, time

from config.errors import UserError
from tasks.accounts import Role
from tasks.acts import accounts, sessions
from tasks.acts.accounts import NewToken, OneAccount, OneToken
from tasks.acts.paging import PageAsked
from tasks.acts.sessions import OneSession, OtherSessions
from workers.web.console.visits import Gone, Shown, Visit, page


@page("GET sessions", needs=sessions.list_)
def list_sessions(visit: Visit) -> Shown:
    """Where the reader is signed in."""
    found = visit.ask(sessions.list_, visit.read(PageAsked))
    return Shown("sessions", {"sessions": found.items, "next": found.next, "own": visit.session})


@page("POST sessions", needs=sessions.end_one)
def end_sessions(visit: Visit) -> Gone:
    """End one session of the reader's, or all others."""
    if visit.said("session"):
        visit.ask(sessions.end_one, OneSession(visit.said("session")))
        return Gone(visit.top("sessions"), visit.reader.words.gettext("You are signed out there."))
    done = visit.ask(sessions.end_others, OtherSessions(visit.session)).sessions
    said = visit.reader.ngettext("{n} other session was ended.", "{n} other sessions were ended.", done)
    return Gone(visit.top("sessions"), said)


@page("GET system/accounts", needs=accounts.list_accounts, section="system")
def list_accounts(visit: Visit) -> Shown:
    """Who has an account, and who is signed in."""
    found = visit.ask(accounts.list_accounts, visit.read(PageAsked))
    now = visit.ask(accounts.list_sessions, PageAsked(limit=1000))
    open_ = Counter(one.email for one in now.items)
    said = {"accounts": found.items, "next": found.next, "open": open_, "more": now.next is not None}
    return Shown("accounts", said)


@page("POST system/accounts", needs=accounts.sign_out, section="system")
def change_account(visit: Visit) -> Gone:
    """Sign somebody out everywhere, or make the tokens void that they made."""
    who, ngettext = OneAccount(visit.said("email")), visit.reader.ngettext
    if visit.said("wanted") == "tokens":
        done = len(visit.ask(accounts.revoke_tokens, who).tokens)
        said = ngettext("{n} token was revoked.", "{n} tokens were revoked.", done)
    else:
        done = visit.ask(accounts.sign_out, who).sessions
        said = ngettext("{n} session was ended.", "{n} sessions were ended.", done)
    return Gone(visit.top("system", "accounts"), said)


@page("GET system/tokens", needs=accounts.list_tokens, section="system")
def list_tokens(visit: Visit) -> Shown:
    """The tokens of programs."""
    found = visit.ask(accounts.list_tokens, visit.read(PageAsked))
    return Shown("tokens", {"tokens": found.items, "next": found.next, "added": None, "roles": [*Role]})


@page("POST system/tokens", needs=accounts.add_token, section="system")
def add_token(visit: Visit) -> Shown:
    """Make a token; it is shown on this page alone."""
    role = next((one for one in Role if one == visit.said("role")), None)
    if role is None:
        raise UserError(visit.reader.words.gettext("Choose a role."))
    named = [one.strip() for one in visit.said("organisations").split(",") if one.strip()]
    asked = NewToken(visit.said("name").strip(), role, named, _until(visit))
    added = visit.ask(accounts.add_token, asked)
    found = visit.ask(accounts.list_tokens, PageAsked())
    return Shown("tokens", {"tokens": found.items, "next": found.next, "added": added, "roles": [*Role]})


@page("POST system/tokens/{token}/revoke", needs=accounts.revoke_token, section="system")
def revoke_token(visit: Visit) -> Gone:
    """Make a token void."""
    name = visit.ask(accounts.revoke_token, OneToken(visit.path["token"])).name
    return Gone(visit.top("system", "tokens"), visit.reader.words.gettext("{name} is void.").format(name=name))


def _until(visit: Visit) -> datetime | None:
    """The end of the day that is chosen, in UTC; None: never."""
    said = visit.said("expires")
    try:
        return datetime.combine(datetime.fromisoformat(said).date(), time.max, UTC) if said else None
    except ValueError:
        raise UserError(visit.reader.words.gettext("That is no day: write it as 2030-12-31.")) from None
