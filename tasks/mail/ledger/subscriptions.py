"""Who has unsubscribed from an organisation's announcements, as SQL. Notices go to them all the same (R15)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import execute, one


@dataclass(frozen=True, slots=True)
class Subscription:
    """How a learner stands to an organisation's announcements, and in which language to say so."""

    organisation_name: str
    locale: str
    unsubscribed_at: datetime | None


def subscription(connection: Connection, organisation: int, learner: int) -> Subscription | None:
    """How the learner with this number stands; None where the organisation has none."""
    return one(
        connection,
        Subscription,
        """
        SELECT o.name AS organisation_name, coalesce(l.locale, '') AS locale, u.since AS unsubscribed_at
        FROM learners l
        JOIN organisations o USING (organisation)
        LEFT JOIN unsubscribed u ON u.organisation = l.organisation AND u.learner = l.learner
        WHERE l.organisation = :organisation AND l.learner = :learner
        """,
        organisation=organisation,
        learner=learner,
    )


def unsubscribe(connection: Connection, organisation: int, learners: Sequence[int]) -> None:
    """Send these learners no announcement any more; those who are unsubscribed already stay so since they are."""
    execute(
        connection,
        """
        INSERT INTO unsubscribed (organisation, learner)
        SELECT :organisation, learner FROM unnest(CAST(:learners AS int[])) AS wanted (learner)
        ON CONFLICT DO NOTHING
        """,
        organisation=organisation,
        learners=list(learners),
    )


def resubscribe(connection: Connection, organisation: int, learners: Sequence[int]) -> None:
    """Send these learners announcements again."""
    execute(
        connection,
        """
        DELETE FROM unsubscribed WHERE organisation = :organisation AND learner = ANY(CAST(:learners AS int[]))
        """,
        organisation=organisation,
        learners=list(learners),
    )
