"""What each capability declares its tables with, in its `tables.py`: owner, purpose and shape of every table.

A table is written by the capability that declares it, and by no other. Migrations make the tables; a test compares.
A column without a comment is what its name says: `organisation` and the like are the numbers of rows of these tables,
`…_at` is a moment.
"""

from typing import Any

from sqlalchemy import CheckConstraint, Column, DateTime, Identity, Index, MetaData, text
from sqlalchemy.types import TypeEngine

metadata = MetaData()

#: A moment, with its time zone: all are read and written in UTC.
MOMENT = DateTime(timezone=True)

#: SQL functions that belong to no capability, and what each is for.
FUNCTIONS = {
    "drop_partition": "drops a partition of a time, with its rows",
    "guard_partition": "gives a partition the triggers of its table that refuse statements",
    "hold_partition": "lets nobody write into a partition until the transaction ends",
    "is_by_number": "whether a table is divided by the numbers of mailings, and not by a time",
    "kept_since": "since when all of a table is there: what came before is dropped; -infinity: nothing is",
    "make_numbered_partition": "makes the partition of a table for a month of mailings; its name",
    "make_partition": "makes the partition of a table from one time to another, with what came before; its name",
    "make_partition_within": "makes the partition of a table between two bounds, with what came before",
    "partition_below": "below which number the mailings of a partition are; null: it has no such bound",
    "partition_until": "before which time all of a partition lies; null: it takes what no other does, or is none",
    "people": "the role with the rights of an organisation's people",
    "served": "the organisation whose people this transaction serves; null: they see nothing",
}

#: What a column `traceparent` has by default: the trace of the transaction (`config.tracing`).
TRACEPARENT = "NULLIF(current_setting('rollcall.traceparent', true), '')"

Type = TypeEngine[Any] | type[TypeEngine[Any]]


def key(name: str, type_: Type, comment: str | None = None, *, numbered: bool = False, **more: str) -> Column[Any]:
    """A column of the primary key, which has them in the order of the table; `numbered` by the database."""
    if numbered:
        return Column(name, type_, Identity(always=True), primary_key=True, comment=comment)
    return _column(name, type_, comment, primary_key=True, autoincrement=False, **more)


def required(name: str, type_: Type, comment: str | None = None, *, numbered: bool = False, **more: str) -> Column[Any]:
    """A column that is never null. `default` and `check` are SQL; `numbered` by the database."""
    if numbered:
        return Column(name, type_, Identity(always=True), nullable=False, comment=comment)
    return _column(name, type_, comment, nullable=False, **more)


def optional(name: str, type_: Type, comment: str | None = None, **more: str) -> Column[Any]:
    """A column that may be null; its comment says what that means. `default` and `check` are SQL."""
    return _column(name, type_, comment, nullable=True, **more)


def _column(
    name: str, type_: Type, comment: str | None, default: str = "", check: str = "", **more: Any
) -> Column[Any]:
    checks = [CheckConstraint(check)] if check else []
    return Column(name, type_, *checks, comment=comment, server_default=text(default) if default else None, **more)


def index(name: str, *parts: str, where: str = "", unique: bool = False, **options: Any) -> Index:
    """An index on columns or expressions; partial if there is a `where`."""
    condition = text(where) if where else None
    on = [part if part.isidentifier() else text(part) for part in parts]
    return Index(name, *on, unique=unique, postgresql_where=condition, **options)
