"""A table is written by one capability: that which declares it in its `tables.py`."""

from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from tests.architecture.declared import CAPABILITIES, function_owners, owners
from tests.architecture.test_imports import ORDER
from tests.architecture.writes import Write, capability_of, tables_written, temporary_tables, writes_of
from tests.sources import ROOT
from tests.world import World


@cache
def every() -> list[Write]:
    """Every write of ours."""
    return [*writes_of()]


def breaches(writes: list[Write], temporary: dict[str, str]) -> set[tuple[str, str]]:
    """Who writes a table without owning it."""
    owned = owners() | temporary
    return {
        (capability_of(write.module), write.table)
        for write in writes
        if owned.get(write.table) != capability_of(write.module)
    }


def test_a_table_is_written_by_the_capability_that_owns_it() -> None:
    writes = every()

    assert {write.table for write in writes} >= {*owners()} - {"access", "linked"}  # views
    assert breaches(writes, temporary_tables()) == set(), "call a function of the owner, or use its fragment"


def test_a_function_of_the_database_writes_what_its_owner_owns(world: World) -> None:
    functions = world.rows("SELECT proname, prosrc FROM pg_proc WHERE pronamespace = CAST('public' AS regnamespace)")
    written = [(function_owners()[name], table) for name, source in functions for table in tables_written(source)]

    assert ("learners", "descriptions") in written
    between_partitions = (None, "%")  # make_partition moves rows of a table to where they belong in it
    assert [pair for pair in written if pair != between_partitions and owners()[pair[1]] != pair[0]] == []
    assert written.count(between_partitions) == 2


@pytest.mark.parametrize(
    ("code", "tables"),
    [
        ("INSERT INTO work (organisation) VALUES (1)", ["work"]),
        ("WITH x AS (UPDATE work w SET a = 1 RETURNING 1) DELETE FROM public.outbox USING x", ["work", "outbox"]),
        ("MERGE INTO work USING y ON true WHEN MATCHED THEN UPDATE SET a = 1", ["work"]),
        ("TRUNCATE TABLE work", ["work"]),
        ("COPY work (a, b) FROM STDIN", ["work"]),
        ("COPY (SELECT 1) TO STDOUT", []),
        ("INSERT INTO {} SELECT 1", ["{}"]),
        ("UPDATE ", ["?"]),
        ("INSERT INTO work DEFAULT VALUES ON CONFLICT DO UPDATE SET a = 1", ["work"]),
        ("SELECT 1 FROM work FOR UPDATE SKIP LOCKED", []),
        ("SELECT 1 FROM work FOR NO KEY UPDATE", []),
        ("SELECT 1 FROM work w FOR UPDATE OF w", []),
    ],
)
def test_a_write_is_found(code: str, tables: list[str]) -> None:
    assert tables_written(code) == tables


@pytest.mark.parametrize(
    "code",
    [
        '"""Docs."""\nx = f"INSERT INTO {table} VALUES"',
        'x = "DELETE FROM outbox"',
        "x = insert(tables.outbox)",
        "x = outbox.delete()",
        'x = "a" + """UPDATE\n outbox o SET a = 1"""',
    ],
)
def test_a_breach_is_found(code: str, tmp_path: Path) -> None:
    (tmp_path / "tasks" / "seats").mkdir(parents=True)
    (tmp_path / "tasks" / "seats" / "store.py").write_text(code, encoding="utf-8")

    assert len(breaches([*writes_of(tmp_path)], {})) == 1


def test_a_breach_in_a_file_of_sql_is_found(tmp_path: Path) -> None:
    (tmp_path / "tasks" / "seats" / "sql").mkdir(parents=True)
    (tmp_path / "tasks" / "seats" / "sql" / "charge.sql").write_text("insert into outbox values (1)", encoding="utf-8")

    assert breaches([*writes_of(tmp_path)], {}) == {("seats", "outbox")}


def test_the_documents_say_who_owns_what() -> None:
    owned: dict[str, list[str]] = {}
    for table, capability in owners().items():
        owned.setdefault(capability, []).append(f"`{table}`")
    parts = [part for part in ORDER if part in CAPABILITIES]
    rows = [
        f"| `{part}` | {(import_module(f'tasks.{part}').__doc__ or '').partition(chr(10))[0].rstrip('.')} |"
        f" {', '.join(sorted(owned.get(part, [])))} |"
        for part in parts
    ]

    assert "\n".join(rows) in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), "\n".join(rows)
