"""`rollcall demo` as a person runs it: before `rollcall up`, while it runs, and once somebody else has worked there."""

import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.deployment import until
from tests.workers.test_up import Machine

pytestmark = [pytest.mark.serves, pytest.mark.slow]

LINK = re.compile(r"once, and within half an hour: (http://\S+)")

#: Somebody gives another course to everyone, who are told.
FOR_EVERYONE = """
{"specversion":"1.0","id":"1","source":"urn:somebody","type":"platform.course.saved","time":"2026-11-27T12:00:00Z",
"organisation":"aurora","data":{"course":"privacy","title":"Privacy","cost":0,"on_hold":false,"method":"everyone"}}
""".replace("\n", "")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which nothing of Rollcall has run."""
    return Machine(tmp_path / ".rollcall")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What `rollcall up` says."""
    return tmp_path / "log"


def demo(machine: Machine) -> str:
    """What the demo prints, which ends well."""
    machine.patience = 300.0
    done = machine.command("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def said(machine: Machine) -> str:
    """What it prints where nothing runs yet."""
    return demo(machine)


@pytest.fixture
def up(machine: Machine, said: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`rollcall up`, as the demo told to start it."""
    assert "1. start every process, and let it run: " in said
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "up"], env=machine.env, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        until(lambda: LINK.search(log.read_text()) is not None, "a link for the person at this machine", 120)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def opens(text: str) -> str:
    """The page that the link in a text leads to."""
    link = LINK.search(text)
    assert link is not None, text
    with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(link[1]) as page:
        return f"{page.url} {page.read().decode()}"


def test_each_link_opens_and_work_of_others_is_not_called_a_bug(
    machine: Machine, said: str, up: "subprocess.Popen[bytes]", log: Path
) -> None:
    assert "✗" not in said
    assert "/console" in opens(said), "that of the demo before, though `up` has printed one since"
    assert "with the role operator" in opens(log.read_text())

    running = machine.services["pids"]
    assert "✗" not in (again := demo(machine))
    assert "start every process" not in again
    assert "/console" in opens(again)
    assert machine.services["pids"] == running, "it used the processes that run"

    (machine.home / "more.jsonl").write_text(FOR_EVERYONE)
    machine.asks("events", "publish", str(machine.home / "more.jsonl"))
    machine.asks("wait")
    after = demo(machine)
    assert "≠" in after
    assert "bug" not in after
    assert "the demo alone" in after
    assert up.poll() is None
