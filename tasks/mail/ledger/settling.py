"""Deliveries of which nobody knows whether they went, settled by a person who found out; as SQL."""

from collections.abc import Sequence

from sqlalchemy import Connection

from config.database import integer
from config.sql import query
from tasks.mail.ledger.restored import Settled


def settle_uncertain(
    connection: Connection, organisation: int, mailing: int, learners: Sequence[str] | None, *, sent: bool
) -> int:
    """Write that the uncertain deliveries of these learners, or all, were sent, or were not; how many (R19).

    What was known of each before is kept as an attempt.
    """
    return integer(
        connection,
        query("mail.settle_uncertain"),
        organisation=organisation,
        mailing=mailing,
        learners=None if learners is None else list(learners),
        sent=sent,
        reason=Settled.BY_HAND.value,
    )
