"""Sessions of people who are signed in, as SQL."""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import Connection

from config.database import changes_any, execute, one, rows
from config.signing import derived
from tasks.accounts.rules import Caller, Door, Role
from tasks.accounts.secret import digest, new_secret

#: Seconds after which the last use of a session is written again.
SEEN_SECONDS = 60

#: Days after which somebody signs in again, however busy the session. Whoever signs in through a provider does so after
#: the time that a session may be idle: it says then which groups they are in.
LONGEST_DAYS = 30

#: Whether a session holds.
_HOLDS = """
    disabled_at IS NULL AND used_at > now() - make_interval(secs => :idle)
    AND began_at > now() - CASE WHEN provider IS NULL THEN make_interval(days => :days)
                                ELSE make_interval(secs => :idle) END
"""

FORMS = b"rollcall forms"

#: Letters of a session's name: of its hash, which lets nobody in, so many that no two of an account have the same.
_ID_LETTERS = 16

#: The name, as SQL.
_ID = f"left(encode(hash, 'hex'), {_ID_LETTERS})"


@dataclass(frozen=True, slots=True)
class SessionDetails:
    """A session, as it is shown. `address`: where it was begun."""

    email: str
    address: str | None
    began_at: datetime
    used_at: datetime


@dataclass(frozen=True, slots=True)
class OwnSession:
    """A session, as whoever it is of sees it. `id` tells it from their others, and lets nobody in; `browser`: its
    family alone, null where that is not known."""

    id: str
    address: str | None
    browser: str | None
    began_at: datetime
    used_at: datetime


@dataclass(frozen=True, slots=True)
class _SignedIn:
    email: str
    role: str
    organisations: list[str] | None
    unseen: bool


def begin_session(
    connection: Connection, account: int, address: str | None, *, before: str | None = None, browser: str | None = None
) -> str:
    """Begin a session; its secret, for a cookie. `before`: the cookie there was, whose session ends: nobody comes to
    know the new one by having planted the old one. `browser`: the family of the browser."""
    end_session(connection, before or "")
    secret = new_secret()
    execute(
        connection,
        "INSERT INTO sessions (hash, account, address, browser) VALUES (:hash, :account, :address, :browser)",
        hash=digest(secret),
        account=account,
        address=address,
        browser=browser,
    )
    execute(connection, "UPDATE accounts SET signed_in_at = now() WHERE account = :account", account=account)
    return secret


def end_session(connection: Connection, secret: str) -> bool:
    """End the session of this cookie; whether there was one."""
    return changes_any(connection, "DELETE FROM sessions WHERE hash = :hash", hash=digest(secret))


def end_sessions(connection: Connection, account: int) -> int:
    """End all sessions of an account; how many there were."""
    return execute(connection, "DELETE FROM sessions WHERE account = :account", account=account)


def session_id(secret: str) -> str:
    """What the session of this cookie is called among those of its account."""
    return digest(secret).hex()[:_ID_LETTERS]


def own_sessions(
    connection: Connection, account: int, after: tuple[datetime, str] | None, limit: int, *, idle_seconds: float
) -> list[OwnSession]:
    """The sessions of an account that hold, those used last first, from behind this one."""
    used_at, id_ = after or (datetime(9999, 1, 1, tzinfo=UTC), "")
    return rows(
        connection,
        OwnSession,
        f"""
        SELECT {_ID} AS id, address, browser, began_at, used_at
        FROM sessions JOIN accounts USING (account)
        WHERE account = :account AND {_HOLDS}
          AND (used_at, {_ID}) < (:used_at, :id)
        ORDER BY used_at DESC, 1 DESC LIMIT :limit
        """,
        account=account,
        used_at=used_at,
        id=id_,
        idle=idle_seconds,
        days=LONGEST_DAYS,
        limit=limit,
    )


def end_own_session(connection: Connection, account: int, id_: str) -> bool:
    """End one session of an account; whether there was one."""
    return changes_any(
        connection,
        f"DELETE FROM sessions WHERE account = :account AND {_ID} = :id",
        account=account,
        id=id_,
    )


def end_other_sessions(connection: Connection, account: int, keep: str) -> int:
    """End the sessions of an account but for one; how many there were."""
    return execute(
        connection,
        f"DELETE FROM sessions WHERE account = :account AND {_ID} <> :keep",
        account=account,
        keep=keep,
    )


def caller_of_session(
    connection: Connection,
    secret: str,
    address: str | None,
    *,
    idle_seconds: float,
    used: bool = True,
) -> Caller | None:
    """Who shows this cookie, from this address; None if the session was ended, or not used for so long. That it is used
    is written once a minute, unless this is no use."""
    found = one(
        connection,
        _SignedIn,
        f"""
        SELECT email, role, organisations, used_at < now() - make_interval(secs => :seen) AS unseen
        FROM sessions JOIN accounts USING (account) WHERE hash = :hash AND {_HOLDS}
        """,
        hash=digest(secret),
        seen=SEEN_SECONDS,
        idle=idle_seconds,
        days=LONGEST_DAYS,
    )
    if found is None:
        return None
    if used and found.unseen:
        execute(connection, "UPDATE sessions SET used_at = now() WHERE hash = :hash", hash=digest(secret))
    organisations = None if found.organisations is None else frozenset(found.organisations)
    return Caller(found.email, Door.CONSOLE, Role(found.role), organisations, address)


def sessions_after(
    connection: Connection, after: tuple[datetime, str] | None, limit: int, *, idle_seconds: float
) -> list[SessionDetails]:
    """The sessions that hold, in the order in which they began, from behind this one."""
    began_at, email = after or (datetime(1970, 1, 1, tzinfo=UTC), "")
    return rows(
        connection,
        SessionDetails,
        f"""
        SELECT email, address, began_at, used_at FROM sessions JOIN accounts USING (account)
        WHERE (began_at, email) > (:began_at, :email) AND {_HOLDS}
        ORDER BY began_at, email LIMIT :limit
        """,
        began_at=began_at,
        email=email,
        idle=idle_seconds,
        days=LONGEST_DAYS,
        limit=limit,
    )


def forget_sessions(connection: Connection, *, idle_seconds: float) -> None:
    """Delete the sessions that hold no more."""
    execute(
        connection,
        """
        DELETE FROM sessions WHERE used_at < now() - make_interval(secs => :idle)
           OR began_at < now() - make_interval(days => :days)
        """,
        idle=idle_seconds,
        days=LONGEST_DAYS,
    )


def form_key(secret_key: str, cookie: str) -> str:
    """What a form carries that belongs to this cookie: another site can send the cookie, and does not know this."""
    return hmac.new(derived(secret_key, FORMS), digest(cookie), sha256).hexdigest()


def is_form_key(secret_keys: list[str], cookie: str, said: str) -> bool:
    """Whether this is what a form of ours carries; made with any of the keys."""
    expected = [form_key(key, cookie) for key in secret_keys]
    return any(hmac.compare_digest(one.encode(), said.encode(errors="replace")) for one in expected)
