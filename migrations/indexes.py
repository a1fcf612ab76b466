"""Indexes of tables that may be large: built while everybody reads and writes, before the revision that needs them.

A revision names them in `indexes`, by name, and calls `create(indexes)` in its `upgrade`. In a database that is used,
`build` has made them by then, outside of any transaction; in one that is new, `create` does.
"""

from collections.abc import Mapping

from alembic import context, op
from sqlalchemy import Connection, text

_IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"


def create(indexes: Mapping[str, str]) -> None:
    """In a revision's transaction, make what is not there: by name, what follows the name in CREATE INDEX, with UNIQUE
    before it if it is."""
    concurrently = "CONCURRENTLY " if context.is_offline_mode() else ""  # as it will be made
    for name, on in indexes.items():
        op.execute(_statement(f"{concurrently}IF NOT EXISTS {name}", on))


def build(connection: Connection, indexes: Mapping[str, str]) -> None:
    """Make what is not there, one after the other; what an earlier try has left unfinished is made anew. Reading and
    writing go on meanwhile. The connection is in no transaction."""
    autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
    try:
        for name, on in indexes.items():
            valid = autocommit.scalar(text(_IS_VALID), {"name": name})
            if valid is False:
                autocommit.execute(text(f"DROP INDEX CONCURRENTLY {name}"))
            if not valid:
                autocommit.execute(text(_statement(f"CONCURRENTLY {name}", on)))
    finally:
        connection.rollback()
        connection.execution_options(isolation_level=connection.default_isolation_level)


def _statement(name: str, on: str) -> str:
    unique = "UNIQUE " if on.startswith("UNIQUE ") else ""
    return f"CREATE {unique}INDEX {name} {on.removeprefix(unique)}"
