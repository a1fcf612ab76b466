"""Help and completion come from the outline of the commands: it is theirs, and nothing else is imported."""

import io
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout, suppress
from importlib.metadata import version
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from workers import cli, outline

#: What commands run on; none of it is needed to say what there is.
HEAVY = {"sqlalchemy", "psycopg", "redis", "dramatiq", "starlette", "alembic", "jinja2",
         "aiosmtplib", "cryptography", "structlog", "msgspec", "tasks", "migrations", "config"}  # fmt: skip

#: Runs the console script, and says on stderr what it imported.
WATCHED = """
import atexit, sys
from workers import cli
atexit.register(lambda: sys.stderr.write("IMPORTED " + " ".join({name.partition(".")[0] for name in sys.modules})))
cli.main()
"""


def rollcall(*words: str, **env: str) -> tuple["subprocess.CompletedProcess[str]", set[str]]:
    """Run a command; what it printed, and which packages it imported."""
    command = [sys.executable, "-c", WATCHED, *words]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False)
    return done, set(done.stderr.rpartition("IMPORTED ")[2].split())


def every_command(group: Any, *words: str) -> Iterator[tuple[str, ...]]:
    yield words
    for name, one in getattr(group, "commands", {}).items():
        yield from every_command(one, *words, name)


def help_of(command: Any, words: Iterable[str]) -> str:
    with redirect_stdout(io.StringIO()) as printed, suppress(SystemExit):
        command.main([*words, "--help"], prog_name="rollcall")
    return printed.getvalue()


def test_the_outline_is_that_of_the_commands() -> None:
    whole, light = cli.whole(), outline.app_of(outline.read(), lambda: None, **cli.OPTIONS)

    assert outline.FILE.read_text(encoding="utf-8") == outline.text(whole), "run make schemas"
    ours, theirs = (
        typer.main.get_command(light),
        typer.main.get_command(whole),
    )  # made once: it takes long
    for words in every_command(theirs):
        assert help_of(ours, words) == help_of(theirs, words)
        assert "Usage: rollcall" in help_of(ours, words)


def test_help_reads_as_that_of_the_commands(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["seats", "-h"], ["announcements", "create", "--help"], ["run", "pool", "--help"]):
        monkeypatch.setattr("sys.argv", ["rollcall", *words])
        with suppress(SystemExit):
            cli.main()
        whole = CliRunner().invoke(cli.whole(), words, prog_name="rollcall").stdout
        assert capfd.readouterr().out.split() == whole.split()


@pytest.mark.serves
def test_the_version_is_that_of_the_package_and_imports_nothing_that_commands_run_on() -> None:
    done, imported = rollcall("--version")

    assert done.stdout == f"rollcall {version('rollcall')}\n"
    assert done.returncode == 0
    assert imported & HEAVY == set()


@pytest.mark.serves
@pytest.mark.parametrize("words", [["--help"], ["seats"], ["seats", "show", "--help"], ["run", "pool", "-h"], ["nope"]])
def test_help_imports_nothing_that_commands_run_on(words: list[str]) -> None:
    done, imported = rollcall(*words)

    assert "Usage: " in done.stdout + done.stderr
    assert "typer" in imported
    assert imported & HEAVY == set()


@pytest.mark.serves
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rollcall se", {"seats"}),
        ("rollcall seats sh", {"show"}),
        ("rollcall reports training --tab a", {"active", "archived"}),
    ],
)
def test_completion_imports_nothing_that_commands_run_on(line: str, offered: set[str]) -> None:
    words = {"_ROLLCALL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    code = WATCHED.replace("cli.main()", "sys.argv[0] = 'rollcall'; cli.main()")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert set(done.stdout.split()) == offered
    assert set(done.stderr.rpartition("IMPORTED ")[2].split()) & HEAVY == set()


@pytest.mark.serves
def test_a_value_that_reads_like_a_question_for_help_is_a_value() -> None:
    done, imported = rollcall("suppressions", "add", "a@example.org", "--why", "--help", "-o")

    assert done.returncode == 2
    assert "requires an argument" in done.stderr
    assert "sqlalchemy" not in imported
