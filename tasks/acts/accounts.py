"""Who is let in: the tokens of programs. An operator's acts, about the installation."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection

from config.errors import BadField, Conflict, Invalid, NotFound
from config.words import some_of
from tasks import accounts, organisations
from tasks.accounts import Role
from tasks.acts.acting import Doing, act

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
class TokenPage:
    """Which tokens: at most so many, from behind this number."""

    limit: int = 100
    after: int = 0


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
    if asked.expires_at is not None and asked.expires_at <= datetime.now(UTC):
        raise Invalid("The token would have expired already.", [BadField("/expires_at", "must lie in the future")])
    token = accounts.new_token()
    with doing.transaction() as connection:
        _check_organisations(connection, asked.role, asked.organisations)
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
def list_tokens(doing: Doing, asked: TokenPage) -> list[accounts.TokenDetails]:
    """The tokens there are and were, in the order in which they were made; nothing of their secrets."""
    with doing.transaction() as connection:
        return accounts.tokens_after(connection, asked.after, asked.limit)


@act("tokens.revoke", "DELETE /tokens/{name}")
def revoke_token(doing: Doing, asked: OneToken) -> RevokedToken:
    """Make a token void at once, and for good."""
    with doing.transaction() as connection:
        if not accounts.revoke_token(connection, asked.name, doing.caller.who):
            raise NotFound(f"There is no token {asked.name!r} that is valid.")
        doing.record(connection, asked.name, before={"revoked": False}, after={"revoked": True})
    return RevokedToken(asked.name)


def _check_organisations(connection: Connection, role: Role, ids: Sequence[str]) -> None:
    """Raises `Invalid` unless a role goes with these organisations, all of which must be known."""
    if role is Role.OPERATOR and ids:
        problem = "an operator's are all organisations: name none"
    elif role is not Role.OPERATOR and not ids:
        problem = f"the role {role} needs at least one organisation"
    else:
        known = organisations.find(connection, ids)
        unknown = [id_ for id_ in ids if id_ not in known]
        problem = f"there is no organisation {some_of(unknown)}" if unknown else ""
    if problem:
        raise Invalid(f"Nothing was made: {problem}.", [BadField("/organisations", problem)])
