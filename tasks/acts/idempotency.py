"""Requests that say which they are (`Idempotency-Key`): the same again is answered with the first answer, and not done.

What is kept tells nobody anything: keys are hashed, and answers, which may hold a secret that is shown once, are
encrypted with what only the caller and `SECRET_KEY` know together.
"""

import hashlib
import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine

from config.database import execute, one, transaction, value
from config.errors import Conflict, Invalid
from config.pooler import session_engine
from tasks.accounts import Caller

#: For how long a repeat gets the first answer.
KEPT = timedelta(days=1)

#: Rows deleted at once.
MOST = 10_000

#: Octets of a nonce of AES-GCM.
NONCE = 12


class UnderWayElsewhere(Conflict):
    """The same request is being done at this moment."""


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What was answered the first time."""

    status: int
    answer: bytes


@dataclass(slots=True)
class RepeatableRequest:
    """A request with a key, while it is done: its id, and the answer, if there is one or once there is."""

    request: UUID
    first: FirstAnswer | None


@dataclass(frozen=True, slots=True)
class _StoredRequest:
    asked: bytes
    request: UUID
    status: int | None
    answer: bytes | None


@contextmanager
def once(
    engine: Engine, secrets: list[str], caller: Caller, organisation: str | None, key: str, asked: bytes
) -> Iterator[RepeatableRequest]:
    """Do a request unless it was done before: then `first` is the answer, else the block sets it. Of two at once the
    second raises `UnderWayElsewhere`; another request under the same key raises `Invalid`.

    If the block raises, or the process ends, the same request may be done again, with the same id.
    """
    named = hashlib.sha256("\0".join((caller.door, caller.who, organisation or "", key)).encode()).digest()
    with transaction(engine) as connection:
        execute(
            connection,
            """
            INSERT INTO idempotency_keys AS known (key, asked) VALUES (:key, :asked)
            ON CONFLICT (key) DO UPDATE SET asked = excluded.asked, request = gen_random_uuid(), status = NULL,
                answer = NULL, at = now()
            WHERE known.at < now() - CAST(:kept AS interval)
            """,
            key=named,
            asked=asked,
            kept=KEPT,
        )
    with transaction(session_engine(engine)) as connection:  # what is done meanwhile waits for no second lent session
        lock = int.from_bytes(named[:8], signed=True)
        if not value(connection, "SELECT pg_try_advisory_xact_lock(:lock)", lock=lock):
            raise UnderWayElsewhere("The same request is being done at this moment: ask again.")
        row = one(
            connection,
            _StoredRequest,
            "SELECT asked, request, status, answer FROM idempotency_keys WHERE key = :key",
            key=named,
        )
        if row is None or row.asked != asked:
            raise Invalid("Idempotency-Key belongs to another request: use each key for one.")
        if row.status is not None and row.answer is not None:
            yield RepeatableRequest(row.request, FirstAnswer(row.status, _opened(secrets, key, row.answer)))
            return
        request = RepeatableRequest(row.request, None)
        yield request
        if request.first is not None:
            execute(
                connection,
                "UPDATE idempotency_keys SET status = :status, answer = :answer WHERE key = :key",
                key=named,
                status=request.first.status,
                answer=_sealed(secrets[0], key, request.first.answer),
            )


def _sealed(secret: str, key: str, answer: bytes) -> bytes:
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(_made_of(secret, key)).encrypt(nonce, answer, None)


def _opened(secrets: list[str], key: str, sealed: bytes) -> bytes:
    for secret in secrets:
        try:
            return AESGCM(_made_of(secret, key)).decrypt(sealed[:NONCE], sealed[NONCE:], None)
        except InvalidTag:
            continue
    raise Conflict("It was done, and SECRET_KEY was changed since: the first answer cannot be read any more.")


def _made_of(secret: str, key: str) -> bytes:
    return hmac.digest(secret.encode(), b"first answer\0" + key.encode(), "sha256")


def forget_old(connection: Connection) -> int:
    """Delete what is older than a day, the oldest first, a few thousand at once; how many."""
    old = "SELECT EXISTS (SELECT FROM idempotency_keys WHERE at < now() - CAST(:kept AS interval))"
    if not value(connection, old, kept=KEPT):
        return 0
    return execute(
        connection,
        """
        DELETE FROM idempotency_keys WHERE key IN (
            SELECT key FROM idempotency_keys WHERE at < now() - CAST(:kept AS interval) ORDER BY at LIMIT :most
            FOR UPDATE SKIP LOCKED)
        """,
        kept=KEPT,
        most=MOST,
    )
