"""The tables as each capability declares them are those that the migrations make."""

from sqlalchemy import Connection, text
from sqlalchemy.schema import CreateSchema

from config.tables import metadata
from tests.architecture.declared import function_owners, owners
from tests.world import World

#: Columns that are what their name says, in whatever table.
PLAIN = {
    "organisation", "learner", "course", "segment", "fanout", "mailing", "recipient", "consumption", "webhook", "cycle",
    "work", "change", "replay", "erasure", "unit", "shard", "id", "name", "title", "type", "method", "code", "event",
    "username", "email", "first_name", "last_name", "version", "active", "state", "at", "since", "time", "why", "queue",
    "delivered", "milliseconds", "pool", "used", "high", "events", "resolved_why",
}  # fmt: skip

#: What makes up the relations of a schema: a query for each part, each row as PostgreSQL itself writes it.
PARTS = """
WITH relations AS (
    SELECT * FROM pg_class
    WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind IN ('r', 'p', 'v') AND relname <> 'alembic_version'
      AND NOT relispartition  -- as many as there are months
)
SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
       || CASE a.attidentity WHEN '' THEN '' ELSE ' IDENTITY ' || CAST(a.attidentity AS text) END
       || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
FROM relations c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    AND (c.relname, a.attname) <> ('arrivals', 'since')  -- it is by a function of another schema
UNION ALL
SELECT c.relname || ' ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
FROM relations c JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype <> 'n'
UNION ALL
SELECT pg_get_indexdef(i.indexrelid) FROM relations c JOIN pg_index i ON i.indrelid = c.oid
UNION ALL
SELECT c.relname || ' ' || option FROM relations c CROSS JOIN unnest(c.reloptions) AS option
WHERE option LIKE 'fillfactor=%'
UNION ALL
SELECT 'type ' || t.typname || ' ' || string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
WHERE t.typnamespace = CAST(:schema AS regnamespace) GROUP BY t.typname
"""


def test_the_tables_are_those_that_the_migrations_make(world: World) -> None:
    owners()
    with world.runtime.engine.connect() as connection:
        made = _parts(connection, "public")
        connection.execute(CreateSchema("declared"))
        connection.execute(text("SET search_path TO declared"))
        metadata.create_all(connection)
        declared = _parts(connection, "declared")

    assert {part.split()[0] for part in made} > {"column", "CREATE", "type", "enrolments"}
    assert declared - made == set(), "declared, and made by no migration"
    assert made - declared == set(), "made by a migration, and declared nowhere"


def test_the_views_and_functions_are_those_that_the_migrations_make(world: World) -> None:
    views = "SELECT relname FROM pg_class WHERE relnamespace = CAST('public' AS regnamespace) AND relkind = 'v'"
    functions = "SELECT proname FROM pg_proc WHERE pronamespace = CAST('public' AS regnamespace)"

    assert {*world.list(views)} == {name for name in owners() if metadata.tables[name].info.get("is_view")}
    assert {*world.list(functions)} == {*function_owners()}


def test_whatever_is_not_plain_has_a_comment() -> None:
    tables = [metadata.tables[name] for name in owners()]

    assert [table.name for table in tables if not table.comment] == []
    assert {*metadata.tables} == {table.name for table in tables}
    assert [
        f"{table.name}.{column.name}"
        for table in tables
        for column in table.columns
        if not column.comment and column.name not in PLAIN and not column.name.endswith("_at")
    ] == []


def _parts(connection: Connection, schema: str) -> set[str]:
    return {
        part.replace(f"{schema}.", "").replace("public.", "")
        for part in connection.scalars(text(PARTS), {"schema": schema})
    }
