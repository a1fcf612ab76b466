"""Who writes which table: read from the SQL in the sources, wherever it stands, and from what is built with Core."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.architecture.declared import owners
from tests.sources import ROOT, nodes_of, text_of

_NAME = r'(?:ONLY\s+)?(?:"?\w+"?\.)?"?(?P<name>\w+|\{[^}]*\}?|%\(?|$)'

#: What writes a table. `FOR UPDATE` locks, `DO UPDATE` belongs to an INSERT that was seen, COPY (…) TO reads.
_WRITES = re.compile(
    rf"""
    (?: \bINSERT\s+INTO | \bDELETE\s+FROM | \bMERGE\s+INTO | \bTRUNCATE(?:\s+TABLE)?
      | (?<!\bFOR\ )(?<!\bKEY\ )(?<!\bDO\ )(?<!\bOR\ )\bUPDATE(?!\s+OF\b)(?!\s*(?:,|\)|\d|OR\b|SKIP\b|NOWAIT\b|SET\b)) )
    \s+ {_NAME}
    | \bCOPY\s+(?P<copied>\w+)\s*(?:\([^)]*\)\s*)?FROM\b
    """,
    re.VERBOSE,
)

_TEMPORARY = re.compile(r"\bCREATE\s+TEMP(?:ORARY)?\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)")

#: Functions and methods of SQLAlchemy that build what writes.
_BUILDERS = {"insert", "update", "delete"}


class Write(NamedTuple):
    """A place that writes a table, as the source names it."""

    module: str
    line: int
    table: str


def writes_of(root: Path = ROOT) -> Iterator[Write]:
    """Every write in the sources of a checkout, but for tables that the same capability makes for its session."""
    files = [file for room in ("config", "tasks", "workers") for file in (root / room).rglob("*.*")]
    for file in sorted(file for file in files if file.suffix in {".py", ".sql"}):
        place = ".".join(file.relative_to(root).with_suffix("").parts)
        in_sql = [(1, table) for table in tables_written(text_of(file).upper())] if file.suffix == ".sql" else []
        found = _in_python(nodes_of(file)) if file.suffix == ".py" else in_sql
        yield from (Write(place, line, table.lower()) for line, table in found)


def temporary_tables(root: Path = ROOT) -> dict[str, str]:
    """Tables made for one session, and the capability that makes them."""
    return {
        name: capability_of(".".join(file.relative_to(root).with_suffix("").parts))
        for file in (root / "tasks").rglob("*.py")
        for name in _TEMPORARY.findall(text_of(file))
    }


def capability_of(module: str) -> str:
    """The capability that a module is part of; the module itself where it is part of none."""
    parts = module.split(".")
    return parts[1] if parts[0] == "tasks" and len(parts) > 2 else module


def tables_written(sql: str) -> list[str]:
    """The tables that a text writes, if it is SQL; what a name stands for that is spliced in is not known."""
    return [found["name"] or found["copied"] or "?" for found in _WRITES.finditer(sql)]


def _in_python(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    passed_over: set[ast.AST] = set()  # docstrings, and parts of what is looked at as a whole
    for node in nodes:
        if isinstance(node, ast.Expr):
            passed_over.add(node.value)
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, table) for table in _built(node))
        elif isinstance(node, ast.Constant | ast.JoinedStr):
            if node not in passed_over:
                yield from ((node.lineno, table) for table in tables_written(_text(node)))
            passed_over.update(node.values if isinstance(node, ast.JoinedStr) else ())


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(
        part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "{spliced}"
        for part in node.values
    )


def _built(call: ast.Call) -> list[str]:
    """The table of `insert(tables.work)`, or of `tables.work.insert()`."""
    named = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if named not in _BUILDERS:
        return []
    subjects = [call.func.value] if isinstance(call.func, ast.Attribute) else []
    words = {ast.unparse(subject).split(".")[-1] for subject in [*subjects, *call.args[:1]]}
    return sorted(words & owners().keys())
