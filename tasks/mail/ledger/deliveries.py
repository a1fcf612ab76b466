"""The ledger of deliveries, as SQL: what is begun, put off, and settled."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection

from config.database import later, tuples, value
from config.sql import query
from tasks.mail.rules import Delivery, Outcome


def settle(connection: Connection, organisation: int, mailing: int, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes into the ledger; what settled nothing is kept as an attempt of its own (R18). Written twice, it is
    written once."""
    accepted = [o for o in outcomes if o.state is Delivery.ACCEPTED]
    if accepted:
        _accept(connection, organisation, mailing, accepted)
    if len(accepted) == len(outcomes):
        return
    outcomes = [o for o in outcomes if o.state is not Delivery.ACCEPTED]
    later(
        connection,
        query("mail.settle_deliveries"),
        organisation=organisation,
        mailing=mailing,
        low=min(o.recipient for o in outcomes),
        high=max(o.recipient for o in outcomes),
        recipients=[o.recipient for o in outcomes],
        states=[o.state.value for o in outcomes],
        ats=[o.at for o in outcomes],
        reasons=[o.reason for o in outcomes],
        codes=[o.code for o in outcomes],
        replies=[o.reply for o in outcomes],
        trieds=[o.tried for o in outcomes],
        dues=[o.due_at for o in outcomes],
        addresses=[None if o.state is Delivery.PENDING else o.address for o in outcomes],
    )
    unsettled = [o for o in outcomes if o.due_at is not None]
    if unsettled:
        later(
            connection,
            """
            INSERT INTO attempts (organisation, mailing, recipient, attempted_at, code, reason, reply, address)
            SELECT :organisation, :mailing, recipient, at, code, reason, reply, CASE WHEN EXISTS (
                SELECT FROM learners l WHERE l.organisation = :organisation AND l.learner = new.recipient
                  AND l.standing IN ('active', 'inactive')) THEN address END
            FROM unnest(CAST(:recipients AS int[]), CAST(:ats AS timestamptz[]), CAST(:codes AS int[]),
                        CAST(:reasons AS text[]), CAST(:replies AS text[]), CAST(:addresses AS text[]))
                 AS new (recipient, at, code, reason, reply, address)
            ON CONFLICT DO NOTHING
            """,
            organisation=organisation,
            mailing=mailing,
            recipients=[o.recipient for o in unsettled],
            ats=[o.at for o in unsettled],
            codes=[o.code for o in unsettled],
            reasons=[o.reason for o in unsettled],
            replies=[o.reply for o in unsettled],
            addresses=[o.address for o in unsettled],
        )
    refused = [o for o in outcomes if o.suppress and o.address]
    if refused:
        later(
            connection,
            """
            INSERT INTO suppressions (organisation, address, reason)
            SELECT :organisation, mail_key(tried.address), 'refused by its server'
            FROM unnest(CAST(:refused AS int[]), CAST(:addresses AS text[])) AS tried (recipient, address)
            WHERE is_admin(tried.recipient) OR EXISTS (
                SELECT FROM learners l WHERE l.organisation = :organisation AND l.learner = tried.recipient
                  AND l.standing IN ('active', 'inactive'))
            ON CONFLICT DO NOTHING
            """,
            organisation=organisation,
            refused=[o.recipient for o in refused],
            addresses=[o.address for o in refused],
        )


def _accept(connection: Connection, organisation: int, mailing: int, outcomes: Sequence[Outcome]) -> None:
    """Write what the server took: what becomes of nearly every mail, in half the time of what may become of any."""
    later(
        connection,
        query("mail.accept_deliveries"),
        organisation=organisation,
        mailing=mailing,
        low=min(o.recipient for o in outcomes),
        high=max(o.recipient for o in outcomes),
        recipients=[o.recipient for o in outcomes],
        ats=[o.at for o in outcomes],
        codes=[o.code for o in outcomes],
        replies=[o.reply for o in outcomes],
        addresses=[o.address for o in outcomes],
    )


def begun_by_lost(
    connection: Connection, organisation: int, mailing: int, low: int, begun: int
) -> list[tuple[int, int]]:
    """Whose sending had begun when a worker was lost (R19): each with how often they had been tried before."""
    return tuples(
        connection,
        """
        SELECT recipient, attempts FROM deliveries
        WHERE organisation = :organisation AND mailing = :mailing AND same_month(mailing, :mailing)
          AND recipient BETWEEN :low AND :begun
          AND state = 'pending' AND due_at IS NULL
        ORDER BY recipient
        """,
        organisation=organisation,
        mailing=mailing,
        low=low,
        begun=begun,
    )


def put_off(
    connection: Connection, organisation: int, mailing: int, recipients: Sequence[int], pause: timedelta
) -> None:
    """These are not begun now: the pace does not allow it. Nothing was tried."""
    later(
        connection,
        """
        UPDATE deliveries SET due_at = now() + :pause
        WHERE organisation = :organisation AND mailing = :mailing AND same_month(mailing, :mailing)
          AND recipient = ANY(CAST(:recipients AS int[]))
        """,
        organisation=organisation,
        mailing=mailing,
        recipients=list(recipients),
        pause=pause,
    )


def begin_again(connection: Connection, organisation: int, mailing: int, recipients: Sequence[int]) -> None:
    """These are tried again now: should the worker be lost, whether they went is uncertain for them too."""
    later(
        connection,
        """
        UPDATE deliveries SET due_at = NULL
        WHERE organisation = :organisation AND mailing = :mailing AND same_month(mailing, :mailing)
          AND recipient = ANY(CAST(:recipients AS int[]))
        """,
        organisation=organisation,
        mailing=mailing,
        recipients=list(recipients),
    )


def next_try_seconds(connection: Connection, organisation: int, mailing: int, low: int, high: int) -> float | None:
    """Seconds until the next pending recipient of a stretch may be tried, or None where none is pending."""
    seconds = value(
        connection,
        """
        SELECT extract(epoch FROM min(coalesce(due_at, now())) - now()) FROM deliveries
        WHERE organisation = :organisation AND mailing = :mailing AND same_month(mailing, :mailing)
          AND recipient BETWEEN :low AND :high
          AND state = 'pending'
        """,
        organisation=organisation,
        mailing=mailing,
        low=low,
        high=high,
    )
    return None if seconds is None else max(float(seconds), 0.0)
