"""Carries all that is an organisation's from one database to another, as the catalogue has it.

Numbers of two databases are made from different ranges, so rows go as they are. What differs is the order of events
out, which each database has for itself: the places that events had where they were published become places below zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from config.cells import CELL_BITS
from config.database import EPOCH_BITS
from config.errors import UserError
from config.locks import NUMBERS_LOCK

#: Below this is the place of an event that is to be published where its organisation goes. A place that an event had in
#: another database is higher, and below zero.
HELD = -(1 << 62)

#: Who halts the work of an organisation that is on its way.
MOVER = "rollcall cells"

#: Where each event had its place, and what place it has from now on.
_PLACED = """
    SELECT position, -row_number() OVER (ORDER BY position DESC) AS place FROM outbox
    WHERE organisation = %(number)s AND position > %(held)s
"""

#: Columns that are not carried as they are: the place of an event, that of the last one that a webhook was sent, and
#: those of its attempts.
_OTHERWISE = {
    ("outbox", "position"): "CASE WHEN t.position > %(held)s"
    " THEN -row_number() OVER (ORDER BY t.position DESC NULLS LAST) END",
    ("replays", "position"): "CAST(NULL AS bigint)",
    ("webhooks", "position"): "coalesce((SELECT max(p.place) FROM placed p WHERE p.position <= t.position),"
    " (SELECT -count(*) - 1 FROM placed))",
    ("webhook_attempts", "position"): "coalesce(p.place, (SELECT -count(*) - 1 FROM placed))",
}

#: What else a query of a table joins.
_JOINED = {"webhook_attempts": "LEFT JOIN placed p USING (position)"}

#: Columns that each database fills for itself: the period in which an event came to be known here.
_OWN = ["arrivals.since"]

#: Rows that are not carried: who halts the organisation until it is there, and what was published once more.
_NOT = {"halts": "t.by_whom <> '" + MOVER + "'", "replays": "t.position <= %(held)s"}

#: The tables that have organisations, those that others refer to first, with their columns, but for what holds the
#: organisation itself. What comes in has the organisation's id in place of its number.
_TABLES = """
    WITH RECURSIVE tables AS (
        SELECT c.oid, c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE a.attname = 'organisation' AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND c.relnamespace = CAST(quote_ident(current_schema()) AS regnamespace) AND c.relname <> 'organisations'
    ), depths AS (
        SELECT oid, 0 AS depth FROM tables
        UNION ALL
        SELECT k.conrelid, depth + 1 FROM depths d JOIN pg_constraint k ON k.confrelid = d.oid AND k.contype = 'f'
        WHERE k.conrelid <> k.confrelid
    )
    SELECT relname, array_agg(CAST(attname AS text) ORDER BY attname),
           bool_or(attname = 'organisation' AND atttypid = CAST('text' AS regtype))
    FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
        AND relname || '.' || attname <> ALL (%s)
    GROUP BY t.oid, relname ORDER BY (SELECT max(depth) FROM depths d WHERE d.oid = t.oid), relname
"""

#: The sequences that number what organisations have, and how many bytes such a number has.
_SEQUENCES = """
    SELECT pg_get_serial_sequence(quote_ident(c.relname), a.attname), t.typlen
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attidentity <> '' AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relnamespace = CAST(quote_ident(current_schema()) AS regnamespace) AND NOT c.relispartition AND EXISTS (
        SELECT FROM pg_attribute o WHERE o.attrelid = c.oid AND o.attname = 'organisation')
"""

Session = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table that has organisations, with its columns; `by_id`: it has their ids."""

    name: str
    columns: tuple[str, ...]
    by_id: bool


@dataclass(frozen=True, slots=True)
class Carried:
    """How many rows of a table were carried, and a hash of all of them, in whatever order."""

    table: str
    rows: int
    digest: int


class NotWhole(UserError):
    """What arrived is not what left: nothing of it may stay."""


def tables(session: Session) -> list[Table]:
    """The tables of a database that have organisations."""
    found = session.execute(_TABLES, (_OWN,)).fetchall()
    return [Table(str(name), tuple(columns), bool(by_id)) for name, columns, by_id in found]  # type: ignore[arg-type]


def carry(source: Session, target: Session, number: int | None, id_: str) -> list[Carried]:
    """Copy an organisation's rows within a transaction of each; `source` is to see one moment. Raises `NotWhole` where
    the databases differ in their tables, or a table arrived otherwise than it left."""
    there = tables(source)
    if there != tables(target):
        raise NotWhole("The two databases do not have the same tables: run rollcall migrate in both.")
    return [carried for table in there for carried in _carry(source, target, table, number, id_)]


def _carry(source: Session, target: Session, table: Table, number: int | None, id_: str) -> Iterator[Carried]:
    named: dict[str, object] = {"number": number, "id": id_, "held": HELD}
    rows = _select(source, table, named)
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    copied = sql.SQL("COPY ({}) TO STDOUT").format(rows)
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
    with source.cursor().copy(copied) as out, target.cursor().copy(into) as arriving:
        for block in out:
            arriving.write(block)
    arrived = sql.SQL("SELECT {} FROM {} WHERE organisation = {}").format(
        columns, sql.Identifier(table.name), sql.Literal(id_ if table.by_id else number)
    )
    left, came = _digest(source, table, rows), _digest(target, table, arrived)
    if left != came:
        raise NotWhole(f"{table.name}: {left.rows} rows left, and {came.rows} arrived, or others than left.")
    yield left


def _select(source: Session, table: Table, named: dict[str, object]) -> sql.Composed:
    """A query of an organisation's rows as they are to be in the other database."""
    chosen = [
        sql.SQL(_OTHERWISE.get((table.name, column), "t.{}") + " AS {}").format(
            *[sql.Identifier(column)] * (1 if (table.name, column) in _OTHERWISE else 2)
        )
        for column in table.columns
    ]
    whose = "t.organisation = %(id)s" if table.by_id else "t.organisation = %(number)s"
    joined = _JOINED.get(table.name, "")
    query = "WITH placed AS (" + _PLACED + ") SELECT {} FROM {} t " + joined + " WHERE " + whose
    if table.name in _NOT:
        query += " AND " + _NOT[table.name]
    composed = sql.SQL(query).format(sql.SQL(", ").join(chosen), sql.Identifier(table.name))
    bound = psycopg.ClientCursor(source).mogrify(composed, named)  # COPY takes no parameters
    return sql.Composed([sql.SQL(bound)])


def _digest(session: Session, table: Table, rows: sql.Composable) -> Carried:
    counted = session.execute(
        sql.SQL(
            "SELECT count(*), coalesce(sum(CAST(hashtextextended(CAST(t AS text), 0) AS numeric)), 0) FROM ({}) t"
        ).format(rows)
    ).fetchone()
    assert counted is not None  # noqa: S101 - an aggregate has a row
    return Carried(table.name, int(counted[0]), int(counted[1]))  # type: ignore[call-overload]


def hold_back(session: Session, number: int) -> bool:
    """Keep what an organisation has in line to be published from being published here; whether what was in order before
    is. Nobody gives places meanwhile."""
    published = session.execute("SELECT published FROM publication FOR UPDATE").fetchone()
    assert published is not None  # noqa: S101 - the migration wrote the one row
    named = {"number": number, "published": published[0], "held": HELD}
    under_way = session.execute(
        """
        SELECT EXISTS (SELECT FROM outbox WHERE organisation = %(number)s AND position > %(published)s)
            OR EXISTS (SELECT FROM replays WHERE organisation = %(number)s AND position > %(published)s)
        """,
        named,
    ).fetchone()
    if under_way is None or under_way[0]:
        return False
    session.execute("UPDATE outbox SET position = %(held)s WHERE organisation = %(number)s AND position IS NULL", named)
    session.execute(
        "UPDATE replays SET position = %(held)s - replay WHERE organisation = %(number)s AND position IS NULL", named
    )
    return True


def let_go(session: Session, number: int) -> None:
    """Have published here what `hold_back` kept from it."""
    for table in ("outbox", "replays"):
        session.execute(
            sql.SQL("UPDATE {} SET position = NULL WHERE organisation = %(number)s AND position <= %(held)s").format(
                sql.Identifier(table)
            ),
            {"number": number, "held": HELD},
        )


def number_from(session: Session, *, cell: int | None, epoch: int) -> None:
    """Have the database number what it makes from now on from the range of an epoch and, if it is given, of a cell. No
    number is ever given twice: ranges are used once, and each is above those before it."""
    session.execute("SELECT pg_advisory_xact_lock(%s, 0)", (NUMBERS_LOCK,))
    found: Sequence[tuple[object, ...]] = session.execute(_SEQUENCES).fetchall()
    for sequence, length in found:
        if length == 8:
            begin = epoch << EPOCH_BITS
        elif cell is not None:
            begin = cell << CELL_BITS
        else:
            continue
        if begin:
            session.execute("SELECT setval(CAST(%s AS regclass), %s)", (sequence, begin))


def remove(session: Session, number: int | None, id_: str) -> int:
    """Delete what is left here of an organisation that lives elsewhere; how many rows."""
    session.execute("SET LOCAL rollcall.forgets = 'on'")
    gone = 0
    for table in reversed(tables(session)):
        gone += session.execute(
            sql.SQL("DELETE FROM {} WHERE organisation = %s").format(sql.Identifier(table.name)),
            (id_ if table.by_id else number,),
        ).rowcount
    return gone
