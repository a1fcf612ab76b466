"""Deliveries of which nobody knows whether they went, settled by a person who found out; as SQL."""

from collections.abc import Sequence

from sqlalchemy import Connection

from config.database import value
from tasks.mail.ledger.restored import Settled


def settle_uncertain(
    connection: Connection, organisation: int, mailing: int, learners: Sequence[str] | None, *, sent: bool
) -> int:
    """Write that the uncertain deliveries of these learners, or all, were sent, or were not; how many (R19).

    What was known of each before is kept as an attempt.
    """
    return int(
        value(
            connection,
            """
            WITH uncertain AS MATERIALIZED (
                SELECT d.recipient, d.settled_at, d.code, d.reason, d.reply, d.address
                FROM deliveries d JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
                WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing)
                  AND d.state = 'uncertain'
                  AND (CAST(:learners AS text[]) IS NULL OR l.id = ANY(CAST(:learners AS text[])))
                FOR UPDATE OF d
            ), kept AS (
                INSERT INTO attempts (organisation, mailing, recipient, attempted_at, code, reason, reply, address)
                SELECT :organisation, :mailing, recipient, settled_at, code, reason, reply, address FROM uncertain
                ON CONFLICT DO NOTHING
            ), settled AS (
                UPDATE deliveries d SET
                    state = CASE WHEN :sent THEN CAST('accepted' AS delivery_state) ELSE 'failed' END,
                    reason = :reason, settled_at = now(), code = NULL, reply = NULL
                FROM uncertain u
                WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing)
                  AND d.recipient = u.recipient
                RETURNING d.recipient
            )
            SELECT count(*) FROM settled
            """,
            organisation=organisation,
            mailing=mailing,
            learners=None if learners is None else list(learners),
            sent=sent,
            reason=Settled.BY_HAND.value,
        )
    )
