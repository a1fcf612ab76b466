"""`rollcall reports`: what is printed, what is refused; as a process, its pipes and its terminal."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable

import jsonschema
import pytest
from typer.testing import Result

from config.errors import NotFound
from config.settings import load_settings
from tasks.reports import HISTORY, Tab
from tests.commands.console import invoke
from tests.reports.reading import lines, sheet
from tests.world import World
from workers.schemas import FOLDER

Reports = Callable[..., Result]

#: The command as a process.
TRAINING = [sys.executable, "-m", "workers.cli", "reports", "training", "-o", "acme"]


@pytest.fixture
def environment(world: World) -> dict[str, str]:
    """What the command needs to work on the world's database."""
    kept = {name: text for name, text in os.environ.items() if name not in {"REDIS_URL", "SMTP_URL"}}
    return kept | {"DATABASE_URL": world.runtime.endpoints.database_url, "ROLLCALL_HOME": str(world.runtime.home)}


@pytest.fixture
def reports(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Reports:
    """Run `rollcall reports` in this process."""
    for name in ("REDIS_URL", "SMTP_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("DATABASE_URL", "ROLLCALL_HOME"):
        monkeypatch.setenv(name, environment[name])
    load_settings.cache_clear()
    return lambda *words: invoke("reports", *words)


@pytest.fixture
def story(world: World) -> World:
    """A course for everyone; one learner started it, one left."""
    world.has_learners("A", "B", "C")
    world.has_course("safety", "everyone", title="Safety")
    world.starts("A", "safety")
    world.becomes("inactive", "C")
    return world


def test_r29_a_report_is_printed_and_nothing_else(story: World, reports: Reports) -> None:
    active = reports("training", "-o", "acme")
    archived = reports("training", "-o", "acme", "--tab", "archived", "--json")
    history = reports("history", "-o", "acme", "--format", "jsonl")

    assert [(run.exit_code, run.stderr) for run in (active, archived, history)] == [(0, "")] * 3
    assert active.stdout.count("\n") == 1 + len(sheet(story, Tab.ACTIVE)) == 3
    assert [json.loads(line) for line in archived.stdout.splitlines()] == lines(story, Tab.ARCHIVED) != []
    assert [json.loads(line) for line in history.stdout.splitlines()] == lines(story, Tab.ARCHIVED, HISTORY) != []


def test_r29_the_summary_is_a_table_for_people_and_one_document_for_programs(story: World, reports: Reports) -> None:
    table = reports("summary", "-o", "acme").stdout.splitlines()
    document = json.loads(reports("summary", "-o", "acme", "--course", "safety", "--json").stdout)

    jsonschema.validate(document, json.loads((FOLDER / "commands" / "reports-summary.json").read_text()))
    assert document == [
        {"course": "safety", "title": "Safety", "enrolled": 2, "started": 1, "completed": 0, "not_started": 1,
         "withdrawn": 0}
    ]  # fmt: skip
    assert [line.split() for line in table] == [
        ["course", "title", "enrolled", "started", "completed", "not", "started", "withdrawn"],
        ["safety", "Safety", "2", "1", "0", "1", "0"],
    ]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["training", "-o", "nobody"], "There is no organisation 'nobody'."),
        (["history", "-o", "nobody"], "There is no organisation 'nobody'."),
        (["summary", "-o", "nobody"], "There is no organisation 'nobody'."),
        (["summary", "-o", "acme", "--course", "x"], "There is no course 'x' in the organisation 'acme'."),
    ],
)
def test_what_is_not_known_is_refused(story: World, reports: Reports, words: list[str], line: str) -> None:
    run = reports(*words)

    assert isinstance(run.exception, NotFound)
    assert (str(run.exception), run.stdout) == (line, "")


def test_a_reader_who_has_had_enough_is_no_error(story: World, environment: dict[str, str]) -> None:
    story.execute(
        """
        INSERT INTO learners (organisation, learner, id, standing, version)
        SELECT organisation, 10 + n, 'L' || n, 'active', 1 FROM organisations, generate_series(1, 5000) AS n
        """
    )
    story.execute(
        """
        INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at)
        SELECT organisation, course, 2, learner, false, 1, now() FROM courses JOIN learners USING (organisation)
        """
    )
    with subprocess.Popen(TRAINING, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()

    assert first.startswith(b"organisation,learner,")
    assert (process.returncode, said) == (0, b"")


def test_a_person_who_waits_sees_how_much_was_written(story: World, environment: dict[str, str]) -> None:
    screen, terminal = pty.openpty()
    os.set_blocking(screen, False)
    try:
        printed = subprocess.run(
            TRAINING, env=environment | {"TERM": "xterm"}, stdout=subprocess.PIPE, stderr=terminal, check=True
        ).stdout
        seen = os.read(screen, 65_536)
    finally:
        os.close(terminal)
        os.close(screen)

    assert b"bytes" in seen
    assert printed.count(b"\n") == 3
    assert b"\x1b" not in printed
