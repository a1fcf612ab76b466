"""Tokens of programs, as SQL."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config import clock
from config.database import changes_any, column, execute, one, rows, value
from config.sql import query
from tasks.accounts.rules import Caller, Door, Role, stored_organisations
from tasks.accounts.secret import digest, is_token


@dataclass(frozen=True, slots=True)
class TokenDetails:
    """A token, as it is shown: nothing of its secret. `organisations`: none if it is an operator's, and so of all."""

    id: int
    name: str
    role: Role
    organisations: list[str]
    made_by: str
    made_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """What a token says of who shows it."""

    name: str
    role: str
    organisations: list[str] | None

    def as_caller(self, address: str | None = None) -> Caller:
        """Who shows it, from this address."""
        organisations = None if self.organisations is None else frozenset(self.organisations)
        return Caller(self.name, Door.API, Role(self.role), organisations, address)


def add_token(
    connection: Connection,
    name: str,
    secret: str,
    role: Role,
    organisations: Sequence[str],
    *,
    expires_at: datetime | None,
    made_by: str,
) -> bool:
    """Keep a new token, by its hash; False if another that was not revoked has the name."""
    added = value(
        connection,
        """
        INSERT INTO tokens (name, hash, role, organisations, expires_at, made_by)
        VALUES (:name, :hash, :role, CAST(:organisations AS text[]), :expires_at, :made_by)
        ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
        RETURNING token
        """,
        name=name,
        hash=digest(secret),
        role=role,
        organisations=stored_organisations(role, organisations),
        expires_at=expires_at,
        made_by=made_by,
    )
    return added is not None


def tokens_after(connection: Connection, after: int, limit: int) -> list[TokenDetails]:
    """Tokens in the order in which they were made, from behind the one with this number."""
    return rows(
        connection,
        TokenDetails,
        """
        SELECT token AS id, name, role, coalesce(organisations, '{}') AS organisations, made_by, made_at, expires_at,
               used_at, revoked_at
        FROM tokens WHERE token > :after ORDER BY token LIMIT :limit
        """,
        after=after,
        limit=limit,
    )


def revoke_token(connection: Connection, name: str, by: str) -> bool:
    """Make a token void for good; False if there is none with this name that is not."""
    return changes_any(
        connection,
        "UPDATE tokens SET revoked_at = now(), revoked_by = :by WHERE name = :name AND revoked_at IS NULL",
        name=name,
        by=by,
    )


def revoke_tokens_of(connection: Connection, made_by: str, by: str) -> list[str]:
    """Make the tokens void that somebody has made; their names."""
    return column(
        connection,
        "UPDATE tokens SET revoked_at = now(), revoked_by = :by WHERE made_by = :made_by AND revoked_at IS NULL"
        " RETURNING name",
        made_by=made_by,
        by=by,
    )


def caller_of_token(connection: Connection, text: str, address: str | None) -> Caller | None:
    """Who shows this token, from this address; None if it is unknown, revoked or expired. One look-up by an index, and
    none for what cannot be a token."""
    if not is_token(text):
        return None
    found = one(connection, TokenHolder, query("accounts.holder"), hash=digest(text))
    return None if found is None else found.as_caller(address)


class TokenUses:
    """The last use of each token, kept in memory and written once a minute: no request waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[bytes, datetime] = {}

    def note(self, text: str) -> None:
        """This token was shown, and is valid."""
        with self._lock:
            self._used[digest(text)] = clock.now()

    def write(self, connection: Connection) -> int:
        """Write what was noted since the last time; how many tokens that were."""
        with self._lock:
            used, self._used = self._used, {}
        if not used:
            return 0
        return execute(
            connection,
            """
            UPDATE tokens t SET used_at = greatest(t.used_at, used.at)
            FROM unnest(CAST(:hashes AS bytea[]), CAST(:moments AS timestamptz[])) AS used (hash, at)
            WHERE t.hash = used.hash
            """,
            hashes=list(used),
            moments=list(used.values()),
        )
