"""A command imports what it uses: to import all that Rollcall runs on takes longer than most commands themselves."""

import ast
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import tasks
from config.services import write_private
from tests.world import World

#: What nothing of the commands below needs: to send or render mail, to serve pages, to run processes, to start servers,
#: to read files of learners, to take events, to sign.
UNUSED = {
    "aiosmtplib", "aiosmtpd", "alembic", "argon2", "chardetng_py", "config.embedded", "config.signing", "dramatiq",
    "idna", "jinja2", "markdown_it", "mrml", "nh3", "prometheus_client", "psutil", "starlette", "uvicorn", "uvloop",
    "tasks.imports.intake", "tasks.intake.batch", "tasks.intake.handlers", "tasks.intake.following",
    "tasks.mail.composing.envelopes", "tasks.mail.composing.templates", "workers.relay", "workers.supervisor",
}  # fmt: skip

#: Runs commands one after another in one process, and says after each what is imported by then.
PROGRAM = """
import contextlib, io, json, sys
from workers import cli
imported = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["rollcall", *words.split()]
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.suppress(SystemExit):
        cli.main()
    imported.append(sorted(sys.modules))
json.dump(imported, sys.stdout)
"""

#: Those that need no Redis come first.
COMMANDS = [
    "events quarantined --json",
    "learners show A -o acme",
    "learners show nobody -o acme",
    "seats show -o acme --json",
    "announcements list -o acme --json",
    "webhooks list --json",
    "status --json",
]


def test_a_command_imports_what_it_uses_and_no_more(world: World, tmp_path: Path) -> None:
    world.has_learners("A")
    world.announces("news")
    write_private(tmp_path / "home" / "identity.json", json.dumps({"secret_key": "only for tests"}))
    found = world.runtime.endpoints
    env = {"DATABASE_URL": found.database_url, "REDIS_URL": found.redis_url, "ROLLCALL_HOME": str(tmp_path / "home")}

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(COMMANDS)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert done.stderr == "There is no learner 'nobody' in the organisation 'acme'.\n"
    imported = dict(zip(COMMANDS, map(set, json.loads(done.stdout)), strict=True))
    assert {words: names & UNUSED for words, names in imported.items() if names & UNUSED} == {}
    assert ["redis" in imported[words] for words in (COMMANDS[-2], COMMANDS[-1])] == [False, True]
    assert "tasks.learners.store" in imported["learners show A -o acme"]


def test_what_a_capability_offers_is_there_and_is_called_as_no_module_of_it() -> None:
    offered = 0
    for file in sorted(Path(tasks.__path__[0]).glob("*/__init__.py")):
        source = file.read_text(encoding="utf-8")
        capability = import_module(f"tasks.{file.parent.name}")
        names = {alias.asname or alias.name for node in _lazily_imported(source) for alias in node.names}
        offered += len(names)

        assert [name for name in names if (file.parent / f"{name}.py").exists()] == []
        assert all(getattr(capability, name) is not None for name in names)
    assert offered > 100


def _lazily_imported(source: str) -> list[ast.ImportFrom]:
    """What stands below `if TYPE_CHECKING`."""
    blocks = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    return [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
