"""What the outbox keeps that names learners who are erased; as SQL (S15, R35)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from config.database import column, value
from config.sql import query


def forget_usernames(connection: Connection, organisation: int, erased: Sequence[tuple[str, datetime]]) -> list[UUID]:
    """Remove the usernames of these learners from what went out until a moment, (id, moment) each, so that nothing
    publishes them again; which events these are."""
    return column(
        connection,
        """
        UPDATE outbox o SET data = json_build_object('learner', gone.id, 'username', null)
        FROM unnest(CAST(:ids AS text[]), CAST(:ats AS timestamptz[])) AS gone (id, at)
        WHERE o.organisation = :organisation AND o.type = 'rollcall.learner.password_void'
          AND o.data ->> 'learner' = gone.id AND o.time <= gone.at
        RETURNING o.id
        """,
        organisation=organisation,
        ids=[id_ for id_, _ in erased],
        ats=[at for _, at in erased],
    )


def usernames_published(
    connection: Connection, organisation: int, erased: Sequence[tuple[str, datetime]]
) -> list[int] | None:
    """Where their usernames were published; None where some of it may be on its way."""
    found = column(
        connection,
        query("events.usernames_published"),
        organisation=organisation,
        ids=[id_ for id_, _ in erased],
        ats=[at for _, at in erased],
    )
    published = int(value(connection, "SELECT published FROM publication") or 0)
    return None if any(at is None or at > published for at in found) else found
