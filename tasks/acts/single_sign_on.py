"""Letting people in whom an OpenID provider knows: their groups say, at each sign-in, what they may do."""

from sqlalchemy import Connection

from config.database import transaction
from config.openid import group_roles
from config.runtime import Runtime
from tasks import accounts, audit
from tasks.accounts import Caller, Door, ProvidedAccount, ProvidedPerson, RoleGrant
from tasks.acts.signing_in import SignedIn, SignInRefused, begin

NO_ROLE = "None of the groups that your provider names gives you a role here: ask an operator."
NO_ADDRESS = "Your provider names no e-mail address of yours that it has verified: ask an operator."
DISABLED = "Your account is disabled: ask an operator."
TAKEN = "Somebody else has an account with your address: an operator may disable it and add it again."
AGAIN = "Somebody signed in as you at the same moment: begin again."


def sign_in_through_provider(
    runtime: Runtime,
    person: ProvidedPerson,
    address: str | None,
    before: str | None = None,
    browser: str | None = None,
) -> SignedIn:
    """Let somebody in whom the provider knows. `before`: the cookie that they had; `browser`: its family. If they have
    no role any more, their sessions end. Raises `SignInRefused`."""
    grant = accounts.grant_of(group_roles(runtime.settings.rollcall_oidc_groups or ""), person.groups)
    with transaction(runtime.engine) as connection:
        found = accounts.accounts_for(connection, person)
        mine = next((one for one in found if (one.provider, one.subject) == (person.provider, person.subject)), None)
        other = next((one for one in found if one is not mine), None)
        problem, account = _fault(person, grant, mine, other), mine or other
        if problem is None and grant is not None:
            number = _provided(connection, person, grant, account, address, theirs=mine is not None)
            if number is not None:
                organisations = grant.organisations if grant.role is not accounts.Role.OPERATOR else None
                caller = Caller(person.email or "", Door.CONSOLE, grant.role, organisations, address)
                return begin(runtime, connection, number, caller, before, browser)
        if grant is None and mine is not None and (ended := accounts.end_sessions(connection, mine.account)):
            caller = Caller(mine.email, Door.CONSOLE, mine.role, None, address)
            entry = audit.AuditEntry("sessions.end", str(mine.account), {"sessions": ended}, {"sessions": 0})
            audit.record(connection, None, caller, [entry])
        if person.email is not None and person.verified:
            caller = Caller(person.email, Door.CONSOLE, accounts.Role.READER, frozenset(), address)
            audit.record_refusal(connection, None, caller, audit.AuditEntry("sessions.begin", outcome="refused"))
    raise SignInRefused(problem or AGAIN)


def _fault(
    person: ProvidedPerson, grant: RoleGrant | None, mine: ProvidedAccount | None, other: ProvidedAccount | None
) -> str | None:
    """Why somebody is not let in."""
    if grant is None:
        return NO_ROLE
    if person.email is None or not person.verified:
        return NO_ADDRESS
    if other is not None and (mine is not None or other.provider == person.provider):
        return TAKEN
    return DISABLED if (account := mine or other) is not None and account.disabled else None


def _provided(
    connection: Connection,
    person: ProvidedPerson,
    grant: RoleGrant,
    account: ProvidedAccount | None,
    address: str | None,
    *,
    theirs: bool,
) -> int | None:
    """The number of somebody's account, which is made, or has their role now; None if one was made meanwhile."""
    number = accounts.add_provided(connection, person, grant) if account is None else account.account
    if number is None:
        return None
    if account is not None:
        accounts.provide(connection, number, person, grant)
    if account is not None and not theirs:  # whoever could come in by a password cannot any more
        accounts.end_sessions_and_links(connection, number)
    before = None if account is None else {"role": account.role, "organisations": account.organisations or []}
    after = {"role": grant.role, "organisations": sorted(grant.organisations)}
    if before != after or not theirs:
        caller = Caller(person.email or "", Door.CONSOLE, grant.role, None, address)
        entry = audit.AuditEntry("accounts.provided", str(number), before, after)
        audit.record(connection, None, caller, [entry])
    return number
