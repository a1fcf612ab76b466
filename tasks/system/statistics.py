"""The planner's statistics of tables that grow fast. PostgreSQL takes them a minute or two later by itself: until then
a plan that was made while a table was small is kept, and may read all of it for each row that is asked for."""

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from config.database import analyze, column, is_connection_problem

log = structlog.get_logger()

#: A table has grown if it has so many rows more than so many times those that it had at the last `ANALYZE` or `VACUUM`.
ROWS = 500
TIMES = 2

#: A table that had so many rows then is left to PostgreSQL: no plan of it reads all of it for a row.
LARGE = 100_000


def analyze_grown(connection: Connection, left: set[str]) -> list[str]:
    """Analyse the tables that have grown, without a transaction; those that are analysed now. One that somebody else
    analyses or alters at this moment is not waited for; one that belongs to a role that is not ours, or that cannot be
    analysed, which is then `left`, is PostgreSQL's own business."""
    tried = [name for name in _grown(connection) if name not in left]
    for name in tried:
        try:
            analyze(connection, name)
        except DBAPIError as problem:
            if is_connection_problem(problem):
                raise
            log.warning("table.not_analyzed", table=name, why=type(problem.orig).__name__)
            left.add(name)
    not_done = _grown(connection) if tried else []
    return [name for name in tried if name not in not_done and name not in left]


def _grown(connection: Connection) -> list[str]:
    return column(
        connection,
        """
        SELECT format('%I.%I', current_schema(), c.relname)
        FROM pg_class c CROSS JOIN LATERAL pg_stat_get_live_tuples(c.oid) AS live
        WHERE c.relnamespace = CAST(current_schema() AS regnamespace) AND c.relkind = 'r'
          AND pg_has_role(c.relowner, 'USAGE') AND c.reltuples < :large
          AND live > :rows + :times * greatest(c.reltuples, 0)
        ORDER BY live
        """,
        rows=ROWS,
        times=TIMES,
        large=LARGE,
    )
