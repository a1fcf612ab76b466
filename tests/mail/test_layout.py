"""How mail is laid out: which part knows which, and what decides needs no server."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks
import workers
from tests.sources import files, nodes_of

_TASKS, _WORKERS = (Path(package.__path__[0]) for package in (tasks, workers))

#: Parts, and those that they may import; what stands directly in `tasks/mail` and decides is for all.
KNOWS = {"sending": {"sending"}, "ledger": {"ledger"}, "composing": {"composing", "ledger", "sending"}}

#: Modules that decide, and what none of them imports.
PURE = [
    "tasks.mail.rules", "tasks.mail.addresses", "tasks.mail.sending.answers", "tasks.mail.sending.pace",
    "tasks.mail.sending.slots", "tasks.mail.sending.standstill", "tasks.mail.ledger.server_logs",
]  # fmt: skip
SERVERS = {"aiosmtplib", "psycopg", "redis", "sqlalchemy", "uvloop"}


def _imports(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in files(folder.name, root=folder.parent):
        for node in nodes_of(path):
            if isinstance(node, ast.ImportFrom) and node.module:
                yield path, node.module
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)


@pytest.mark.parametrize("part", KNOWS)
def test_a_part_knows_only_those_it_stands_on(part: str) -> None:
    found = {
        module.split(".")[2]
        for _, module in _imports(_TASKS / "mail" / part)
        if module.startswith("tasks.mail.") and module.split(".")[2] in {*KNOWS, "actors", "delivery"}
    }

    assert found <= KNOWS[part]
    assert part in found


def test_nobody_reaches_past_what_mail_offers() -> None:
    deep = {
        (path.name, module)
        for folder in (_TASKS, _WORKERS)
        for path, module in _imports(folder)
        if _TASKS / "mail" not in path.parents
        and module.startswith(("tasks.mail.ledger", "tasks.mail.composing", "tasks.mail.sending", "tasks.mail.rules"))
    }

    assert deep == set()


@pytest.mark.serves
@pytest.mark.parametrize("module", PURE)
def test_what_decides_imports_no_server(module: str) -> None:
    program = f"import json, sys, {module}; json.dump(sorted(sys.modules), sys.stdout)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert SERVERS.isdisjoint(json.loads(done.stdout))


@pytest.mark.parametrize("facade", ["", *KNOWS])
def test_no_facade_offers_what_has_the_name_of_a_module_beside_it(facade: str) -> None:
    """What was imported first would decide which of both it is."""
    path = _TASKS / "mail" / facade / "__init__.py"
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    offered = {alias.asname or alias.name for node in nodes for alias in node.names}

    assert offered.isdisjoint({beside.stem for beside in path.parent.iterdir()})
