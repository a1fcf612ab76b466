"""The planner's statistics of tables that grow fast. PostgreSQL takes them a minute or two later by itself: until then
a plan that was made while a table was small is kept, and may read all of it for each row that is asked for."""

from dataclasses import dataclass

from sqlalchemy import Connection

from config.database import analyze, rows

#: A table has grown if it has so many rows more than so many times those that it had at the last `ANALYZE` or `VACUUM`.
ROWS = 500
TIMES = 2

#: A table that had so many rows then is left to PostgreSQL: no plan of it reads all of it for a row.
LARGE = 100_000


@dataclass(frozen=True, slots=True)
class _Grown:
    name: str


def analyze_grown(connection: Connection) -> list[str]:
    """Analyse the tables that have grown, without a transaction; their names. One that somebody else analyses or alters
    at this moment is not waited for; one that belongs to a role that is not ours is left to PostgreSQL."""
    grown = rows(
        connection,
        _Grown,
        """
        SELECT CAST(CAST(c.oid AS regclass) AS text) AS name
        FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
        WHERE s.schemaname = current_schema() AND pg_has_role(c.relowner, 'USAGE')
          AND c.reltuples < :large AND s.n_live_tup > :rows + :times * greatest(c.reltuples, 0)
        ORDER BY s.n_live_tup
        """,
        rows=ROWS,
        times=TIMES,
        large=LARGE,
    )
    for one in grown:
        analyze(connection, one.name)
    return [one.name for one in grown]
