"""What people wrote is printed so that it can be seen, and does not steer a terminal; what is no text is refused."""

import ast
import json
import os
import pty
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest

from tests.commands.console import Rollcall, rollcall
from tests.sources import files, nodes_of, walk
from tests.world import World
from workers import cli
from workers.console import visible, visible_rows

__all__ = ["rollcall"]

#: A title of the window, red, a C1 control, a mark that turns what follows around, and a line that looks like ours.
EVIL = "Eve\x1b]0;owned\x07\x1b[31m\x9b2J\u202egro\u2066\u200b\nL9 active\r\x08\u2028x"


@cache
def bad() -> set[str]:
    """Every character that acts on a terminal or hides; the joiners that scripts are written with do not."""
    return {
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and chr(code) not in "\t\u200c\u200d"
    }


def test_what_cannot_be_seen_is_written_out() -> None:
    assert {one for one in bad() if visible(one) == one} == set()
    assert visible("a\x1b[31m\u202e\n\x9b") == r"a\x1b[31m\u202e\n\x9b"
    assert visible("Łukasz O’Neil, 李雷, می‌خواهم, 👩‍🎓\tÅ") == "Łukasz O’Neil, 李雷, می‌خواهم, 👩‍🎓\tÅ"


def test_no_message_of_ours_has_a_line_end_in_it_which_would_be_written_out() -> None:
    printers = {"print", "Text", "Refused", "BadParameter", "ConfigurationError", "EmbeddedError", "NotAllowed"}
    found, looked_at = [], 0
    for file in files("workers", "config"):
        for call in nodes_of(file):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", "")) in printers:
                said = [one.value for one in walk(call) if isinstance(one, ast.Constant)]
                looked_at += bool(said)
                found += [f"{file}:{call.lineno}" for one in said if isinstance(one, str) and "\n" in one]

    assert found == []
    assert looked_at > 100


@pytest.fixture
def hostile(world: World) -> World:
    """An organisation in which everything has such a name."""
    world.has_learners("L1", first_name=EVIL, last_name=EVIL, username=EVIL)
    world.has_segment("S1", "L1")
    world.has_course("C1", "everyone")
    world.execute("UPDATE courses SET title = :evil, id = :evil", evil=EVIL)
    world.execute("UPDATE segments SET name = :evil, id = :evil", evil=EVIL)
    world.announces("news")
    world.settle()
    world.execute("UPDATE mailings SET subject = :evil WHERE id = 'news'", evil=EVIL)
    world.say("course.started", learner="nobody", course=EVIL)
    return world


def test_nothing_that_people_wrote_steers_the_terminal(hostile: World, rollcall: Rollcall) -> None:
    for command in (
        "learners show L1 -o acme",
        "announcements list -o acme",
        "announcements show news -o acme --history",
        "reports summary -o acme",
        "events quarantined",
        "seats show -o acme",
        "status",
        "webhooks list -o acme",
    ):
        result = rollcall(*command.split())

        assert result.exit_code == 0, result.output
        assert [one for one in result.output if one in bad() and one != "\n"] == []
        assert not any(line.lstrip().startswith("L9 active") for line in result.output.splitlines())


def test_json_says_what_is_there(hostile: World, rollcall: Rollcall) -> None:
    shown = json.loads(rollcall("learners", "show", "L1", "-o", "acme", "--json").stdout)

    assert shown["first_name"] == EVIL


@contextmanager
def terminal() -> Iterator[tuple[int, list[bytes]]]:
    """A terminal, and what is printed there."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # the last who had it open has closed it
            while octets := os.read(ours, 65536):
                shown.append(octets)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield theirs, shown
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)


@pytest.mark.parametrize(
    "words",
    [
        "reports training -o acme",
        "announcements recipients news -o acme",
        "suppressions list -o acme",
        "learners show L1 -o acme --json",
    ],
)
def test_an_export_is_raw_in_a_file_and_cannot_steer_a_terminal(
    hostile: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    hostile.execute("UPDATE deliveries SET reply = :evil", evil=EVIL)
    assert rollcall("suppressions", "add", "a@example.org", "-o", "acme", "--why", EVIL).exit_code == 0
    raw = rollcall(*words.split()).stdout_bytes.decode()
    with terminal() as (screen, shown), os.fdopen(screen, "w", closefd=False) as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        cli.app(words.split(), standalone_mode=False)

    assert EVIL in raw or json.loads(raw)["first_name"] == EVIL
    text = b"".join(shown).decode().replace("\r\n", "\n")
    assert "Eve" in text
    assert [one for one in text if one in bad() and one != "\n"] == []


def test_rows_end_where_they_did_and_a_block_may_end_within_a_character() -> None:
    rows = "Łukasz,\x1b[31m\r\nLi 李,\x9b\r\n".encode()

    found = b"".join(visible_rows(rows[at : at + 1] for at in range(len(rows))))

    assert found.decode() == "Łukasz,\\x1b[31m\nLi 李,\\x9b\n"


def test_a_refusal_is_one_line_whatever_it_quotes(
    rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["rollcall", "templates", "render", "enrolment", "-o", EVIL])
    with pytest.raises(SystemExit):
        cli.main()

    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert [one for one in said if one in bad() and one != "\n"] == []


def run(*words: str | bytes, **env: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command with words that may be any bytes."""
    command = [sys.executable, "-m", "workers.cli", *words]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, timeout=60, check=False)


@pytest.mark.serves
@pytest.mark.parametrize(
    "words",
    [
        ["learners", "show", b"L\xe9a", "-o", "acme"],
        ["learners", "show", "L1", "-o", b"\xff"],
        ["suppressions", "add", b"a\x80@example.org", "-o", "acme", "--why", "x"],
        ["events", "discard", "1", b"--why=\xc3"],
        [b"\xfe"],
        ["learners", "import", b"no-such-\xe9.csv", "-o", "acme"],
    ],
)
def test_words_that_are_not_utf8_are_refused_in_one_line(words: list[str | bytes], tmp_path: Path) -> None:
    done = run(*words, ROLLCALL_HOME=str(tmp_path / "home"))

    assert done.returncode == 2
    assert done.stderr.decode().count("\n") == 1
    assert "is not in UTF-8" in done.stderr.decode()
    assert not (tmp_path / "home").exists()


@pytest.mark.serves
def test_a_setting_that_is_not_utf8_is_refused_in_one_line() -> None:
    command = [sys.executable, "-m", "workers.cli", "status"]
    env = {**os.environb, b"REDIS_URL": b"redis://:\xe9\xff@localhost/0"}
    done = subprocess.run(command, env=env, capture_output=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (1, b"REDIS_URL: is not in UTF-8\n")


def test_a_terminal_in_another_character_set_gets_what_it_has(world: World, tmp_path: Path) -> None:
    world.has_learners("L1", first_name="Łukasz")
    found = world.runtime.endpoints
    env = {"DATABASE_URL": found.database_url, "REDIS_URL": found.redis_url, "ROLLCALL_HOME": str(tmp_path)}
    latin1 = {**env, "PYTHONIOENCODING": "iso-8859-1", "PYTHONUTF8": "0"}

    shown = run("learners", "show", "L1", "-o", "acme", "--json", **latin1)
    status = run("status", **latin1)

    assert (shown.returncode, json.loads(shown.stdout.decode())["first_name"]) == (0, "Łukasz")
    assert (status.returncode, status.stderr) == (0, b"")
    assert run("learners", "show", "L1", "-o", "acme", **latin1).returncode == 0


def test_who_has_no_name_on_this_machine_decides_as_a_number(
    world: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_012)  # of no user
    world.has_learners("L1")
    world.say("course.started", learner="nobody", course="C", id_="q1")

    assert rollcall("suppressions", "add", "a@b.example", "-o", "acme", "--why", "x").exit_code == 0
    assert rollcall("suppressions", "remove", "a@b.example", "-o", "acme").exit_code == 0
    assert (
        rollcall("announcements", "create", "-o", "acme", "--everyone", "--subject", "x", "--body", "x").exit_code == 0
    )
    assert rollcall("events", "discard", "q1", "--why", "x").exit_code == 0
    assert world.ask("SELECT resolved_by FROM inbox WHERE id = 'q1'") == "uid 4000012"


def test_an_event_can_be_decided_on_by_the_number_it_is_listed_under(world: World, rollcall: Rollcall) -> None:
    world.say("course.started", learner="nobody", course="C", id_="q1")
    world.say("course.started", learner="nobody", course="C", id_="q2")
    first, second = (line.split()[0] for line in rollcall("events", "quarantined").stdout.splitlines() if ". q" in line)

    assert first.endswith(".")
    assert rollcall("events", "discard", first, "--why", "x").exit_code == 0
    assert rollcall("events", "discard", second.removesuffix("."), "--why", "x").exit_code == 0
    assert world.quarantine() == {}


def test_an_id_that_was_decided_on_is_no_number(world: World, rollcall: Rollcall) -> None:
    world.say("course.started", learner="nobody", course="C", id_="q1")
    number = str(world.ask("SELECT seq FROM inbox WHERE id = 'q1'"))
    world.say("course.started", learner="nobody", course="C", id_=number)

    assert rollcall("events", "discard", number, "--why", "x").exit_code == 0
    assert rollcall("events", "discard", number, "--why", "x").exit_code == 1
    assert set(world.quarantine()) == {"q1"}
