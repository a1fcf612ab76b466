"""The supervisor: what dies comes back, what is asked to stop drains, and nothing is left behind."""

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.workers.deployment import alive, until
from workers.commands import run
from workers.commands.system import _in_url
from workers.supervisor import PROCFILE, BadProcfile, ProcessKind, Supervisor, read_procfile

pytestmark = pytest.mark.serves

#: Seconds after which a condition counts as never coming true.
DEADLINE = 15.0

#: Runs a Procfile, and prints what its callbacks get, one JSON list a line.
SUPERVISOR = """
import asyncio, json, os, sys
from pathlib import Path
from urllib.parse import urlsplit
from workers.supervisor import Supervisor, read_procfile

def say(*words):
    print(json.dumps(words), flush=True)

async def started(pids):
    say("started", pids)

async def main(procfile, drain, scale):
    roles = read_procfile(Path(procfile), json.loads(scale))
    changed = lambda pids: say("changed", pids)
    return await Supervisor(roles, dict(os.environ), say, on_change=changed, drain_seconds=float(drain)).run(started)

sys.exit(asyncio.run(main(*sys.argv[1:])))
"""

#: Finishes on SIGTERM, after saying so.
OBEDIENT = """
import signal, sys
def drain(*_):
    print("drained")
    sys.exit(0)
signal.signal(signal.SIGTERM, drain)
print("up")
while True:
    signal.pause()
"""

#: Takes no notice of SIGTERM.
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up")
while True:
    signal.pause()
"""

#: Finishes on SIGTERM, and leaves a child that takes no notice of it.
FORGETFUL = """
import os, signal, sys
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("child", os.getpid())
    while True:
        signal.pause()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True:
    signal.pause()
"""


class Supervised:
    """A supervisor in a process of its own, with one role for each program given."""

    def __init__(self, folder: Path, drain_seconds: float = DEADLINE, scale: str = "{}", **programs: str) -> None:
        procfile = folder / "Procfile"
        for name, program in programs.items():
            (folder / f"{name}.py").write_text(program)
        procfile.write_text("".join(f"{name}: '{sys.executable}' '{folder}/{name}.py'\n" for name in programs))
        command = [sys.executable, "-c", SUPERVISOR, str(procfile), str(drain_seconds), scale]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
        self._unread = b""
        self._said: list[list[object]] = []

    def next(self, *words: str) -> object:
        """What follows these words in the next line that begins with them; lines before it are passed over."""
        while (said := self._listen())[: len(words)] != list(words):
            pass
        return said[-1]

    def heard(self, word: str, *names: str) -> None:
        """Wait until each of these processes has said the word, in any order, since the start."""
        while not all([name, word] in self._said for name in names):
            self._listen()

    def _listen(self) -> list[object]:
        assert self.process.stdout
        deadline = time.monotonic() + DEADLINE
        while b"\n" not in self._unread:
            ready = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]
            assert ready, f"nothing more after {self._said}"
            chunk = os.read(self.process.stdout.fileno(), 65_536)
            assert chunk, f"the end after {self._said}"
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        self._said.append(json.loads(line))
        return self._said[-1]

    def pids(self, word: str = "started") -> dict[str, int]:
        """The pids in the next report of that kind."""
        pids = self.next(word)
        assert isinstance(pids, dict)
        return pids

    def end(self, *signals: signal.Signals) -> int:
        """Send it signals, and wait for its exit code."""
        for number in signals:
            self.process.send_signal(number)
        self.process.communicate(timeout=DEADLINE)
        return self.process.returncode


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A directory whose programs do not outlive the test, whatever went wrong in it."""
    yield tmp_path
    for process in psutil.process_iter(["cmdline"]):
        if str(tmp_path) in " ".join(process.info["cmdline"] or []):
            process.kill()


def test_a_process_that_dies_is_started_again(folder: Path) -> None:
    supervised = Supervised(folder, tasks=OBEDIENT, web=OBEDIENT)
    before = supervised.pids()
    os.kill(before["tasks.1"], signal.SIGKILL)
    assert supervised.pids("changed") == {"web.1": before["web.1"]}
    assert supervised.next("rollcall") == "tasks.1 was ended by SIGKILL; starting it again in 0.5 s"
    after = supervised.pids("changed")
    assert after["web.1"] == before["web.1"]
    assert after["tasks.1"] != before["tasks.1"]
    supervised.next("tasks.1", "up")
    assert supervised.end(signal.SIGTERM) == 0


def test_each_death_in_a_row_is_answered_later(folder: Path) -> None:
    supervised = Supervised(folder, tasks="raise SystemExit(3)")
    assert supervised.next("rollcall") == "tasks.1 ended with exit code 3; starting it again in 0.5 s"
    assert supervised.next("rollcall") == "tasks.1 ended with exit code 3; starting it again in 1 s"
    assert supervised.end(signal.SIGTERM) == 0, "stopping does not wait for the next start"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_every_process_and_leaves_none(folder: Path, number: signal.Signals) -> None:
    supervised = Supervised(folder, tasks=OBEDIENT, web=OBEDIENT, scale='{"tasks": 2}')
    pids = supervised.pids()
    assert sorted(pids) == ["tasks.1", "tasks.2", "web.1"]
    supervised.heard("up", *pids)
    supervised.process.send_signal(number)
    supervised.heard("drained", *pids)
    assert supervised.end() == 0
    assert not any(alive(pid) for pid in pids.values())


def test_a_process_that_ignores_sigterm_is_killed_after_the_drain_time(folder: Path) -> None:
    supervised = Supervised(folder, drain_seconds=0.5, tasks=STUBBORN)
    pid = supervised.pids()["tasks.1"]
    supervised.heard("up", "tasks.1")
    began = time.monotonic()
    assert supervised.end(signal.SIGTERM) == 1
    assert time.monotonic() - began >= 0.5
    assert not alive(pid)


def test_a_second_ctrl_c_does_not_wait_for_the_drain_time(folder: Path) -> None:
    supervised = Supervised(folder, drain_seconds=10 * DEADLINE, tasks=STUBBORN)
    pid = supervised.pids()["tasks.1"]
    supervised.heard("up", "tasks.1")
    supervised.process.send_signal(signal.SIGINT)
    supervised.next("rollcall")
    assert supervised.end(signal.SIGINT) == 1
    assert not alive(pid)


def test_what_a_process_forked_does_not_outlive_it(folder: Path) -> None:
    supervised = Supervised(folder, drain_seconds=0.5, tasks=FORGETFUL)
    child = int(str(supervised.next("tasks.1")).split()[1])
    assert supervised.end(signal.SIGTERM) == 1
    until(lambda: not alive(child), "the end of the forked process")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_a_killed_supervisor_takes_its_processes_along(folder: Path) -> None:
    supervised = Supervised(folder, tasks=OBEDIENT)
    pid = supervised.pids()["tasks.1"]
    supervised.heard("up", "tasks.1")
    supervised.end(signal.SIGKILL)
    until(lambda: not alive(pid), "the end of the orphan")


def test_a_procfile_gives_its_roles_in_the_numbers_asked_for(tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    procfile.write_text("# roles\nrelay: rollcall relay\ntasks: rollcall tasks --threads 8\nweb: rollcall web\n")
    assert read_procfile(procfile, {"tasks": 3, "web": 0}) == [
        ProcessKind("relay", "rollcall relay"),
        ProcessKind("tasks", "rollcall tasks --threads 8", 3),
    ]
    assert ProcessKind("tasks", "rollcall tasks").argv == [sys.executable, "-P", "-m", "workers.cli", "tasks"]
    with pytest.raises(ValueError, match="no process called mailer; it has relay, tasks, web"):
        read_procfile(procfile, {"mailer": 1})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"tasks rollcall tasks\n", "line 1: it reads name: command"),
        (b"# roles\n\ntasks: rollcall 'tasks\n", "line 3: it reads name: command"),
        (b"tasks: a: b  # c\n", None),
        (b"tasks:\n", "line 1: it reads name: command"),
        (b"tasks: a\ntasks: b\n", "line 2: it reads name: command, and each name stands once"),
        (b"tasks: \xff\n", "it is not in UTF-8"),
        (None, "No such file or directory"),
    ],
)
def test_a_procfile_that_cannot_be_read_is_refused_by_file_and_line(
    tmp_path: Path, text: bytes | None, why: str | None
) -> None:
    procfile = tmp_path / "Procfile"
    if text is not None:
        procfile.write_bytes(text)
    with pytest.raises(BadProcfile, match=why) if why else nullcontext():
        read_procfile(procfile, {})


def test_the_procfile_that_comes_with_rollcall_has_each_process_that_there_is() -> None:
    roles = read_procfile(PROCFILE, {})
    assert all(role.reports for role in roles)
    assert {shlex.split(role.command)[2] for role in roles} == {
        one.callback.__name__ for one in run.app.registered_commands if one.callback
    }


def test_a_command_that_does_not_exist_is_refused_before_anything_starts() -> None:
    with pytest.raises(BadProcfile, match="Procfile's tasks cannot run: there is no command 'no-such-command'"):
        Supervisor([ProcessKind("tasks", "no-such-command --now")], dict(os.environ), lambda _name, _line: None)


@pytest.mark.parametrize(
    ("host", "written"), [("::1", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("a.example", "a.example")]
)
def test_a_host_stands_in_a_url_as_urls_have_it(host: str, written: str) -> None:
    assert _in_url(host) == written
    assert urlsplit(f"lmtp://{_in_url(host)}:25").hostname == host
