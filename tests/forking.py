"""Rollcall's processes for the tests, forked from one that has imported what they run on.

To import takes a process most of a second of the processor, and the suite starts hundreds. What is forked runs
`workers.cli` from its first line, with an environment and a log of its own, as a process does that was just started.
"""

import atexit
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import IO

#: What a process imports once it knows what it is.
IMPORTED = (
    "workers.bounces", "workers.commands.run", "workers.ingress", "workers.pool", "workers.relay", "workers.web.app",
    "workers.webhooks",
)  # fmt: skip


class Forked:
    """A process that was forked; it has of `subprocess.Popen` what tests use."""

    def __init__(self, pid: int, ended: IO[bytes]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = ended

    def poll(self) -> int | None:
        """What it ended with, if it has: of what a signal ended, the negative number."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """What it ends with. Raises `subprocess.TimeoutExpired` after so many seconds."""
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("rollcall", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(self._ended.read()))
            self._ended.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it with no chance to clean up."""
        self.send_signal(signal.SIGKILL)


def start(words: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> Forked:
    """Start `rollcall` with these words; what it says goes to the log."""
    ours, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(_parent(), [b"."], [theirs.fileno(), log.fileno()])
    ours.sendall(json.dumps([[*words], {**environment}]).encode() + b"\n")
    told = ours.makefile("rb")
    ours.close()  # but for what reads from it
    return Forked(int(told.readline()), told)


@cache
def _parent() -> socket.socket:
    """Where the process listens that others are forked from. It ends with this one."""
    ours, theirs = socket.socketpair()
    with theirs:
        words = [sys.executable, "-m", "tests.forking", str(theirs.fileno())]
        process = subprocess.Popen(words, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def main() -> None:
    """Import what Rollcall's processes run on, and fork one for whoever asks, until nobody can ask any more."""
    for name in IMPORTED:
        import_module(name)
    if (words := _asked_of_a_fork(socket.socket(fileno=int(sys.argv[1])))) is not None:
        sys.argv = ["rollcall", *words]
        runpy.run_module("workers.cli", run_name="__main__", alter_sys=True)


def _asked_of_a_fork(asked: socket.socket) -> list[str] | None:
    """The words that a process was forked for, in that process; None where nobody asks any more. Between it and this
    one is another that waits for its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait
    with asked:
        while (found := socket.recv_fds(asked, 1, 2))[0]:
            told, log = found[1]
            if os.fork() == 0:
                break
            os.close(told)
            os.close(log)
        else:
            return None
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with os.fdopen(os.dup(told), "rb") as reading:
        words, environment = json.loads(reading.readline())
    pid = os.fork()
    if pid == 0:
        os.close(told)
        _begin_anew(environment, log)
        return list(words)
    os.close(log)
    os.write(told, b"%d\n" % pid)
    with suppress(BrokenPipeError):
        os.write(told, b"%d" % os.waitpid(pid, 0)[1])
    os._exit(0)


def _begin_anew(environment: dict[str, str], log: int) -> None:
    for number in (1, 2):
        os.dup2(log, number)
    os.close(log)
    os.environ.clear()
    os.environ.update(environment)


if __name__ == "__main__":
    main()
