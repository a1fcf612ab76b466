"""A statement on a connection of SQLAlchemy's, run by psycopg alone.

SQLAlchemy takes longer to run a text, and to tell what its columns are, than psycopg to ask it and hear the answer. The
rest stays SQLAlchemy's: connections, transactions, whoever listens to an engine, and what is raised.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import psycopg
from sqlalchemy import Connection

#: A cursor that has run a statement.
Ran: TypeAlias = "psycopg.Cursor[tuple[Any, ...]]"


@dataclass(frozen=True, slots=True)
class Run:
    """What SQLAlchemy, and whoever listens to an engine, asks of a run: of an `ExecutionContext`, what is used."""

    execution_options: Mapping[str, Any]
    executemany: bool = False

    def handle_dbapi_exception(self, problem: BaseException) -> None:
        """Nothing is to be done."""


_NOW, _LATER = (Run(MappingProxyType({"later": later})) for later in (False, True))


def run(connection: Connection, statement: str, parameters: Mapping[str, Any], later: bool = False) -> Ran:
    """Run a statement with psycopg's `%(name)s` for parameters. Raises what SQLAlchemy raises."""
    lent, told = connection.connection, connection.dispatch
    if not connection.in_transaction():
        connection.begin()
    cursor: Any = None
    context: Any = _LATER if later else _NOW
    try:
        cursor = lent.cursor()
        for listener in told.before_cursor_execute:
            listener(connection, cursor, statement, parameters, context, False)
        cursor.execute(statement, parameters)
        for listener in told.after_cursor_execute:
            listener(connection, cursor, statement, parameters, context, False)
    except BaseException as problem:  # noqa: BLE001 - it raises
        connection._handle_dbapi_exception(problem, statement, parameters, cursor, context)
    return cursor  # type: ignore[no-any-return]


def columns_of(ran: Ran) -> tuple[str, ...]:
    """The names of the columns of what was found. psycopg's own description of them takes ten times as long."""
    found = ran.pgresult
    return tuple((found.fname(n) or b"").decode() for n in range(found.nfields)) if found else ()
