"""Accounts of people who sign in through an OpenID provider, as SQL. An account is of what the provider knows somebody
by, which stays; their address may change, or become another's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from config.database import execute, rows, value
from tasks.accounts.emails import as_email
from tasks.accounts.groups import RoleGrant
from tasks.accounts.rules import Role, stored_organisations


@dataclass(frozen=True, slots=True)
class ProvidedPerson:
    """Somebody, as their provider knows them. `verified`: whether the provider says that the address is theirs."""

    provider: str
    subject: str
    email: str | None
    verified: bool
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class ProvidedAccount:
    """An account that is somebody's, or may become it."""

    account: int
    email: str
    role: Role
    organisations: list[str] | None
    provider: str | None
    subject: str | None
    disabled: bool


def person_of(provider: str, claims: Mapping[str, Any], *, groups_claim: str, trusted: bool) -> ProvidedPerson:
    """Whom the claims of a provider are about. `trusted`: its addresses are people's own if it does not say so."""
    email, verified, groups = claims.get("email"), claims.get("email_verified", trusted), claims.get(groups_claim)
    named = groups if isinstance(groups, list) else [groups]
    return ProvidedPerson(
        provider,
        claims["sub"],
        as_email(email) if isinstance(email, str) else None,
        verified is True or verified == "true",
        frozenset(group for group in named if isinstance(group, str)),
    )


def accounts_for(connection: Connection, person: ProvidedPerson) -> list[ProvidedAccount]:
    """The account that is theirs, and the one with their address; locked."""
    return rows(
        connection,
        ProvidedAccount,
        """
        SELECT account, email, role, organisations, provider, subject, disabled_at IS NOT NULL AS disabled
        FROM accounts WHERE (provider = :provider AND subject = :subject) OR email = :email
        ORDER BY account FOR UPDATE
        """,
        provider=person.provider,
        subject=person.subject,
        email=person.email,
    )


def add_provided(connection: Connection, person: ProvidedPerson, grant: RoleGrant) -> int | None:
    """Make an account of somebody; its number, or None if one came to be meanwhile."""
    found: int | None = value(
        connection,
        """
        INSERT INTO accounts (email, role, organisations, made_by, provider, subject)
        VALUES (:email, :role, CAST(:organisations AS text[]), :provider, :provider, :subject)
        ON CONFLICT DO NOTHING RETURNING account
        """,
        email=person.email,
        role=grant.role,
        organisations=stored_organisations(grant.role, grant.organisations),
        provider=person.provider,
        subject=person.subject,
    )
    return found


def provide(connection: Connection, account: int, person: ProvidedPerson, grant: RoleGrant) -> None:
    """Make an account somebody's who signs in through their provider, with what their groups let them do. No password
    lets anybody in by it from now on."""
    execute(
        connection,
        """
        UPDATE accounts SET email = :email, role = :role, organisations = CAST(:organisations AS text[]),
            provider = :provider, subject = :subject, password = NULL, totp = NULL, totp_step = NULL
        WHERE account = :account
        """,
        account=account,
        email=person.email,
        role=grant.role,
        organisations=stored_organisations(grant.role, grant.organisations),
        provider=person.provider,
        subject=person.subject,
    )
