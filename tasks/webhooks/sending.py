"""What is sent to webhooks, by whom, and what was answered, as SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from config.counting import counts
from config.database import after_commit, changes_any, execute, one, rows, the_one
from config.sql import query
from tasks.events import BATCH_BYTES, Outgoing, emit
from tasks.webhooks.rules import Answer, Because, WebhookFailures
from tasks.webhooks.store import PLATFORM

#: Attempts kept of each webhook, of those that delivered and of those that failed; and for how long.
KEPT_ATTEMPTS = 500
KEPT_FOR = timedelta(days=30)


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
    lost: int


@dataclass(frozen=True, slots=True)
class Due:
    """When there is something to do: seconds until a webhook becomes due; `suspects`: some are, of which whoever served
    them never came back."""

    seconds: float
    suspects: bool


@dataclass(frozen=True, slots=True)
class Tried:
    """An event that was sent, when, and what was answered."""

    event: Outgoing
    at: datetime
    answer: Answer


@dataclass(frozen=True, slots=True)
class _Counted:
    delivered: int
    failed: int


def pass_over(connection: Connection) -> None:
    """Move on the webhooks nobody serves, past events that are not for them: each event is looked at once for each."""
    execute(
        connection,
        """
        WITH behind AS (
            SELECT w.organisation, w.id, p.ordered FROM webhooks w, publication p
            WHERE w.state = 'enabled' AND w.due_at <= now() AND w.position < p.ordered AND NOT EXISTS (
                SELECT FROM outbox o WHERE o.position > w.position AND is_for(o, w))
            FOR UPDATE OF w SKIP LOCKED
        )
        UPDATE webhooks w SET position = ordered FROM behind b WHERE w.organisation = b.organisation AND w.id = b.id
        """,
    )


def claim(
    connection: Connection,
    limit: int,
    lease: timedelta,
    *,
    most_of_one: int,
    served: Mapping[int, int],
    suspects: bool = False,
) -> list[Claimed]:
    """Be the only one to serve these webhooks, which are due and have something to be sent, for a lease; of an
    organisation, no more than `most_of_one` with those of its that are `served` already (R31). Either `suspects`, of
    which whoever served them last never came back, or none of them."""
    return rows(
        connection,
        Claimed,
        query("webhooks.claim"),
        limit=limit,
        lease=lease,
        most_of_one=most_of_one,
        organisations=list(served),
        counts=list(served.values()),
        suspects=suspects,
    )


def next_due(connection: Connection) -> Due:
    """When there is something to be sent; in infinite time, where there is nothing."""
    return the_one(
        connection,
        Due,
        """
        SELECT coalesce(
                   CAST(extract(epoch FROM min(due_at) FILTER (WHERE due_at > now()) - now()) AS float), 'infinity'
               ) AS seconds,
               coalesce(bool_or(due_at <= now() AND lost > 0), false) AS suspects
        FROM webhooks, publication WHERE state = 'enabled' AND position < ordered AND due_at < 'infinity'
        """,
    )


def next_events(connection: Connection, webhook: Claimed, position: int, limit: int) -> list[Outgoing]:
    """The next events for a webhook after a position, in order; of at most about `BATCH_BYTES`, but at least one."""
    return rows(
        connection,
        Outgoing,
        query("webhooks.next_events"),
        organisation=webhook.organisation,
        types=webhook.types,
        position=position,
        limit=limit,
        most=BATCH_BYTES,
    )


def record(
    connection: Connection,
    webhook: Claimed,
    position: int,
    tried: Sequence[Tried],
    failing: WebhookFailures,
    due: timedelta,
    *,
    ended: bool,
) -> bool:
    """Write down how far a webhook has come, what was answered, and when somebody may serve it next; false where it is
    not ours any more, and then nothing is written. `ended`: we serve it no more."""
    delivered = sum(one_.answer.problem is None for one_ in tried)
    counted = one(
        connection,
        _Counted,
        """
        UPDATE webhooks SET position = :position, due_at = now() + :due, failures = :failures,
            failing_since = :failing_since, lost = CASE WHEN :ended THEN 0 ELSE 1 END,
            delivered = delivered + :delivered, failed = failed + :failed,
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
        ended=ended,
        delivered=delivered,
        failed=len(tried) - delivered,
    )
    if counted is None:
        return False
    _keep(connection, webhook, tried, counted)
    for outcome, n in (("delivered", delivered), ("failed", len(tried) - delivered)):
        after_commit(connection, partial(counts.count, "rollcall_webhook_attempts_total", n, outcome=outcome))
    return True


def _keep(connection: Connection, webhook: Claimed, tried: Sequence[Tried], counted: _Counted) -> None:
    """Keep the last attempts; those that delivered and those that failed are numbered apart, each up to its count."""
    if not tried:
        return
    execute(
        connection,
        query("webhooks.keep_attempts"),
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
        WHERE organisation = :organisation AND webhook = :id AND (at < now() - CAST(:kept_for AS interval)
              OR number <= CASE WHEN delivered THEN CAST(:delivered AS bigint) ELSE :failed END - :kept)
        """,
        organisation=webhook.organisation,
        id=webhook.id,
        delivered=counted.delivered,
        failed=counted.failed,
        kept=KEPT_ATTEMPTS,
        kept_for=KEPT_FOR,
    )


def came_back(connection: Connection, webhook: Claimed) -> None:
    """Serving a webhook that is ours did not end whoever served it, whatever went wrong."""
    execute(
        connection,
        "UPDATE webhooks SET lost = 0 WHERE organisation = :organisation AND id = :id AND fence = :fence",
        organisation=webhook.organisation,
        id=webhook.id,
        fence=webhook.fence,
    )


def give_up(connection: Connection, webhook: Claimed, why: Because, failing: WebhookFailures, answer: Answer) -> bool:
    """Disable a webhook, and say so; false where it is not ours any more, and then nothing is said."""
    disabled = changes_any(
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
    if not disabled:
        return False
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
    return True
