"""What the outbox keeps that names learners who are erased; as SQL (S15, R35)."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from config.database import column, execute
from config.sql import query
from tasks.events.outbox import publication


def forget_usernames(connection: Connection, organisation: int, erased: Sequence[tuple[str, datetime]]) -> None:
    """Remove the usernames of these learners from what went out until a moment, (id, moment) each, so that nothing
    publishes them again."""
    execute(
        connection,
        """
        UPDATE outbox o SET data = json_build_object('learner', gone.id, 'username', null)
        FROM unnest(CAST(:ids AS text[]), CAST(:ats AS timestamptz[])) AS gone (id, at)
        WHERE o.organisation = :organisation AND o.type = 'rollcall.learner.password_void'
          AND o.data ->> 'learner' = gone.id AND o.time <= gone.at
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
    published = publication(connection).published
    return None if any(at is None or at > published for at in found) else found


def rewrite_reasons(connection: Connection, organisation: int, left_of: Callable[[str], str]) -> None:
    """Keep what is `left_of` the reasons that people gave as they released or discarded events."""
    said = column(
        connection,
        """
        SELECT DISTINCT i.resolved_why FROM organisations o JOIN inbox i ON i.organisation = o.id
        WHERE o.organisation = :organisation AND i.state IN ('released', 'discarded')
        """,
        organisation=organisation,
    )
    if changed := {text: left for text in said if (left := left_of(text)) != text}:
        execute(
            connection,
            """
            UPDATE inbox i SET resolved_why = new.left_
            FROM organisations o, unnest(CAST(:texts AS text[]), CAST(:lefts AS text[])) AS new (text, left_)
            WHERE o.organisation = :organisation AND i.organisation = o.id AND i.state IN ('released', 'discarded')
              AND i.resolved_why = new.text
            """,
            organisation=organisation,
            texts=list(changed),
            lefts=list(changed.values()),
        )
