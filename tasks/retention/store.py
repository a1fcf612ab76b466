"""Partitions, as SQL."""

from datetime import datetime

from sqlalchemy import Connection

from config.database import EPOCH_BITS, nobody_to_blame, rows, say, value
from tasks.retention.rules import ArrivalPeriod, Partition

#: Seconds for which a lock is waited for, while whoever needs the table waits behind us; then it is tried later.
PATIENCE = 0.2


def partitions(connection: Connection) -> list[Partition]:
    """Every partition of a time, of every table that has some, and the database's time."""
    return rows(
        connection,
        Partition,
        r"""
        SELECT whole.relname AS of_table, part.relname AS name, partition_until(part.relname) AS until, now() AS now,
               CASE WHEN below IS NOT NULL THEN
                   CAST(substring(pg_get_expr(part.relpartbound, part.oid) FROM 'FROM \(''(\d+)''\)') AS bigint) END
                   AS lowest,
               below, coalesce(below - 1 >> :bits = number_of_month(now()) >> :bits, true) AS numbered
        FROM pg_inherits JOIN pg_class part ON part.oid = inhrelid JOIN pg_class whole ON whole.oid = inhparent
        JOIN pg_partitioned_table ON partrelid = whole.oid
        CROSS JOIN LATERAL partition_below(part.relname) AS below
        WHERE partstrat = 'r' AND whole.relnamespace = CAST(quote_ident(current_schema()) AS regnamespace)
        ORDER BY whole.relname, part.relname
        """,
        bits=EPOCH_BITS,
    )


def make(connection: Connection, of_table: str, low: datetime, high: datetime) -> None:
    """Make the partition of a table from one time to another. Raises what `is_locked` knows."""
    with nobody_to_blame(connection, PATIENCE):
        name = value(
            connection,
            "SELECT make_partition(:of_table, CAST(:low AS timestamptz), CAST(:high AS timestamptz))",
            of_table=of_table,
            low=low,
            high=high,
        )
    say(connection, "partition.made", name=name)


def make_numbered(connection: Connection, of_table: str, lowest: int) -> None:
    """Make the partition of a table for the month of which this is the lowest number of a mailing. Raises what
    `is_locked` knows."""
    with nobody_to_blame(connection, PATIENCE):
        name = value(
            connection,
            "SELECT make_numbered_partition(:of_table, CAST(:lowest AS bigint))",
            of_table=of_table,
            lowest=lowest,
        )
    say(connection, "partition.made", name=name)


def drop(connection: Connection, partition: Partition) -> None:
    """Drop a partition: its files go, and no row is touched. Raises what `is_locked` knows."""
    with nobody_to_blame(connection, PATIENCE):
        value(connection, "SELECT drop_partition(:name)", name=partition.name)
    say(connection, "partition.dropped", name=partition.name)


def periods(connection: Connection) -> list[ArrivalPeriod]:
    """Every period of which the ids are known, the oldest first."""
    return rows(
        connection,
        ArrivalPeriod,
        r"""
        SELECT c.relname AS name, now() AS now,
               CAST(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'IN \(''([^'']+)''\)') AS timestamptz) AS since
        FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = CAST('arrivals' AS regclass)
        ORDER BY since
        """,
    )


def begin_period(connection: Connection) -> None:
    """Begin a period. Raises what `is_locked` knows, if a transaction that took events does not end."""
    with nobody_to_blame(connection, PATIENCE):
        name = value(connection, "SELECT begin_period()")
    say(connection, "partition.made", name=name)


def drop_period(connection: Connection, name: str) -> None:
    """Forget all that came in a period, but what is held. Raises what `is_locked` knows."""
    with nobody_to_blame(connection, PATIENCE):
        value(connection, "SELECT drop_period(:name)", name=name)
    say(connection, "partition.dropped", name=name)
