"""Databases at an older revision, with a row in every table that there was, made from the catalogue."""

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
from alembic.config import Config
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import Engine

import migrations

#: What a row holds where nothing else is asked for, by the type.
_VALUES: dict[str, Any] = {
    "bool": True, "bytea": b"octets", "date": "2026-02-01", "float8": 0.5, "int2": 1, "int4": 1, "int8": 1,
    "json": Jsonb({}), "jsonb": Jsonb({}), "name": "name", "numeric": 1, "text": "words", "varchar": "words",
    "timestamptz": datetime(2026, 2, 1, tzinfo=UTC), "uuid": "00000000-0000-0000-0000-000000000001",
}  # fmt: skip

_COLUMNS = """
    SELECT a.attname, t.typname, a.attnotnull,
           ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid)::text[]
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
      AND (a.attrelid, a.attname) IS DISTINCT FROM (to_regclass('arrivals')::oid, 'since')  -- there is one that fits
    ORDER BY a.attnum
"""
_REFERENCES = """
    SELECT c.confrelid::regclass::text, ARRAY(SELECT attname FROM unnest(c.conkey) WITH ORDINALITY k (n, at)
               JOIN pg_attribute ON attrelid = c.conrelid AND attnum = k.n ORDER BY k.at)::text[],
           ARRAY(SELECT attname FROM unnest(c.confkey) WITH ORDINALITY k (n, at)
               JOIN pg_attribute ON attrelid = c.confrelid AND attnum = k.n ORDER BY k.at)::text[]
    FROM pg_constraint c WHERE c.conrelid = %s::regclass AND c.contype = 'f'
"""
_TABLES = """
    SELECT c.oid::regclass::text FROM pg_class c
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relnamespace = current_schema()::regnamespace AND c.relname <> 'alembic_version'
    ORDER BY c.relname
"""

Row = dict[str, Any]


def move(engine: Engine, to: Callable[[Config, str], object], revision: str) -> None:
    """Bring a database to a revision, by Alembic's `upgrade` or `downgrade`, in one transaction."""
    by = migrations.config()
    with engine.begin() as connection:
        by.attributes["connection"] = connection
        to(by, revision)


def rows(connection: psycopg.Connection[Any]) -> dict[str, list[Row]]:
    """Every row of every table, as JSON has it."""
    return {
        table: [
            row for (row,) in connection.execute(sql.SQL("SELECT to_jsonb(t) FROM {} t").format(sql.Identifier(table)))
        ]
        for (table,) in connection.execute(_TABLES).fetchall()
    }


def fill(connection: psycopg.Connection[Any], **said: Row) -> None:
    """A row in every table that has none: in each column what is `said`, or something, if anything may be there."""
    waiting = [table for (table,) in connection.execute(_TABLES)]
    while waiting:
        left = [table for table in waiting if not _fill(connection, table, waiting, said.get(table, {}))]
        assert len(left) < len(waiting), f"these refer to each other: {left}"
        waiting = left


def _fill(connection: psycopg.Connection[Any], table: str, waiting: list[str], said: Row) -> bool:
    """Insert a row, once what it refers to is there; of what its constraints refuse, try what they name."""
    references = connection.execute(_REFERENCES, (table,)).fetchall()
    if any(other in waiting and other != table for other, *_ in references):
        return False
    here = sql.Identifier(table)
    if connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(here)).fetchone() == (True,):
        return True
    row: Row = {}
    for name, type_, _, labels in connection.execute(_COLUMNS, (table,)).fetchall():
        element = _VALUES.get(type_.removeprefix("_"), labels[0] if labels else None)
        row[name] = [element] if type_.startswith("_") else element
        assert row[name] is not None, f"what is a {type_}, as in {table}.{name}?"
    for other, mine, theirs in references:
        if other != table:
            wanted = sql.SQL("SELECT {} FROM {} LIMIT 1").format(
                sql.SQL(", ").join(map(sql.Identifier, theirs)), sql.Identifier(other)
            )
            row |= dict(zip(mine, connection.execute(wanted).fetchone() or (), strict=True))
    row |= said
    tried: dict[str, Iterator[Any]] = {}
    while True:
        problem = _insert(connection, here, row)
        if problem is None:
            return True
        if problem not in tried:
            tried[problem] = _choices(connection, table, problem, row)
        choice = next(tried[problem], None)
        assert choice is not None, f"{table} has no row that {problem} allows"
        row |= dict(choice) | said


def _insert(connection: psycopg.Connection[Any], table: sql.Identifier, row: Row) -> str | None:
    """Insert a row; the constraint that refuses it, if one does."""
    statement = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(
        table, sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(sql.Placeholder() * len(row))
    )
    try:
        with connection.transaction():
            connection.execute(statement, list(row.values()))
    except psycopg.errors.CheckViolation as problem:
        return str(problem.diag.constraint_name)
    return None


def _choices(connection: psycopg.Connection[Any], table: str, constraint: str, row: Row) -> Iterator[Any]:
    """What may be tried in the columns of a constraint: what it names, nothing, and little."""
    found = connection.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s",
        (table, constraint),
    ).fetchone()
    assert found is not None
    definition = str(found[0])
    named = re.findall(r"'([^']*)'", definition)
    names = [name for name in row if re.search(rf"\b{name}\b", definition)]
    texts = [isinstance(row[name], str) for name in names]
    numbers = [0, 1, *map(int, re.findall(r"\b\d+\b", definition))]
    needed = {name for name, _, not_null, _ in connection.execute(_COLUMNS, (table,)) if not_null}
    values = [
        [row[name], *(named if is_text else numbers), *([] if name in needed else [None])]
        for name, is_text in zip(names, texts, strict=True)
    ]
    return (tuple(zip(names, chosen, strict=True)) for chosen in itertools.product(*values))
