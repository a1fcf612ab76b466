"""Signing in and out, and choosing a password: what people do before anybody knows who they are.

Nothing here says whether there is an account: not by its words, and not by the time it takes.
"""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy import Connection

from config import clock
from config.database import transaction
from config.errors import BadField, Invalid, NotFound, UserError
from config.runtime import Runtime
from config.urls import is_here
from tasks import accounts, audit
from tasks.accounts import Caller, Credentials, Door, LinkPurpose, Role, Tries

#: Where the pages are, below `PUBLIC_URL`.
SIGN_IN_PATH = "/sign-in"

#: How often and how long a link that lets somebody in is good, in words (`accounts.GOOD_FOR`).
GOOD_ONCE = "once, and within half an hour"

#: What a link that lets somebody in ends with if it leads to the console.
TO_CONSOLE = "?console"


class SignInRefused(UserError):
    """Nobody was let in; `wait`: seconds until it is worth another try, if it was tried too often."""

    def __init__(self, says: str, wait: int = 0) -> None:
        super().__init__(says)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class SignIn:
    """What somebody says to be let in; `code`: of an authenticator app, if one is asked for."""

    email: str
    password: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who was let in, and the cookie they are known by from now on."""

    cookie: str
    caller: Caller


def pages_at(runtime: Runtime) -> str:
    """Where people sign in. Raises `UserError` if that is not known, or passwords would travel openly."""
    url = runtime.endpoints.public_url
    if not url:
        raise UserError("Where the pages are is not known yet: start rollcall up once, or set PUBLIC_URL.")
    if not is_safe(url):
        raise UserError("Passwords would travel openly: give the pages a PUBLIC_URL with https.")
    return url


def is_safe(url: str) -> bool:
    """Whether what is sent there is encrypted, or stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_here(parts.hostname)


def link_to(runtime: Runtime, connection: Connection, account: int, purpose: LinkPurpose) -> tuple[str, datetime]:
    """A new link of an account, and until when it is good."""
    base = pages_at(runtime)
    secret, until = accounts.make_link(connection, account, purpose)
    return f"{base}{SIGN_IN_PATH}/{purpose}/{secret}", until


def link_for_this_machine(runtime: Runtime, who: str) -> str:
    """A link that lets the person at this machine in as an operator, whose account is made if there is none: for an
    installation that is embedded, where that person may do everything anyway."""
    email = accounts.as_email(f"{who}@localhost") or "operator@localhost"
    caller = Caller(who, Door.COMMAND, Role.OPERATOR)
    with transaction(runtime.engine) as connection:
        account = accounts.add_account(connection, email, Role.OPERATOR, [], who)
        if account is not None:
            after = {"role": Role.OPERATOR, "organisations": []}
            audit.record(connection, None, caller, [audit.AuditEntry("accounts.add", str(account), after=after)])
        known = accounts.account_of(connection, email)
        assert known is not None  # noqa: S101 - made above
        return link_to(runtime, connection, known.account, LinkPurpose.ONCE)[0]


def sign_in(
    runtime: Runtime, said: SignIn, address: str | None, before: str | None = None, browser: str | None = None
) -> SignedIn:
    """Let somebody in by address and password. `before`: the cookie that they had; `browser`: its family. Raises
    `SignInRefused`."""
    email, secret_key = accounts.as_email(said.email) or "", runtime.endpoints.secret_key
    tries = Tries.of(secret_key, email, address)
    with transaction(runtime.engine) as connection:
        wait = tries.count(connection)
    if wait:
        raise SignInRefused("It was tried too often: wait a few minutes, then try again.", wait)
    with transaction(runtime.engine) as connection:
        found = accounts.account_of(connection, email)
    right = accounts.is_password(found.password if found else None, said.password)
    with transaction(runtime.engine) as connection:
        if right and found is not None:  # unless it was changed, or disabled, while the password was looked at
            right = accounts.account_of(connection, email, lock=True) == found
        if found is None or not right or not _code_fits(runtime, connection, found, said.code):
            raise SignInRefused("The address, the password or the code is wrong.")
        if found.password and accounts.is_outdated(found.password):
            accounts.renew_password(connection, found.account, accounts.hash_password(said.password))
        tries.forgive(connection)
        return begin(runtime, connection, found.account, _caller(found, address), before, browser)


def sign_in_by_link(
    runtime: Runtime, secret: str, address: str | None, before: str | None = None, browser: str | None = None
) -> SignedIn:
    """Let somebody in who opens a link that was made for that; it is good once. Raises `NotFound`."""
    with transaction(runtime.engine) as connection:
        found = _behind(connection, secret, LinkPurpose.ONCE, use=True)
        return begin(runtime, connection, found.account, _caller(found, address), before, browser)


def sign_out(runtime: Runtime, cookie: str, address: str | None) -> str | None:
    """End the session of this cookie, if there is one; the provider that they signed in through, if it was by one."""
    with transaction(runtime.engine) as connection:
        idle = runtime.settings.rollcall_session_seconds
        caller = accounts.caller_of_session(connection, cookie, address, idle_seconds=idle)
        if accounts.end_session(connection, cookie) and caller is not None:
            audit.record(connection, None, caller, [audit.AuditEntry("sessions.end")])
        found = accounts.account_of(connection, caller.who) if caller is not None else None
    return None if found is None else found.provider


def whose_password(runtime: Runtime, secret: str) -> str:
    """The address of the account whose password a link lets choose. Raises `NotFound` if it is good no more."""
    with transaction(runtime.engine) as connection:
        return _behind(connection, secret, LinkPurpose.PASSWORD).email


def choose_password(runtime: Runtime, secret: str, password: str, address: str | None) -> None:
    """Set the password of the account that a link is of; the link is used up, and the account's sessions end. Raises
    `NotFound`, and `Invalid` for a password that will not do, which leaves the link good."""
    if problem := accounts.fault_of(password, whose_password(runtime, secret)):
        raise Invalid(problem, [BadField("/password", problem)])
    kept = accounts.hash_password(password)
    with transaction(runtime.engine) as connection:
        found = _behind(connection, secret, LinkPurpose.PASSWORD, use=True)
        accounts.set_password(connection, found.account, kept)
        Tries.of(runtime.endpoints.secret_key, found.email, address).forgive(connection)
        entry = audit.AuditEntry("passwords.set", str(found.account))
        audit.record(connection, None, _caller(found, address), [entry])


def _behind(connection: Connection, secret: str, purpose: LinkPurpose, *, use: bool = False) -> Credentials:
    found = accounts.behind_link(connection, secret, purpose, use=use)
    if found is None:
        raise NotFound("This link does not work any more.")
    return found


def begin(
    runtime: Runtime,
    connection: Connection,
    account: int,
    caller: Caller,
    before: str | None = None,
    browser: str | None = None,
) -> SignedIn:
    """Let somebody in whom we know now. `before`: the cookie that they had; `browser`: its family."""
    accounts.forget_sessions(connection, idle_seconds=runtime.settings.rollcall_session_seconds)
    cookie = accounts.begin_session(connection, account, caller.address, before=before, browser=browser)
    audit.record(connection, None, caller, [audit.AuditEntry("sessions.begin")])
    return SignedIn(cookie, caller)


def _caller(found: Credentials, address: str | None) -> Caller:
    organisations = None if found.organisations is None else frozenset(found.organisations)
    return Caller(found.email, Door.CONSOLE, Role(found.role), organisations, address)


def _code_fits(runtime: Runtime, connection: Connection, found: Credentials, code: str) -> bool:
    """Whether a code is the right one, if one is asked for, and was not used before."""
    if found.totp is None:
        return True
    step = accounts.SecondFactors(runtime.endpoints.secret_key).step_of(
        found.totp, code, clock.seconds(), found.totp_step
    )
    return step is not None and accounts.use_totp(connection, found.account, step)
