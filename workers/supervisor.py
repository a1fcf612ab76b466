"""Runs the processes of a Procfile on this machine: starts them, restarts one that dies, drains them all at the end.

Each process leads a session of its own, so that Ctrl-C reaches it only through us and whatever it forked can be found
by its process group. SIGTERM goes to the leader alone: dramatiq's passes it on, and its children take a second one as
an order to drop their work. Only what outlives its leader is signalled by the group.
"""

import asyncio
import ctypes
import os
import re
import shlex
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from config.errors import UserError
from workers import readiness

#: The processes of a deployment, unless another file is named.
PROCFILE = Path(__file__).with_name("Procfile")

#: Seconds a process has to finish what it holds; platforms kill after 30.
DRAIN_SECONDS = 25.0
#: Seconds before the first restart of a process that died; doubled by each death after it.
FIRST_DELAY = 0.5
#: Seconds between restarts at most, so that a process is back soon after what it needs is.
LONGEST_DELAY = 30.0
#: Seconds of life after which a death counts as the first one again.
STEADY_AFTER = 60.0
#: Bytes of one line that are kept together; a longer one is passed on in pieces.
LONGEST_LINE = 65_536
#: Seconds for the output of a process that is gone to be read to its end; it is only a pipe's buffer.
LAST_WORDS = 1.0
#: prctl(2): the signal this process gets when the thread that made it dies.
PR_SET_PDEATHSIG = 1

#: A line of a Procfile that is neither blank nor a comment.
_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class BadProcfile(UserError):
    """A Procfile cannot be run; the message names the file or the process, and what is wrong."""


@dataclass(frozen=True)
class ProcessKind:
    """A line of the Procfile, and how many processes run it here."""

    name: str
    command: str
    count: int = 1

    @property
    def reports(self) -> bool:
        """Whether it says itself when it is ready; of what is not ours, all that is known is that it was started."""
        return shlex.split(self.command)[:2] == ["rollcall", "run"]

    @property
    def argv(self) -> list[str]:
        """The command without a shell; `rollcall` itself is this one, whatever is on the PATH or in the folder."""
        words = shlex.split(self.command)
        return [sys.executable, "-P", "-m", "workers.cli", *words[1:]] if words[0] == "rollcall" else words


#: Processes of a role unless told how many; of others one. One that sends announcements is as fast as a core lets it.
USUAL = {"bulk": min(os.cpu_count() or 1, 4)}


def read_procfile(path: Path, scale: dict[str, int]) -> list[ProcessKind]:
    """The roles of a Procfile, each as often as is usual unless `scale` says otherwise; 0 leaves one out.

    Raises BadProcfile if it cannot be read, ValueError if `scale` names a role that it does not have.
    """
    commands = _commands(path)
    if unknown := sorted(scale.keys() - commands.keys()):
        raise ValueError(f"{path} has no process called {', '.join(unknown)}; it has {', '.join(commands)}.")
    if negative := sorted(name for name, count in scale.items() if count < 0):
        raise ValueError(f"There cannot be fewer than 0 processes of {', '.join(negative)}.")
    roles = [ProcessKind(name, command, scale.get(name, USUAL.get(name, 1))) for name, command in commands.items()]
    return [role for role in roles if role.count]


def _commands(path: Path) -> dict[str, str]:
    """What each line of a Procfile, `name: command`, says. Raises BadProcfile."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        why = "it is not in UTF-8" if isinstance(problem, UnicodeDecodeError) else problem.strerror
        raise BadProcfile(f"{path} cannot be read: {why}.") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        read = _LINE.fullmatch(line)
        with suppress(ValueError):  # a quotation that is not closed
            if read and read[1] not in found and shlex.split(read[2]):
                found[read[1]] = read[2]
                continue
        if line.strip()[:1] not in {"", "#"}:
            raise BadProcfile(f"{path}, line {number}: it reads name: command, and each name stands once.")
    return found


class Supervisor:
    """Keeps the processes of some roles running, named `role.1`, `role.2`, until told to stop.

    `on_line` gets each line of their output with the process's name, and what we have to say under the name `rollcall`;
    `on_change` gets all pids by name whenever one changes. Raises BadProcfile if there is nothing to run, or no such
    command.
    """

    def __init__(
        self,
        roles: list[ProcessKind],
        env: dict[str, str],
        on_line: Callable[[str, str], None],
        *,
        on_change: Callable[[dict[str, int]], None] = lambda _pids: None,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        for role in roles:
            if not shutil.which(role.argv[0], path=env.get("PATH")):
                raise BadProcfile(f"The Procfile's {role.name} cannot run: there is no command {role.argv[0]!r}.")
        if not roles:
            raise BadProcfile("There is no process to run: the Procfile has none, or all are scaled to 0.")
        named = {f"{role.name}.{n + 1}": role for role in roles for n in range(role.count)}
        self._commands = {name: role.argv for name, role in named.items()}
        self._reporting = {name for name, role in named.items() if role.reports}
        self._env = {"PYTHONUNBUFFERED": "1", **env}  # or what a process prints would wait for a full buffer
        self._on_line = on_line
        self._on_change = on_change
        self._drain_seconds = drain_seconds
        self._pids: dict[str, int] = {}
        self._unready = set(self._commands)
        self._all_ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._out_of_patience = asyncio.Event()
        self._killed = False

    async def run(self, on_ready: Callable[[dict[str, int]], Awaitable[None]]) -> int:
        """Run everything until `stop`, SIGTERM or SIGINT; 0 if all then ended in time, 1 if any had to be killed.

        `on_ready` is awaited once every process has been ready, each as far as it says so itself. An error in it, or in
        a callback, stops everything and is raised.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        keepers = [self._watched(self._keep(name)) for name in self._commands]
        announcement = self._watched(self._announce(on_ready))
        try:
            await asyncio.wait(keepers)
        finally:
            for task in (announcement, *keepers):  # keepers only where we are cancelled ourselves, and then they kill
                task.cancel()
            results = await asyncio.gather(announcement, *keepers, return_exceptions=True)
            loop.remove_signal_handler(signal.SIGTERM)
            loop.remove_signal_handler(signal.SIGINT)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return 1 if self._killed else 0

    def stop(self) -> None:
        """Ask every process to finish, and kill what is left after the drain time. Callable more than once."""
        if not self._stopping.is_set():
            self._stopping.set()
            asyncio.get_running_loop().call_later(self._drain_seconds, self._out_of_patience.set)
            self._on_line("rollcall", f"stopping, within {self._drain_seconds:g} s; Ctrl-C from here on kills at once")

    def _interrupt(self) -> None:
        """The first Ctrl-C asks, the second insists."""
        if self._stopping.is_set():
            self._out_of_patience.set()
        self.stop()

    def _watched(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """A task whose failure stops everything, rather than leaving a process that nobody looks after."""

        def stop_on_failure(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception():
                self.stop()

        task = asyncio.create_task(work)
        task.add_done_callback(stop_on_failure)
        return task

    async def _announce(self, on_ready: Callable[[dict[str, int]], Awaitable[None]]) -> None:
        await self._all_ready.wait()
        await on_ready(dict(self._pids))

    async def _keep(self, name: str) -> None:
        """Run one process again and again, waiting longer each time it dies young."""
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY
        while not self._stopping.is_set():
            born = loop.time()
            fate = await self._live(name)
            if self._stopping.is_set():
                return
            if loop.time() - born >= STEADY_AFTER:
                delay = FIRST_DELAY
            self._on_line("rollcall", f"{name} {fate}; starting it again in {delay:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(2 * delay, LONGEST_DELAY)

    async def _live(self, name: str) -> str:
        """Run one process from birth to death, and say what it died of."""
        try:
            with self._hears_of(name) as descriptor:
                process = await asyncio.create_subprocess_exec(
                    *self._commands[name],
                    stdin=DEVNULL,
                    stdout=PIPE,
                    stderr=STDOUT,
                    env={**self._env, readiness.VARIABLE: str(descriptor)},
                    pass_fds=[descriptor],
                    start_new_session=True,
                    preexec_fn=partial(_end_with, os.getpid()),
                )
        except OSError as error:
            return f"could not be started ({error.strerror})"
        self._set_pid(name, process.pid)
        if name not in self._reporting:
            self._be_ready(name)
        lines = self._watched(self._forward(name, process))
        try:
            await self._see_out(name, process, lines)
        finally:
            _signal_group(process.pid, signal.SIGKILL)  # whatever happened here, nothing it forked is left
        code = await process.wait()
        await asyncio.wait([lines], timeout=LAST_WORDS)
        if not lines.cancel():
            lines.result()
        self._set_pid(name, None)
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    @contextmanager
    def _hears_of(self, name: str) -> Iterator[int]:
        """The descriptor on which a process that is being started can say that it is ready."""
        loop = asyncio.get_running_loop()
        here, there = os.pipe()

        def hear() -> None:
            if os.read(here, 16):
                self._be_ready(name)
            loop.remove_reader(here)
            os.close(here)

        loop.add_reader(here, hear)
        try:
            yield there
        finally:
            os.close(there)  # once nobody has it any more, the end is heard

    def _be_ready(self, name: str) -> None:
        self._unready.discard(name)
        if not self._unready:
            self._all_ready.set()

    async def _see_out(self, name: str, process: Process, lines: asyncio.Task[None]) -> None:
        """Wait until a process and what it forked have ended, by themselves or on request, or patience is out."""
        exited = asyncio.create_task(process.wait())
        if not await _done_before(self._stopping, exited):
            with suppress(ProcessLookupError):
                process.terminate()
            await _done_before(self._out_of_patience, exited)
        if not exited.done():
            gone = False
        elif _signal_group(process.pid, signal.SIGTERM):  # it left children; their hold on its output shows their end
            gone = await _done_before(self._out_of_patience, lines, timeout=self._drain_seconds)
        else:
            gone = True
        if not gone and self._stopping.is_set():
            self._killed = True
            self._on_line("rollcall", f"{name} did not finish in time and is killed")

    async def _forward(self, name: str, process: Process) -> None:
        """Pass on the output line by line, until nobody can write to it any more."""
        if process.stdout is None:
            return
        rest = b""
        while chunk := await process.stdout.read(LONGEST_LINE):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) >= LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._on_line(name, line.decode(errors="replace").rstrip("\r"))
        if rest:
            self._on_line(name, rest.decode(errors="replace"))

    def _set_pid(self, name: str, pid: int | None) -> None:
        if pid is None:
            del self._pids[name]
        else:
            self._pids[name] = pid
        self._on_change(dict(self._pids))


async def _done_before(event: asyncio.Event, task: asyncio.Task[Any], timeout: float | None = None) -> bool:
    """Wait for the task, the event or the timeout (seconds), whichever comes first: whether the task is done."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait([task, waiting], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    return task.done()


def _signal_group(group: int, number: signal.Signals) -> bool:
    """Signal every process of a group; whether there was any."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _end_with(parent: int) -> None:
    """Have the kernel send SIGTERM to this new process when its parent dies, even by SIGKILL (Linux only).

    It runs between fork and exec, so it must not allocate much or take a lock: one system call through ctypes.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
