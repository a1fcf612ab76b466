"""How far the groups that read the outgoing stream have come, as SQL: kept for when Redis has forgotten them."""

from collections.abc import Mapping

from sqlalchemy import Connection

from config.database import execute, tuples, value


def known(connection: Connection) -> dict[bytes, int]:
    """The groups there were when the stream was last seen whole, and how far each had come."""
    return dict(tuples(connection, "SELECT name, acknowledged FROM readers"))


def remember(connection: Connection, groups: Mapping[bytes, int]) -> None:
    """These are the groups of the whole stream now, and no others: one that was destroyed is forgotten.

    What is published once more and was acknowledged by all of them need not be kept.
    """
    if groups == known(connection):
        return
    names, positions = list(groups), list(groups.values())
    execute(
        connection,
        """
        INSERT INTO readers AS r (name, acknowledged)
        SELECT name, position
        FROM unnest(CAST(:names AS bytea[]), CAST(:positions AS bigint[])) AS seen (name, position)
        ON CONFLICT (name) DO UPDATE SET acknowledged = excluded.acknowledged, seen_at = now()
        WHERE r.acknowledged <> excluded.acknowledged
        """,
        names=names,
        positions=positions,
    )
    execute(connection, "DELETE FROM readers WHERE name <> ALL(CAST(:names AS bytea[]))", names=names)
    if positions:
        execute(connection, "DELETE FROM replays WHERE position <= :position", position=min(positions))


def waiting_seconds(connection: Connection, position: int) -> float | None:
    """How long ago the first event after this position was written, or None where there is none."""
    age = value(
        connection,
        """
        SELECT extract(epoch FROM now() - at) FROM (
            (SELECT position, time AS at FROM outbox WHERE position > :position ORDER BY position LIMIT 1)
            UNION ALL
            (SELECT position, at FROM replays WHERE position > :position ORDER BY position LIMIT 1)
        ) next ORDER BY position LIMIT 1
        """,
        position=position,
    )
    return None if age is None else float(age)
