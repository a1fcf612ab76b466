"""Webhooks and what was answered to them, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from config.database import execute, one, rows, value
from tasks.events import emit
from tasks.events.outbox import BATCH_BYTES, Outgoing
from tasks.webhooks.rules import Answer, Because, Failing, State

#: The number of no organisation: a webhook of the platform's own has it, and is sent everybody's events.
PLATFORM = 0

#: Attempts kept of each webhook, of those that delivered and of those that failed; and for how long.
KEPT_ATTEMPTS = 500
KEPT_FOR = timedelta(days=30)


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
class Claimed:
    """A webhook that this worker alone serves, for as long as the fence is the same."""

    organisation: int
    id: str
    url: str
    types: list[str] | None
    keys: list[str]
    position: int
    fence: int
    failures: int
    failing_since: datetime | None


@dataclass(frozen=True, slots=True)
class Tried:
    """An event that was sent, when, and what was answered."""

    event: Outgoing
    at: datetime
    answer: Answer


@dataclass(frozen=True, slots=True)
class Health:
    """How the webhooks of everybody stand; `lag_seconds`: the age of the oldest event that an enabled one waits for."""

    enabled: int
    failing: int
    disabled: int
    lag_seconds: float | None


@dataclass(frozen=True, slots=True)
class _Counted:
    delivered: int
    failed: int


#: The keys that are used now, the newer one first.
_KEYS = "array_remove(ARRAY[key, CASE WHEN old_key_until > now() THEN old_key END], NULL)"

#: Whether an event `o` is for a webhook `w`.
_MATCHES = "(w.organisation = 0 OR o.organisation = w.organisation) AND (w.types IS NULL OR o.type = ANY(w.types))"

_WEBHOOK = f"""
    SELECT id, url, types, state, reason, since, failing_since, failures, due_at, delivered, failed, delivered_at, (
               SELECT o.time FROM outbox o WHERE o.position > w.position AND {_MATCHES} ORDER BY o.position LIMIT 1
           ) AS waits_since, position, CASE WHEN old_key_until > now() THEN old_key_until END AS old_key_until
    FROM webhooks w WHERE w.organisation = :organisation
"""


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
        mine = "true" if organisation == PLATFORM else "organisation = :organisation"
        before = value(
            connection,
            f"SELECT min(position) - 1 FROM outbox WHERE position IS NOT NULL AND time >= :since AND {mine}",
            organisation=organisation,
            since=since,
        )
        position = position if before is None else int(before)
    return bool(
        execute(
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
    )


def _position_now(connection: Connection, organisation: int) -> int:
    """The place of the last event that has one; of an organisation's webhook, of its own."""
    mine = "true" if organisation == PLATFORM else "organisation = :organisation"
    last = value(connection, f"SELECT max(position) FROM outbox WHERE {mine}", organisation=organisation)
    return int(last or 0)


def webhooks(connection: Connection, organisation: int) -> list[Webhook]:
    """The webhooks of an organisation, or of the platform."""
    return rows(connection, Webhook, f"{_WEBHOOK} ORDER BY id", organisation=organisation)


def find(connection: Connection, organisation: int, id_: str) -> Webhook | None:
    """One of them."""
    return one(connection, Webhook, f"{_WEBHOOK} AND id = :id", organisation=organisation, id=id_)


def keyring(connection: Connection, organisation: int, id_: str) -> Keyring | None:
    """Where a webhook leads, and the keys it is signed with."""
    return one(
        connection,
        Keyring,
        f"SELECT url, {_KEYS} AS keys FROM webhooks WHERE organisation = :organisation AND id = :id",
        organisation=organisation,
        id=id_,
    )


def remove(connection: Connection, organisation: int, id_: str) -> bool:
    """Forget a webhook and its log; whether there was one."""
    return bool(
        execute(
            connection,
            "DELETE FROM webhooks WHERE organisation = :organisation AND id = :id",
            organisation=organisation,
            id=id_,
        )
    )


def enable(connection: Connection, organisation: int, id_: str, *, skip: bool) -> bool:
    """Send to a webhook again, at once; what was not sent meanwhile first, or never. Whether there is one."""
    return bool(
        execute(
            connection,
            """
            UPDATE webhooks SET since = CASE WHEN state = 'enabled' THEN since ELSE now() END, state = 'enabled',
                reason = NULL, failures = 0, failing_since = NULL, due_at = now(), fence = fence + 1,
                position = greatest(position, :position)
            WHERE organisation = :organisation AND id = :id
            """,
            organisation=organisation,
            id=id_,
            position=_position_now(connection, organisation) if skip else 0,
        )
    )


def disable(connection: Connection, organisation: int, id_: str) -> bool:
    """Send to a webhook no more, because a person says so; whether there is one. Whoever serves it has lost it."""
    return bool(
        execute(
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
    )


def rotate(connection: Connection, organisation: int, id_: str, key: str, keep_old: timedelta | None) -> None:
    """Sign with a new key; with the one before beside it, for so long."""
    execute(
        connection,
        """
        UPDATE webhooks SET key = :key, old_key = CASE WHEN CAST(:keep AS interval) IS NOT NULL THEN key END,
            old_key_until = now() + CAST(:keep AS interval)
        WHERE organisation = :organisation AND id = :id
        """,
        organisation=organisation,
        id=id_,
        key=key,
        keep=keep_old,
    )


def log(connection: Connection, organisation: int, id_: str, *, failures: bool, limit: int) -> list[Attempt]:
    """The last attempts, the newest first: all that are kept, or those that failed."""
    return rows(
        connection,
        Attempt,
        """
        SELECT at, event, type, position, delivered, status, problem, said, milliseconds FROM webhook_attempts
        WHERE organisation = :organisation AND webhook = :id AND NOT (delivered AND :failures)
        ORDER BY at DESC, number DESC LIMIT :limit
        """,
        organisation=organisation,
        id=id_,
        failures=failures,
        limit=limit,
    )


def pass_over(connection: Connection) -> None:
    """Move on the webhooks nobody serves, past events that are not for them: each event is looked at once for each."""
    execute(
        connection,
        f"""
        WITH behind AS (
            SELECT w.organisation, w.id, p.ordered FROM webhooks w, publication p
            WHERE w.state = 'enabled' AND w.due_at <= now() AND w.position < p.ordered AND NOT EXISTS (
                SELECT FROM outbox o WHERE o.position > w.position AND {_MATCHES})
            FOR UPDATE OF w SKIP LOCKED
        )
        UPDATE webhooks w SET position = ordered FROM behind b WHERE w.organisation = b.organisation AND w.id = b.id
        """,
    )


def claim(connection: Connection, limit: int, lease: timedelta) -> list[Claimed]:
    """Be the only one to serve these webhooks, which are due and have something to be sent, for a lease."""
    return rows(
        connection,
        Claimed,
        f"""
        WITH due AS (
            SELECT organisation, id FROM webhooks w, publication p
            WHERE state = 'enabled' AND due_at <= now() AND position < ordered
            ORDER BY due_at LIMIT :limit FOR UPDATE OF w SKIP LOCKED
        )
        UPDATE webhooks w SET fence = fence + 1, due_at = now() + :lease FROM due d
        WHERE w.organisation = d.organisation AND w.id = d.id
        RETURNING w.organisation, w.id, url, types, {_KEYS} AS keys, position, fence, failures, failing_since
        """,
        limit=limit,
        lease=lease,
    )


def next_events(connection: Connection, webhook: Claimed, position: int, limit: int) -> list[Outgoing]:
    """The next events for a webhook after a position, in order; of at most about `BATCH_BYTES`, but at least one."""
    mine = "true" if webhook.organisation == PLATFORM else "organisation = :organisation"
    return rows(
        connection,
        Outgoing,
        f"""
        WITH next AS (
            SELECT organisation, position, id, type, time, data,
                   sum(pg_column_size(data)) OVER (ORDER BY position) - pg_column_size(data) AS bytes_before
            FROM outbox
            WHERE position > :position AND {mine} AND (CAST(:types AS text[]) IS NULL OR type = ANY(:types))
            ORDER BY position LIMIT :limit
        )
        SELECT position, next.id, type, time, coalesce(o.id, data ->> '_organisation') AS organisation,
               CASE WHEN type IN ('rollcall.event.quarantined', 'rollcall.webhook.disabled')
                    THEN CAST(CAST(data AS jsonb) - '_organisation' AS text) ELSE CAST(data AS text) END AS data
        FROM next LEFT JOIN organisations o USING (organisation)
        WHERE bytes_before < :most ORDER BY position
        """,
        organisation=webhook.organisation,
        types=webhook.types,
        position=position,
        limit=limit,
        most=BATCH_BYTES,
    )


def record(
    connection: Connection, webhook: Claimed, position: int, tried: Sequence[Tried], failing: Failing, due: timedelta
) -> bool:
    """Write down how far a webhook has come, what was answered, and when somebody may serve it next; false where it is
    not ours any more, and then nothing is written."""
    delivered = sum(one_.answer.problem is None for one_ in tried)
    counted = one(
        connection,
        _Counted,
        """
        UPDATE webhooks SET position = :position, due_at = now() + :due, failures = :failures,
            failing_since = :failing_since, delivered = delivered + :delivered, failed = failed + :failed,
            delivered_at = CASE WHEN :delivered > 0 THEN now() ELSE delivered_at END
        WHERE organisation = :organisation AND id = :id AND fence = :fence AND state = 'enabled'
        RETURNING delivered, failed
        """,
        organisation=webhook.organisation,
        id=webhook.id,
        fence=webhook.fence,
        position=position,
        due=due,
        failures=failing.failures,
        failing_since=failing.since,
        delivered=delivered,
        failed=len(tried) - delivered,
    )
    if counted is None:
        return False
    _keep(connection, webhook, tried, counted)
    return True


def _keep(connection: Connection, webhook: Claimed, tried: Sequence[Tried], counted: _Counted) -> None:
    """Keep the last attempts; those that delivered and those that failed are numbered apart, each up to its count."""
    if not tried:
        return
    execute(
        connection,
        """
        INSERT INTO webhook_attempts (organisation, webhook, delivered, number, event, type, position, at, status,
                                      problem, milliseconds, said)
        SELECT :organisation, :id, problem IS NULL,
               CASE WHEN problem IS NULL THEN :delivered ELSE :failed END + 1
               - row_number() OVER (PARTITION BY problem IS NULL ORDER BY n DESC),
               event, type, position, at, status, problem, milliseconds, said
        FROM unnest(CAST(:events AS uuid[]), CAST(:types AS text[]), CAST(:positions AS bigint[]),
                    CAST(:times AS timestamptz[]), CAST(:statuses AS smallint[]), CAST(:problems AS text[]),
                    CAST(:milliseconds AS int[]), CAST(:said AS text[])) WITH ORDINALITY
             AS new (event, type, position, at, status, problem, milliseconds, said, n)
        """,
        organisation=webhook.organisation,
        id=webhook.id,
        delivered=counted.delivered,
        failed=counted.failed,
        events=[one_.event.id for one_ in tried],
        types=[one_.event.type for one_ in tried],
        positions=[one_.event.position for one_ in tried],
        times=[one_.at for one_ in tried],
        statuses=[one_.answer.status for one_ in tried],
        problems=[None if one_.answer.problem is None else one_.answer.problem.value for one_ in tried],
        milliseconds=[one_.answer.milliseconds for one_ in tried],
        said=[one_.answer.said for one_ in tried],
    )
    execute(
        connection,
        """
        DELETE FROM webhook_attempts
        WHERE organisation = :organisation AND webhook = :id AND (at < now() - :kept_for
              OR number <= CASE WHEN delivered THEN :delivered ELSE :failed END - :kept)
        """,
        organisation=webhook.organisation,
        id=webhook.id,
        delivered=counted.delivered,
        failed=counted.failed,
        kept=KEPT_ATTEMPTS,
        kept_for=KEPT_FOR,
    )


def give_up(connection: Connection, webhook: Claimed, why: Because, failing: Failing, answer: Answer) -> None:
    """Disable a webhook that is ours, and say so."""
    execute(
        connection,
        """
        UPDATE webhooks SET state = 'disabled', reason = :reason, since = now(), fence = fence + 1
        WHERE organisation = :organisation AND id = :id AND fence = :fence
        """,
        organisation=webhook.organisation,
        id=webhook.id,
        fence=webhook.fence,
        reason=why.value,
    )
    whose = {"_organisation": ""} if webhook.organisation == PLATFORM else {}
    emit(
        connection,
        webhook.organisation,
        "rollcall.webhook.disabled",
        [
            {
                "webhook": webhook.id,
                "reason": why.value,
                "failing_since": failing.since,
                "failures": failing.failures,
                "problem": answer.problem,
                "status": answer.status,
                **whose,
            }
        ],
    )


def health(connection: Connection) -> Health:
    """How the webhooks of everybody stand."""
    found = one(
        connection,
        Health,
        f"""
        SELECT count(*) FILTER (WHERE state = 'enabled') AS enabled,
               count(*) FILTER (WHERE state = 'enabled' AND failures > 0) AS failing,
               count(*) FILTER (WHERE state = 'disabled') AS disabled,
               CAST(extract(epoch FROM now() - min(CASE WHEN state = 'enabled' THEN (
                   SELECT o.time FROM outbox o WHERE o.position > w.position AND {_MATCHES}
                   ORDER BY o.position LIMIT 1) END)) AS float) AS lag_seconds
        FROM webhooks w
        """,
    )
    assert found is not None  # noqa: S101 - counting gives one row
    return found
