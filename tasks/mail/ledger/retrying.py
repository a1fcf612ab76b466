"""Notices that have failed, tried again: nobody asks for them, so nobody else would."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import rows
from tasks.mail.rules import Delivery, Kind
from tasks.work import ADD

#: What may be retried: an announcement has an admin, who retries it.
NOTICES = tuple(kind for kind in Kind if kind is not Kind.ANNOUNCEMENT)


@dataclass(frozen=True, slots=True)
class RetriedNotices:
    """How many recipients of notices of a kind are pending again, in how many mailings."""

    kind: str
    mailings: int
    pending: int


def retry_notices(
    connection: Connection,
    organisation: int,
    kinds: Sequence[Kind],
    since: datetime,
    *,
    size: int,
    uncertain: bool = False,
) -> list[RetriedNotices]:
    """Make those pending again whose notices have failed since a time, or are `uncertain`, if that is asked for, and
    whom the gate would let through now; what became of them before is kept as an attempt (R18). About `size` go in one
    piece of work."""
    return rows(
        connection,
        RetriedNotices,
        f"""
        WITH failed AS MATERIALIZED (
            SELECT d.mailing, d.recipient, d.settled_at, d.code, d.reason, d.reply, d.address
            FROM mailings m
            JOIN deliveries d USING (organisation, mailing)
            LEFT JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
            WHERE m.organisation = :organisation AND d.organisation = :organisation
              AND d.state = ANY(CAST(CAST(:states AS text[]) AS delivery_state[]))
              AND d.settled_at >= :since AND m.kind = ANY(CAST(:kinds AS text[]))
              AND m.state IN ('finished', 'finished with failures')
              AND mail_verdict(
                  m.kind, 'sending', CASE WHEN is_admin(d.recipient) THEN 'active' ELSE l.standing END,
                  CASE WHEN is_admin(d.recipient) THEN d.address ELSE l.email END, false,
                  EXISTS (SELECT FROM suppressions s WHERE s.organisation = d.organisation
                          AND s.address = mail_key(CASE WHEN is_admin(d.recipient) THEN d.address ELSE l.email END))
              ) = 'send'
        ), kept AS (
            INSERT INTO attempts (organisation, mailing, recipient, attempted_at, code, reason, reply, address)
            SELECT :organisation, mailing, recipient, settled_at, code, reason, reply, address FROM failed
            ON CONFLICT DO NOTHING
        ), again AS (
            UPDATE deliveries d SET state = 'pending', attempts = 0, settled_at = NULL, due_at = NULL, code = NULL,
                reason = NULL, reply = NULL, address = CASE WHEN is_admin(d.recipient) THEN d.address END
            FROM failed
            WHERE d.organisation = :organisation AND d.mailing = failed.mailing AND d.recipient = failed.recipient
            RETURNING d.mailing, d.recipient
        ), sending AS (
            UPDATE mailings m SET state = 'sending', finished_at = NULL
            WHERE m.organisation = :organisation AND m.mailing IN (SELECT mailing FROM again)
        ), working AS (
            {ADD}
            SELECT :organisation, 'mail', 'mail.deliver', mailing, min(recipient), max(recipient) FROM (
                SELECT mailing, recipient, (row_number() OVER (PARTITION BY mailing ORDER BY recipient) - 1)
                    / CAST(:size AS int) AS place
                FROM again) placed
            GROUP BY mailing, place
        )
        SELECT m.kind, count(DISTINCT m.mailing) AS mailings, count(*) AS pending
        FROM again a JOIN mailings m ON m.organisation = :organisation AND m.mailing = a.mailing
        GROUP BY m.kind ORDER BY m.kind
        """,
        organisation=organisation,
        kinds=[kind.value for kind in kinds],
        since=since,
        states=[Delivery.FAILED.value, *([Delivery.UNCERTAIN.value] if uncertain else [])],
        size=size,
    )
