"""Accounts of people, and the links that begin one, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection

from config.database import changes_any, execute, one, rows, value
from tasks.accounts.rules import Role, stored_organisations
from tasks.accounts.secret import digest, new_secret
from tasks.accounts.sessions import end_sessions


class LinkPurpose(StrEnum):
    """What a link does for whoever opens it."""

    PASSWORD = "password"  # lets them choose one  # noqa: S105 - a word
    ONCE = "once"  # lets them in


#: How long a link is good.
GOOD_FOR = {LinkPurpose.PASSWORD: timedelta(days=1), LinkPurpose.ONCE: timedelta(minutes=30)}


@dataclass(frozen=True, slots=True)
class AccountDetails:
    """An account, as it is shown. `organisations`: none if it is an operator's, and so of all. `has_password`: whether
    one was chosen; `has_totp`: whether a code is asked for besides; `provider`: whom they sign in through instead."""

    id: int
    email: str
    role: Role
    organisations: list[str]
    has_password: bool
    has_totp: bool
    provider: str | None
    made_by: str
    made_at: datetime
    signed_in_at: datetime | None
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What tells whether somebody is who they say."""

    account: int
    email: str
    role: Role
    organisations: list[str] | None
    password: str | None
    totp: str | None
    totp_step: int | None
    provider: str | None


_SHOWN = """
    SELECT account AS id, email, role, coalesce(organisations, '{}') AS organisations,
           password IS NOT NULL AS has_password, totp IS NOT NULL AS has_totp, provider, made_by, made_at, signed_in_at,
           disabled_at
    FROM accounts
"""

_CREDENTIALS = """
    SELECT a.account, a.email, a.role, a.organisations, a.password, a.totp, a.totp_step, a.provider FROM accounts a
"""


def add_account(
    connection: Connection, email: str, role: Role, organisations: Sequence[str], made_by: str
) -> int | None:
    """Make an account, or enable a disabled one anew, as a new one; its number, or None if there is one that is
    enabled."""
    found: int | None = value(
        connection,
        """
        INSERT INTO accounts AS a (email, role, organisations, made_by)
        VALUES (:email, :role, CAST(:organisations AS text[]), :made_by)
        ON CONFLICT (email) DO UPDATE
        SET role = excluded.role, organisations = excluded.organisations, made_by = excluded.made_by, made_at = now(),
            password = NULL, totp = NULL, totp_step = NULL, provider = NULL, subject = NULL,
            disabled_at = NULL, disabled_by = NULL
        WHERE a.disabled_at IS NOT NULL
        RETURNING account
        """,
        email=email,
        role=role,
        organisations=stored_organisations(role, organisations),
        made_by=made_by,
    )
    return found


def accounts_after(connection: Connection, after: int, limit: int) -> list[AccountDetails]:
    """Accounts in the order in which they were made, from behind the one with this number."""
    return rows(
        connection,
        AccountDetails,
        f"{_SHOWN} WHERE account > :after ORDER BY account LIMIT :limit",
        after=after,
        limit=limit,
    )


def account_of(connection: Connection, email: str, *, lock: bool = False) -> Credentials | None:
    """The account with this address, if it is enabled. `lock`: nobody changes it before this transaction ends."""
    enabled = f"{_CREDENTIALS} WHERE email = :email AND disabled_at IS NULL{' FOR UPDATE' if lock else ''}"
    return one(connection, Credentials, enabled, email=email)


def disable_account(connection: Connection, account: int, by: str) -> None:
    """Let nobody in by this account any more; its sessions and links are gone."""
    execute(
        connection,
        "UPDATE accounts SET disabled_at = now(), disabled_by = :by, password = NULL WHERE account = :account",
        account=account,
        by=by,
    )
    end_sessions_and_links(connection, account)


def end_sessions_and_links(connection: Connection, account: int) -> None:
    """End the sessions of an account, and void its links."""
    end_sessions(connection, account)
    execute(connection, "DELETE FROM sign_in_links WHERE account = :account", account=account)


def set_password(connection: Connection, account: int, kept: str) -> None:
    """Keep the hash of a password, and end whatever was begun with the one before."""
    renew_password(connection, account, kept)
    end_sessions_and_links(connection, account)


def renew_password(connection: Connection, account: int, kept: str) -> None:
    """Keep the same password as a hash of today's settings."""
    execute(connection, "UPDATE accounts SET password = :kept WHERE account = :account", account=account, kept=kept)


def set_totp(connection: Connection, account: int, kept: str | None) -> None:
    """Ask for a code of this secret besides the password, or for none."""
    execute(
        connection,
        "UPDATE accounts SET totp = :kept, totp_step = NULL WHERE account = :account",
        account=account,
        kept=kept,
    )


def use_totp(connection: Connection, account: int, step: int) -> bool:
    """Use up the codes of a step, and of those before it; whether they were left."""
    return changes_any(
        connection,
        """
        UPDATE accounts SET totp_step = :step
        WHERE account = :account AND (totp_step IS NULL OR totp_step < :step)
        """,
        account=account,
        step=step,
    )


def make_link(connection: Connection, account: int, purpose: LinkPurpose) -> tuple[str, datetime]:
    """The secret of a link, and until when it is good. One to choose a password voids those before it; one that lets
    somebody in does not: each was shown to the person at this machine, who may open any of them."""
    execute(
        connection,
        "DELETE FROM sign_in_links WHERE until < now() OR (account = :account AND purpose = :purpose AND :voids)",
        account=account,
        purpose=purpose,
        voids=purpose == LinkPurpose.PASSWORD,
    )
    secret = new_secret()
    until = value(
        connection,
        """
        INSERT INTO sign_in_links (hash, account, purpose, until)
        VALUES (:hash, :account, :purpose, now() + :good_for) RETURNING until
        """,
        hash=digest(secret),
        account=account,
        purpose=purpose,
        good_for=GOOD_FOR[purpose],
    )
    return secret, until


def behind_link(connection: Connection, secret: str, purpose: LinkPurpose, *, use: bool = False) -> Credentials | None:
    """The account that a link is of, if it is good still; to `use` it up, in the transaction of what it is for."""
    found = one(
        connection,
        Credentials,
        f"""
        {_CREDENTIALS} JOIN sign_in_links l ON l.account = a.account AND a.disabled_at IS NULL
        WHERE l.hash = :hash AND l.purpose = :purpose AND l.until > now()
        """,
        hash=digest(secret),
        purpose=purpose,
    )
    if found is None or not use:
        return found
    ours = changes_any(connection, "DELETE FROM sign_in_links WHERE hash = :hash", hash=digest(secret))
    return found if ours else None
