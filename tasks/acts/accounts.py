"""Who is let in: accounts of people and tokens of programs. An operator's acts, about the installation."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from config import clock
from config.errors import BadField, Conflict, Invalid, NotFound
from config.words import some_of
from tasks import accounts, organisations
from tasks.accounts import Credentials, LinkPurpose, Role
from tasks.acts.acting import Doing, act, organisation_of
from tasks.acts.paging import Page, PageAsked, keys_after, page
from tasks.acts.signing_in import link_to

#: A token's name: it stands in the audit log, in paths and in the sources of events, and is never taken for an address.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to be made. `expires_at`: null for one that does not expire."""

    name: str
    role: Role
    organisations: list[str] = field(default_factory=list)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is new. `token` is shown this once."""

    name: str
    token: str
    role: Role
    organisations: list[str]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class OneToken:
    """A token, by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class RevokedToken:
    """A token that lets nobody in any more."""

    name: str


@act("tokens.add", "POST /tokens", status=201)
def add_token(doing: Doing, asked: NewToken) -> AddedToken:
    """Make a token for a program. It is shown this once; only its hash is kept."""
    if not NAME.fullmatch(asked.name):
        said = "A token's name has up to 100 letters, digits, dots, dashes and underscores, the first not a sign."
        raise Invalid(said, [BadField("/name", said)])
    if asked.expires_at is not None and asked.expires_at <= clock.now():
        raise Invalid("The token would have expired already.", [BadField("/expires_at", "must lie in the future")])
    token = accounts.new_token()
    with doing.transaction() as connection:
        _check_organisations(doing, connection, asked.role, asked.organisations)
        added = accounts.add_token(
            connection,
            asked.name,
            token,
            asked.role,
            asked.organisations,
            expires_at=asked.expires_at,
            made_by=doing.caller.who,
        )
        if not added:
            raise Conflict(f"There is a token {asked.name!r} already: revoke it first, or name another.")
        after = {"role": asked.role, "organisations": asked.organisations, "expires_at": asked.expires_at}
        doing.record(connection, asked.name, after=after)
    return AddedToken(asked.name, token, asked.role, asked.organisations, asked.expires_at)


@act("tokens.list", "GET /tokens")
def list_tokens(doing: Doing, asked: PageAsked) -> Page[accounts.TokenDetails]:
    """The tokens there are and were, in the order in which they were made; nothing of their secrets."""
    (after,) = keys_after(asked.after, tuple[int], doing.act) or (0,)
    with doing.transaction() as connection:
        found = accounts.tokens_after(connection, after, asked.limit + 1)
    return page(found, asked.limit, lambda one: (one.id,), doing.act)


@act("tokens.revoke", "DELETE /tokens/{name}")
def revoke_token(doing: Doing, asked: OneToken) -> RevokedToken:
    """Make a token void at once, and for good."""
    with doing.transaction() as connection:
        if not accounts.revoke_token(connection, asked.name, doing.caller.who):
            raise NotFound(f"There is no token {asked.name!r} that is valid.")
        doing.record(connection, asked.name, before={"revoked": False}, after={"revoked": True})
    return RevokedToken(asked.name)


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be made."""

    email: str
    role: Role
    organisations: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PasswordLink:
    """A link, good once and until then, by which somebody chooses a password; shown this once."""

    email: str
    link: str
    until: datetime


@dataclass(frozen=True, slots=True)
class OneAccount:
    """An account, by its address."""

    email: str


@dataclass(frozen=True, slots=True)
class DisabledAccount:
    """An account that lets nobody in any more."""

    email: str


@dataclass(frozen=True, slots=True)
class SecondFactorWish:
    """Whether a code is to be asked for besides the password."""

    email: str
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """Whether a code is asked for; `uri`, shown this once, is what an authenticator app takes."""

    email: str
    wanted: bool
    uri: str | None


@dataclass(frozen=True, slots=True)
class SignedOut:
    """How many sessions of an account were ended."""

    email: str
    sessions: int


@dataclass(frozen=True, slots=True)
class RevokedTokens:
    """The names of the tokens of a person that let nobody in any more."""

    email: str
    tokens: list[str]


@act("accounts.add", "POST /accounts", status=201)
def add_account(doing: Doing, asked: NewAccount) -> PasswordLink:
    """Let a person in, by an address, once they have chosen a password by the link that this answers with. One that was
    disabled is made anew."""
    email = accounts.as_email(asked.email)
    if email is None:
        raise Invalid(f"{asked.email!r} is no e-mail address.", [BadField("/email", "must be an e-mail address")])
    with doing.transaction() as connection:
        _check_organisations(doing, connection, asked.role, asked.organisations)
        account = accounts.add_account(connection, email, asked.role, asked.organisations, doing.caller.who)
        if account is None:
            raise Conflict(f"There is an account of {email} already: disable it first, to give it another role.")
        doing.record(connection, str(account), after={"role": asked.role, "organisations": asked.organisations})
        link, until = link_to(doing.runtime, connection, account, LinkPurpose.PASSWORD)
    return PasswordLink(email, link, until)


@act("accounts.list", "GET /accounts")
def list_accounts(doing: Doing, asked: PageAsked) -> Page[accounts.AccountDetails]:
    """The accounts there are and were, in the order in which they were made."""
    (after,) = keys_after(asked.after, tuple[int], doing.act) or (0,)
    with doing.transaction() as connection:
        found = accounts.accounts_after(connection, after, asked.limit + 1)
    return page(found, asked.limit, lambda one: (one.id,), doing.act)


@act("accounts.disable", "POST /accounts/disable")
def disable_account(doing: Doing, asked: OneAccount) -> DisabledAccount:
    """Let a person in no more, from now on: their sessions end. Tokens that they made stay."""
    with doing.transaction() as connection:
        found = _account(connection, asked.email)
        accounts.disable_account(connection, found.account, doing.caller.who)
        doing.record(connection, str(found.account), before={"disabled": False}, after={"disabled": True})
    return DisabledAccount(found.email)


@act("accounts.password", "POST /accounts/password")
def reset_password(doing: Doing, asked: OneAccount) -> PasswordLink:
    """Make a link by which a person chooses a new password. Until they do, the old one holds."""
    with doing.transaction() as connection:
        found = _by_password(connection, asked.email)
        link, until = link_to(doing.runtime, connection, found.account, LinkPurpose.PASSWORD)
        doing.record(connection, str(found.account), after={"link_until": until})
    return PasswordLink(found.email, link, until)


@act("accounts.totp", "POST /accounts/totp")
def set_totp(doing: Doing, asked: SecondFactorWish) -> SecondFactor:
    """Ask a person for a code of an authenticator app (RFC 6238) besides the password; or not any more."""
    factors = accounts.SecondFactors(doing.runtime.endpoints.secret_key)
    with doing.transaction() as connection:
        found = _by_password(connection, asked.email)
        uri, kept = factors.make(found.email) if asked.wanted else (None, None)
        accounts.set_totp(connection, found.account, kept)
        before, after = {"totp": found.totp is not None}, {"totp": asked.wanted}
        doing.record(connection, str(found.account), before=before, after=after)
    return SecondFactor(found.email, asked.wanted, uri)


@act("accounts.sessions", "GET /accounts/sessions")
def list_sessions(doing: Doing, asked: PageAsked) -> Page[accounts.SessionDetails]:
    """Who is signed in, since when, and from where."""
    after = keys_after(asked.after, tuple[datetime, str], doing.act)
    idle = doing.runtime.settings.rollcall_session_seconds
    with doing.transaction() as connection:
        found = accounts.sessions_after(connection, after, asked.limit + 1, idle_seconds=idle)
    return page(found, asked.limit, lambda one: (one.began_at, one.email), doing.act)


@act("accounts.revoke_tokens", "POST /accounts/revoke-tokens")
def revoke_tokens(doing: Doing, asked: OneAccount) -> RevokedTokens:
    """Make all tokens void that a person has made, at once and for good; also of an account that is disabled."""
    email = accounts.as_email(asked.email) or ""
    with doing.transaction() as connection:
        names = accounts.revoke_tokens_of(connection, email, doing.caller.who)
        doing.record_each(connection, {name: ({"revoked": False}, {"revoked": True}) for name in names})
    return RevokedTokens(email, names)


@act("accounts.sign_out", "POST /accounts/sign-out")
def sign_out(doing: Doing, asked: OneAccount) -> SignedOut:
    """End all sessions of a person, from now on."""
    with doing.transaction() as connection:
        found = _account(connection, asked.email)
        ended = accounts.end_sessions(connection, found.account)
        doing.record(connection, str(found.account), before={"sessions": ended}, after={"sessions": 0})
    return SignedOut(found.email, ended)


def _account(connection: Connection, email: str) -> Credentials:
    """The account with this address, or a refusal."""
    found = accounts.account_of(connection, accounts.as_email(email) or "")
    if found is None:
        raise NotFound(f"There is no account of {email} that is enabled.")
    return found


def _by_password(connection: Connection, email: str) -> Credentials:
    """The account with this address, or a refusal; also for somebody who signs in elsewhere."""
    found = _account(connection, email)
    if found.provider is not None:
        raise Conflict(f"{found.email} signs in through {found.provider}, and by no password.")
    return found


def _is_elsewhere(doing: Doing, id_: str) -> bool:
    """Whether an organisation that was not found here lives in another cell."""
    try:
        return doing.runtime.cells is not None and bool(organisation_of(doing.runtime, doing.caller, id_))
    except NotFound:
        return False


def _check_organisations(doing: Doing, connection: Connection, role: Role, ids: Sequence[str]) -> None:
    """Raises `Invalid` unless a role goes with these organisations, each of which must be known in its cell."""
    if role is Role.OPERATOR and ids:
        problem = "an operator's are all organisations: name none"
    elif role is not Role.OPERATOR and not ids:
        problem = f"the role {role} needs at least one organisation"
    else:
        known = organisations.find(connection, ids)
        unknown = [id_ for id_ in ids if id_ not in known and not _is_elsewhere(doing, id_)]
        problem = f"there is no organisation {some_of(unknown)}" if unknown else ""
    if problem:
        raise Invalid(f"Nothing was made: {problem}.", [BadField("/organisations", problem)])
