"""Pieces that rest until somebody says otherwise, and pieces that nobody is to do any more; as SQL."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from config.database import execute


def hold(connection: Connection, organisation: int, actor: str, subject: int) -> None:
    """Let the pieces nobody works on rest. Whoever works on one finds out at the gate, as does whoever is just being
    woken for one: waiting for them here could be waiting for each other."""
    execute(
        connection,
        """
        UPDATE work SET state = 'held', due_at = 'infinity'
        WHERE organisation = :organisation AND work IN (
            SELECT w.work FROM work w
            WHERE w.organisation = :organisation AND w.subject = :subject AND w.actor = :actor
              AND w.state IN ('due', 'offered')
            FOR UPDATE SKIP LOCKED)
        """,
        organisation=organisation,
        actor=actor,
        subject=subject,
    )


def hold_all(connection: Connection, actor: str) -> None:
    """The same, for every organisation and subject."""
    execute(
        connection,
        """
        UPDATE work SET state = 'held', due_at = 'infinity'
        WHERE (organisation, work) IN (
            SELECT w.organisation, w.work FROM work w
            WHERE w.actor = :actor AND w.state IN ('due', 'offered') FOR UPDATE SKIP LOCKED)
        """,
        actor=actor,
    )


def resume(connection: Connection, organisation: int, actors: Sequence[str], subject: int) -> None:
    """Make the pieces that rest due again."""
    execute(
        connection,
        """
        UPDATE work SET state = 'due', due_at = now(), since = now()
        WHERE organisation = :organisation AND subject = :subject AND state = 'held' AND actor = ANY(:actors)
        """,
        organisation=organisation,
        actors=list(actors),
        subject=subject,
    )
    execute(connection, "NOTIFY rollcall_relay, 'work'")


def resume_all(connection: Connection, actor: str, unless: Collection[tuple[int, int]]) -> None:
    """The same, for every organisation and subject but these, (organisation, subject) each."""
    execute(
        connection,
        """
        UPDATE work w SET state = 'due', due_at = now(), since = now()
        WHERE w.state = 'held' AND w.actor = :actor AND (w.organisation, w.subject) NOT IN (
            SELECT * FROM unnest(CAST(:organisations AS int[]), CAST(:subjects AS bigint[])))
        """,
        actor=actor,
        organisations=[organisation for organisation, _ in unless],
        subjects=[subject for _, subject in unless],
    )
    execute(connection, "NOTIFY rollcall_relay, 'work'")


def discard(connection: Connection, organisation: int, works: Sequence[int]) -> None:
    """Delete pieces that are ours by a lock, and that nobody is to do any more."""
    execute(
        connection,
        "DELETE FROM work WHERE organisation = :organisation AND work = ANY(CAST(:works AS bigint[]))",
        organisation=organisation,
        works=list(works),
    )
