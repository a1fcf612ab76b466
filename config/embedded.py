"""The real servers, started on a machine that has none: PostgreSQL, Valkey and a catch-all mail server.

Every process that asks for the same home shares its servers; the last one to leave stops them. Two advisory locks in
the home make that hold through any crash, since the kernel drops them with the process: `embedded.lock` serialises
starting and stopping, and each user holds a shared lock on `embedded.users`, so whoever can take it alone is the last.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

import psutil

from config.errors import Conflict
from config.programs import (
    POLL_INTERVAL,
    POSTGRESQL_SOCKET,
    START_TIMEOUT,
    STOP_TIMEOUT,
    EmbeddedError,
    Programs,
    SilentError,
    postmaster,
)

#: Seconds to wait until another process has started or stopped servers, and until that is said.
LOCK_TIMEOUT = 30.0
LOCK_SAID_AFTER = 2.0
#: Seconds of such patience of one that leaves: who has the lock for longer starts a server, and will look after it, or
#: stops them all.
LEAVING_TIMEOUT = 5.0
#: Seconds by which two readings of a process's start time may differ: the kernel's boot time wobbles by one.
START_TIME_TOLERANCE = 2.0
#: Bytes of a socket's path, the least any system allows (macOS; Linux has 107).
SOCKET_PATH_LIMIT = 103
#: Paths that need no quoting in postgresql.conf or in a URL.
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]+")

#: How each server is asked to stop, and how it is made to: PostgreSQL's fast and immediate shutdown.
STOP_SIGNALS = {
    "postgresql": (signal.SIGINT, signal.SIGQUIT),
    "valkey": (signal.SIGTERM, signal.SIGKILL),
    "mailbox": (signal.SIGTERM, signal.SIGKILL),
}


@dataclass(frozen=True)
class Embedded:
    """Where the embedded servers listen, and their pids by name; None and absent for those that were not wanted."""

    database_url: str | None
    redis_url: str | None
    smtp_url: str | None
    pids: dict[str, int]


@dataclass(frozen=True)
class ServerProcess:
    """A process of ours. `started` (Unix time, seconds) tells it from a later one with the same pid."""

    pid: int
    started: float
    url: str

    @property
    def running(self) -> bool:
        """Whether it lives; a zombie its parent has not noticed does not."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) <= START_TIME_TOLERANCE
            return same and process.status() != psutil.STATUS_ZOMBIE
        return False


@contextmanager
def embedded_services(
    home: Path, *, database: bool, redis: bool, smtp: bool, durable: bool = True
) -> Iterator[Embedded]:
    """Start the wanted servers under `home`, or join those that run there, until the block ends.

    `durable=False` gives up surviving a crash of the machine for speed, in the servers this call starts: for tests.
    Raises EmbeddedError.
    """
    if not (database or redis or smtp):  # then nothing needs to be written
        yield Embedded(None, None, None, {})
        return
    _make_home(home)
    services = _Services(home.resolve(), durable)
    wanted = [name for name, wish in zip(services.programs, (database, redis, smtp), strict=True) if wish]
    with _lock_file(services.home / "embedded.users") as users:
        with services.locked():
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            servers = services.joined(wanted)
            yield Embedded(
                database_url=servers["postgresql"].url if database else None,
                redis_url=servers["valkey"].url if redis else None,
                smtp_url=servers["mailbox"].url if smtp else None,
                pids={name: server.pid for name, server in servers.items()},
            )
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)
            with suppress(_LockedError), services.locked(LEAVING_TIMEOUT):
                if _is_ours(users):
                    services.stop()


@contextmanager
def the_one_up(home: Path) -> Iterator[None]:
    """Be the one `rollcall up` under this home until the block ends, or this process does. Raises Conflict if there is
    one. A home that cannot be written has no `services.json` either that two could write."""
    try:
        _make_home(home)
        lock = _lock_file(home / "up.lock")
    except EmbeddedError:
        yield
        return
    with lock:
        if not _is_ours(lock):
            lock.seek(0)
            raise Conflict(
                f"rollcall up runs under {home} already, as process {lock.read()}: end that one first, or set"
                " ROLLCALL_HOME to another folder."
            )
        with suppress(OSError):  # the disk is full, and what runs, runs on
            lock.truncate(0)
            os.write(lock.fileno(), str(os.getpid()).encode())
        yield


def running_urls(home: Path) -> set[str]:
    """The URLs of the servers that are embedded here now."""
    with suppress(OSError, EmbeddedError):
        servers, _ = _written_down(home / "embedded.json")
        return {server.url for server in servers.values()}
    return set()


def _written_down(file: Path) -> tuple[dict[str, "ServerProcess"], Path]:
    """The servers, and the directory of their sockets, that `_Services._save` wrote down. Raises EmbeddedError."""
    try:
        state = json.loads(file.read_text())
        return {name: ServerProcess(**server) for name, server in state["servers"].items()}, Path(state["sockets"])
    except (ValueError, LookupError, TypeError, AttributeError):
        raise EmbeddedError(
            f"{file} is damaged: end what still runs under {file.parent}, if anything does, and remove that file."
        ) from None


def revived(home: Path, names: Iterable[str], *, durable: bool = True) -> dict[str, int]:
    """The pids of these servers, each started again if it died; for a user of `home`. Raises EmbeddedError."""
    return {name: server.pid for name, server in _Services(home.resolve(), durable).joined(names, ask=False).items()}


class _LockedError(EmbeddedError):
    """Another process starts or stops servers of this home, for longer than we wait."""


class _Services:
    """The servers of one home. Everything but `locked`, `joined` and `_answer` is called with the lock held."""

    def __init__(self, home: Path, durable: bool) -> None:
        self.home = home
        self._file = home / "embedded.json"
        self._servers: dict[str, ServerProcess] = {}
        self._sockets = home / "sockets"  # or elsewhere, see `_make_sockets`
        self.programs = Programs(home, lambda: self._sockets, self._make_sockets, durable=durable).by_name

    @contextmanager
    def locked(self, patience: float | None = None) -> Iterator[None]:
        """Keep other users of this home from starting or stopping anything, and read what they did before."""
        with _lock_file(self.home / "embedded.lock") as lock:
            self._take(lock, LOCK_TIMEOUT if patience is None else patience)
            self._servers, self._sockets = {}, self.home / "sockets"
            if self._file.exists():
                self._servers, self._sockets = _written_down(self._file)
            yield

    def _take(self, lock: IO[str], patience: float) -> None:
        began, said = time.monotonic(), False
        while True:
            with suppress(BlockingIOError):
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            waited = time.monotonic() - began
            if waited > patience:
                raise _LockedError(
                    f"Another process has started or stopped servers under {self.home} for {patience:g} s: try again,"
                    " or end it."
                )
            if waited > LOCK_SAID_AFTER and not said:
                said = True
                with suppress(OSError):
                    sys.stderr.write(f"Waiting for a process that starts or stops servers under {self.home} ...\n")
            time.sleep(POLL_INTERVAL)

    def joined(self, names: Iterable[str], *, ask: bool = True) -> dict[str, ServerProcess]:
        """These servers, each started unless it runs, as soon as it answers; one that ran need not be asked.

        One that runs is asked, too: whoever started it may have been killed before it answered. Nobody else waits for
        that. What cannot be kept of the answers is found out again by the next who asks.
        """
        with self.locked():
            before = {name: self._running(name) for name in names}
            servers = {name: server or self._started(name) for name, server in before.items()}
        answers = {
            name: self._answer(name, server) if ask or before[name] is None else server.url
            for name, server in servers.items()
        }
        found = {name: replace(server, url=answers[name]) for name, server in servers.items()}
        if found != servers:
            with suppress(OSError, _LockedError), self.locked():
                for name, server in servers.items():
                    if self._servers.get(name) == server:
                        self._servers[name] = found[name]
                self._save()
        return found

    def _running(self, name: str) -> ServerProcess | None:
        """The server of that name, if it lives."""
        server = self._servers.get(name)
        return server if server is not None and server.running else None

    def stop(self) -> None:
        """Stop every server and forget them. One that does not stop in time is made to."""
        if found := postmaster(self.home / "postgresql"):  # also one that was never written down
            self._servers["postgresql"] = ServerProcess(found.pid, found.create_time(), "")
        running = {name: server for name, server in self._servers.items() if server.running}
        for level in (0, 1):
            for name, server in running.items():
                _thaw(server.pid)
                with suppress(ProcessLookupError):
                    os.kill(server.pid, STOP_SIGNALS[name][level])
            deadline = time.monotonic() + STOP_TIMEOUT
            while running and time.monotonic() < deadline:
                time.sleep(POLL_INTERVAL)
                running = {name: server for name, server in running.items() if server.running}
        for server in self._servers.values():
            with suppress(ChildProcessError):
                os.waitpid(server.pid, os.WNOHANG)
        if running:
            raise EmbeddedError(f"Cannot stop the embedded {', '.join(running)} under {self.home}.")
        shutil.rmtree(self._sockets, ignore_errors=True)
        self._file.unlink(missing_ok=True)

    def _started(self, name: str) -> ServerProcess:
        """The named server, just started and written down: or another process would start it again."""
        if name in self._servers:
            with suppress(ChildProcessError):  # if it was ours, it is a zombie until we look
                os.waitpid(self._servers[name].pid, os.WNOHANG)
        pid = None
        try:
            pid = self.programs[name].start()
            self._servers[name] = ServerProcess(pid, psutil.Process(pid).create_time(), url="")
            self._save()
        except OSError as problem:
            if pid is not None:
                os.kill(pid, STOP_SIGNALS[name][0])
            raise EmbeddedError(
                f"The embedded {name} cannot be started: {self.home} cannot be written ({problem.strerror})."
            ) from None
        return self._servers[name]

    def _answer(self, name: str, server: ServerProcess) -> str:
        """The URL that a server has, as soon as it can be used."""
        program = self.programs[name]
        began = time.monotonic()
        deadline = began + START_TIMEOUT
        while True:
            try:
                if url := program.ask():
                    return url
            except SilentError:
                if server.url:  # it has answered before, and does not start
                    deadline = began
            if not server.running:
                raise EmbeddedError(f"The embedded {name} died as it started; {program.log} says why.")
            if (now := time.monotonic()) > deadline:
                raise EmbeddedError(
                    f"The embedded {name} does not answer after {now - began:.0f} s; read {program.log}."
                )
            time.sleep(POLL_INTERVAL)

    def _save(self) -> None:
        state = {"sockets": str(self._sockets), "servers": {name: asdict(it) for name, it in self._servers.items()}}
        unfinished = self._file.with_suffix(".new")
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(state, indent=2))
        unfinished.rename(self._file)

    def _make_sockets(self) -> Path:
        """The directory of the sockets: in the home, or a temporary one where the home's path is too long or odd."""
        if not self._sockets.is_dir():
            self._sockets = self.home / "sockets"
            path = str(self._sockets / POSTGRESQL_SOCKET)
            if len(path) <= SOCKET_PATH_LIMIT and PLAIN_PATH.fullmatch(path):
                self._sockets.mkdir(mode=0o700, exist_ok=True)
            else:
                self._sockets = Path(tempfile.mkdtemp(prefix="rollcall-"))
            self._save()
        return self._sockets


def _make_home(home: Path) -> None:
    """Make the home, for us alone; raises EmbeddedError where it cannot be one."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as problem:
        raise EmbeddedError(
            f"ROLLCALL_HOME: {home} cannot be used ({problem.strerror}): set it to a folder that can be written."
        ) from None


def _lock_file(path: Path) -> IO[str]:
    """A file that is locked, which nobody else may even read: whoever can open it can lock it, and hold us up."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise EmbeddedError(f"{path} cannot be opened ({problem.strerror}).") from None
    if os.fstat(descriptor).st_uid == os.geteuid():
        os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "a+")


def _is_ours(lock: IO[str]) -> bool:
    """Whether this process has the lock on a file now, and no other a share of it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _thaw(pid: int) -> None:
    """Let a process, and those it started, go on where somebody stopped them (SIGSTOP): or they would not end."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                one.send_signal(signal.SIGCONT)
