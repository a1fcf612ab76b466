"""Webhooks as people see them: which there are, and how they stand, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from config.database import changes_any, execute, integer, one, rows, the_one, value
from config.sql import query
from tasks.webhooks.rules import Because, State

#: The number of no organisation: a webhook of the platform's own has it, and is sent everybody's events.
PLATFORM = 0


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook, as commands show it: nothing of its keys."""

    id: str
    url: str
    types: list[str] | None
    state: State
    reason: Because | None
    since: datetime
    failing_since: datetime | None
    failures: int
    due_at: datetime
    delivered: int
    failed: int
    delivered_at: datetime | None
    waits_since: datetime | None
    position: int
    old_key_until: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, as `rollcall webhooks log` lists it."""

    at: datetime
    event: UUID
    type: str
    position: int
    delivered: bool
    status: int | None
    problem: str | None
    said: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Keyring:
    """What is needed to send something to a webhook; its keys as they are kept."""

    url: str
    keys: list[str]


@dataclass(frozen=True, slots=True)
class Health:
    """How the webhooks of everybody stand; `lag_seconds`: the age of the oldest event that an enabled one waits for."""

    enabled: int
    failing: int
    disabled: int
    lag_seconds: float | None


def add(
    connection: Connection,
    organisation: int,
    id_: str,
    url: str,
    types: Sequence[str] | None,
    key: str,
    since: datetime | None,
) -> bool:
    """Send a webhook what happens from now on, or what was said `since`; false where there is one with this id."""
    position = _position_now(connection, organisation)
    if since is not None:
        before = value(
            connection,
            """
            SELECT min(position) - 1 FROM outbox
            WHERE position IS NOT NULL AND time >= :since AND (:organisation = 0 OR organisation = :organisation)
            """,
            organisation=organisation,
            since=since,
        )
        position = position if before is None else int(before)
    return changes_any(
        connection,
        """
        INSERT INTO webhooks (organisation, id, url, types, key, position)
        VALUES (:organisation, :id, :url, :types, :key, :position) ON CONFLICT DO NOTHING
        """,
        organisation=organisation,
        id=id_,
        url=url,
        types=None if types is None else list(types),
        key=key,
        position=position,
    )


def _position_now(connection: Connection, organisation: int) -> int:
    """The place of the last event that has one; of an organisation's webhook, of its own."""
    return integer(
        connection,
        "SELECT coalesce(max(position), 0) FROM outbox WHERE (:organisation = 0 OR organisation = :organisation)",
        organisation=organisation,
    )


def webhooks(connection: Connection, organisation: int, after: str = "", limit: int | None = None) -> list[Webhook]:
    """The webhooks of an organisation, or of the platform, by their ids: those after one, so many at most."""
    scope = {"organisation": organisation, "id": None, "after": after, "limit": limit}
    return rows(connection, Webhook, query("webhooks.webhooks"), **scope)


def find(connection: Connection, organisation: int, id_: str) -> Webhook | None:
    """One of them."""
    scope = {"organisation": organisation, "id": id_, "after": "", "limit": None}
    return one(connection, Webhook, query("webhooks.webhooks"), **scope)


def keyring(connection: Connection, organisation: int, id_: str) -> Keyring | None:
    """Where a webhook leads, and the keys it is signed with."""
    return one(
        connection,
        Keyring,
        "SELECT url, keys_now(webhooks) AS keys FROM webhooks WHERE organisation = :organisation AND id = :id",
        organisation=organisation,
        id=id_,
    )


def remove(connection: Connection, organisation: int, id_: str) -> bool:
    """Forget a webhook and its log; whether there was one."""
    return changes_any(
        connection,
        "DELETE FROM webhooks WHERE organisation = :organisation AND id = :id",
        organisation=organisation,
        id=id_,
    )


def enable(connection: Connection, organisation: int, id_: str, *, skip: bool) -> bool:
    """Send to a webhook again, at once; what was not sent meanwhile first, or never. Whether there is one."""
    execute(connection, "NOTIFY rollcall_webhooks")
    return changes_any(
        connection,
        """
        UPDATE webhooks SET since = CASE WHEN state = 'enabled' THEN since ELSE now() END, state = 'enabled',
            reason = NULL, failures = 0, failing_since = NULL, lost = 0, due_at = now(), fence = fence + 1,
            position = greatest(position, :position)
        WHERE organisation = :organisation AND id = :id
        """,
        organisation=organisation,
        id=id_,
        position=_position_now(connection, organisation) if skip else 0,
    )


def disable(connection: Connection, organisation: int, id_: str) -> bool:
    """Send to a webhook no more, because a person says so; whether there is one. Whoever serves it has lost it."""
    return changes_any(
        connection,
        """
        UPDATE webhooks SET since = CASE WHEN state = 'disabled' THEN since ELSE now() END, state = 'disabled',
            reason = coalesce(reason, :reason), fence = fence + 1
        WHERE organisation = :organisation AND id = :id
        """,
        organisation=organisation,
        id=id_,
        reason=Because.BY_HAND.value,
    )


def rotate(connection: Connection, organisation: int, id_: str, key: str, keep_old: timedelta | None) -> bool:
    """Sign with a new key; with the one before beside it, for so long. False where there would be three."""
    return changes_any(
        connection,
        """
        UPDATE webhooks SET key = :key, old_key = CASE WHEN CAST(:keep AS interval) IS NOT NULL THEN key END,
            old_key_until = now() + CAST(:keep AS interval)
        WHERE organisation = :organisation AND id = :id
          AND (CAST(:keep AS interval) IS NULL OR coalesce(old_key_until, '-infinity') < now())
        """,
        organisation=organisation,
        id=id_,
        key=key,
        keep=keep_old,
    )


def log(
    connection: Connection,
    organisation: int,
    id_: str,
    *,
    failures: bool,
    limit: int,
    before: tuple[datetime, int] | None = None,
) -> list[Attempt]:
    """The last attempts, the newest first: all that are kept, or those that failed; those before the attempt with this
    time and position."""
    return rows(
        connection,
        Attempt,
        """
        SELECT at, event, type, position, delivered, status, problem, said, milliseconds FROM webhook_attempts
        WHERE organisation = :organisation AND webhook = :id AND NOT (delivered AND :failures)
          AND (CAST(:before AS timestamptz) IS NULL OR (at, position) < (:before, :position))
        ORDER BY at DESC, position DESC, number DESC LIMIT :limit
        """,
        organisation=organisation,
        id=id_,
        failures=failures,
        limit=limit,
        before=before and before[0],
        position=before and before[1],
    )


def health(connection: Connection) -> Health:
    """How the webhooks of everybody stand."""
    return the_one(
        connection,
        Health,
        """
        SELECT count(*) FILTER (WHERE state = 'enabled') AS enabled,
               count(*) FILTER (WHERE state = 'enabled' AND failures > 0) AS failing,
               count(*) FILTER (WHERE state = 'disabled') AS disabled,
               CAST(extract(epoch FROM now() - min(CASE WHEN state = 'enabled' THEN (
                   SELECT o.time FROM outbox o WHERE o.position > w.position AND is_for(o, w)
                   ORDER BY o.position LIMIT 1) END)) AS float) AS lag_seconds
        FROM webhooks w
        """,
    )


def forget_answers(connection: Connection, organisation: int, ids: Sequence[str]) -> None:
    """Remove what those said who got events about these learners, and refused them: it may name them (S15). So may what
    they said of an event that is not kept any more."""
    execute(
        connection,
        """
        UPDATE webhook_attempts a SET said = ''
        WHERE a.organisation IN (0, :organisation) AND a.said <> '' AND (
            NOT EXISTS (SELECT FROM outbox o WHERE o.position = a.position)
            OR EXISTS (
                SELECT FROM outbox o JOIN unnest(CAST(:ids AS text[])) AS gone (id)
                    ON strpos(CAST(o.data AS text), CAST(to_json(gone.id) AS text)) > 0
                WHERE o.organisation = :organisation AND o.position = a.position))
        """,
        organisation=organisation,
        ids=list(ids),
    )
