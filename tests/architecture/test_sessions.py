"""No transaction leaves anything in a session, or relies on what another one left: through a pooler it is shared."""

import ast
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.sources import ROOT, files, nodes_of, text_of, walk

#: What a statement has that is about a session, and not about a transaction.
OF_SESSIONS = re.compile(
    r"\A\s*(?:SET\s+(?!LOCAL\b|TRANSACTION\b)|RESET\b|LISTEN\b|UNLISTEN\b|DISCARD\b|PREPARE\b|DEALLOCATE\b)"
    r"|\bset_config\([^()]*(?:\([^()]*\)[^()]*)*,\s*false\s*\)|\bpg_(?:try_)?advisory_(?:un)?lock(?!_xact)\w*"
    r"|\bCREATE\s+(?:LOCAL\s+)?TEMP|\bCURSOR\b[^;]*\bWITH\s+HOLD\b"
)

#: Who has a session of its own, and which way.
ALONE = {
    "config/engine.py": "tells the schema to a session past the pooler alone",
    "migrations/__init__.py": "migrates by session_engine",
    "tasks/cells/store.py": "is given a connection of session_engine by the mover",
    "tasks/imports/actors.py": "locks by session_engine",
    "tasks/imports/judging.py": "is given a connection of session_engine by the intake",
    "workers/relay/leader.py": "leads by a connection to DATABASE_URL",
    "workers/webhooks.py": "hears by a connection to DATABASE_URL",
}


def texts(nodes: Sequence[ast.AST]) -> list[str]:
    """What a module says in strings, but for what its docstrings do."""
    prose = {node.value for node in nodes if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose
    ]


def about_sessions() -> set[str]:
    """The files with a statement about a session; a revision is applied in one of its own."""
    modules = [path for path in files("config", "tasks", "workers", "migrations") if path.parent.name != "versions"]
    said = {path: texts(nodes_of(path)) for path in modules}
    said |= {path: [text_of(path)] for path in (ROOT / "tasks").rglob("*.sql")}
    return {
        str(path.relative_to(ROOT)) for path, found in said.items() if any(OF_SESSIONS.search(text) for text in found)
    }


def test_r31_what_goes_through_a_pooler_says_nothing_about_its_session() -> None:
    assert about_sessions() == ALONE.keys()


@pytest.mark.parametrize(
    "file", ["migrations/__init__.py", "tasks/imports/actors.py", "tasks/imports/intake.py", "workers/moving.py"]
)
def test_r31_what_needs_a_session_has_no_connection_of_the_pooled_engine(file: str) -> None:
    source = (ROOT / file).read_text(encoding="utf-8")

    assert "session_engine(" in source
    assert not re.search(r"(?<!session_)(?<!session_engine\()\bengine\.(connect|raw_connection)\(", source)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SET search_path TO x", True),
        ("SET LOCAL lock_timeout = 1", False),
        ("UPDATE learners SET name = 'x'", False),
        ("SELECT set_config('role', people(), false)", True),
        ("SELECT set_config('role', people(), true), false", False),
        ("SELECT pg_try_advisory_lock(1)", True),
        ("SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)", False),
        ("LISTEN news", True),
        ("SELECT pg_notify('news', '')", False),
        ("CREATE TEMP TABLE x ()", True),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT", True),
        ("\n    PREPARE asked AS SELECT", True),
    ],
)
def test_a_statement_about_a_session_is_known(statement: str, found: bool) -> None:
    assert bool(OF_SESSIONS.search(statement)) is found


def test_prose_is_no_statement() -> None:
    assert texts(walk(ast.parse('"""SET x"""\nA = f"LISTEN {A}"\n'))) == ["LISTEN "]


#: What lists the sessions of the whole server, those of other tests too; and what says whose are meant.
ALL_SESSIONS, MEANT = re.compile(r"FROM pg_(locks|stat_activity)\b"), re.compile(r"datname|pg_backend_pid\(\)|_ITS")


def of_other_tests(source: Path) -> list[str]:
    """What a file of the tests asks about sessions, and not of its own database."""
    return [text for text in texts(nodes_of(source)) if ALL_SESSIONS.search(text) and not MEANT.search(text)]


def test_no_test_takes_the_sessions_of_another_for_its_own() -> None:
    asking = [path for path in files("tests") if path != Path(__file__) and ALL_SESSIONS.search(text_of(path))]

    assert {str(path.relative_to(ROOT)) for path in asking if of_other_tests(path)} == {
        "tests/chaos/test_hosts.py",  # has its server for itself
        "tests/workers/test_killers.py",  # asks for two kinds, of which one names the database
    }
