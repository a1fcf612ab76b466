"""PostgreSQL that pgBackRest keeps backups and the archive of, with the configuration of deploy/pgbackrest.

The programs are Debian's; `.ci/pgbackrest` unpacks what is not installed into `.pgbackrest`. All of it is done as an
account that is nobody's, and what is started is ended by its pid.
"""

import configparser
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from config.programs import POSTGRESQL_SETTINGS
from tests.failover.cluster import INSTALLED, MEMORY, OWNER, ROOM
from tests.servers.unpacked import libraries, wait_until, within_reach

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".pgbackrest"
CONFIGURATION = ROOT / "deploy" / "pgbackrest" / "pgbackrest.conf"

#: What the configuration calls our PostgreSQL.
STANZA = "rollcall"


@dataclass
class Server:
    """A PostgreSQL of which each segment of the log is archived."""

    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def data(self) -> Path:
        """Where it keeps what it keeps."""
        return self.folder / "data"

    @property
    def url(self) -> str:
        """Of its database `rollcall`."""
        return f"postgresql://postgres@/rollcall?host={self.folder}&port=5432"

    def answers(self) -> bool:
        """Whether it takes what is written."""
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text(encoding="utf-8")
        with suppress(psycopg.OperationalError), psycopg.connect(self.url.replace("/rollcall?", "/postgres?")) as asked:
            return asked.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,)
        return False

    def archived(self, segment: str) -> bool:
        """Whether the log was archived up to a segment."""
        with psycopg.connect(self.url) as session:
            found = session.execute("SELECT last_archived_wal >= %s FROM pg_stat_archiver", (segment,)).fetchone()
        return found == (True,)

    def kill(self) -> None:
        """End it at once, as its machine does that loses power."""
        if self.process is None:
            return
        known = psutil.Process(self.process.pid)
        every = [known, *known.children(recursive=True)]
        for one in every:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait()
        psutil.wait_procs(every, 10)
        self.process = None


@dataclass
class Repository:
    """Where the backups and the archive are, and the servers."""

    folder: Path
    programs: Path
    servers: list[Server] = field(default_factory=list)

    def new(self) -> Server:
        """A server that runs, with an empty database, and is archived."""
        server = self._server()
        postgresql = INSTALLED if INSTALLED.exists() else self.programs / "usr/lib/postgresql/15/bin"
        told = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        self._run([postgresql / "initdb", *told, "-D", server.data])
        self._start(server)
        with psycopg.connect(server.url.replace("/rollcall?", "/postgres?"), autocommit=True) as session:
            session.execute("CREATE DATABASE rollcall")
        self._pgbackrest(server, "stanza-create")
        return server

    def back_up(self, server: Server) -> None:
        """Make a full backup of a server, which works on; until the second in which it ended is over. pgBackRest knows
        no smaller part of time, and restores no moment of that second."""
        self._pgbackrest(server, "backup", "--type=full")
        ended = int(time.time())
        wait_until(lambda: int(time.time()) > ended, "the second of the backup to be over")

    def restored(self, moment: str) -> Server:
        """Another server, as the first was at a moment."""
        server = self._server()
        until = ["--type=time", f"--target={moment}", "--target-action=promote"]
        self._pgbackrest(server, "restore", *until)
        self._start(server)
        return server

    def _server(self) -> Server:
        server = Server(self.folder / f"server{len(self.servers) + 1}")
        server.folder.mkdir()
        told = configparser.ConfigParser(interpolation=None)
        told.read(CONFIGURATION, encoding="utf-8")
        told["global"].update({
            "repo1-path": str(self.folder / "repository"), "repo1-cipher-pass": "only for tests",
            "lock-path": str(server.folder / "lock"), "log-level-file": "off",
        })  # fmt: skip
        told[STANZA].update({"pg1-path": str(server.data), "pg1-socket-path": str(server.folder)})
        with (server.folder / "pgbackrest.conf").open("w", encoding="utf-8") as file:
            told.write(file, space_around_delimiters=False)
        for path in (server.folder, server.folder / "pgbackrest.conf"):
            self.give(path)
        self.servers.append(server)
        return server

    def give(self, path: Path) -> None:
        """Make a path the account's that all runs under."""
        if os.geteuid() == 0:
            shutil.chown(path, OWNER, "nogroup")

    def _start(self, server: Server) -> None:
        postgresql = INSTALLED if INSTALLED.exists() else self.programs / "usr/lib/postgresql/15/bin"
        settings = POSTGRESQL_SETTINGS | {
            "unix_socket_directories": str(server.folder),
            "shared_buffers": "128MB",
            "fsync": "off",
            "archive_mode": "on",
            "archive_timeout": "60",
            "archive_command": shlex.join(map(str, [*self._words(server), "archive-push"])) + " %p",
        }
        told = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (server.folder / "log").open("ab") as log:
            server.process = subprocess.Popen(
                [postgresql / "postgres", "-D", server.data, *told], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                **self._manner(),
            )  # fmt: skip
        wait_until(server.answers, "PostgreSQL to answer")

    def _words(self, server: Server) -> list[str | Path]:
        return [
            self.programs / "usr/bin/pgbackrest",
            f"--config={server.folder / 'pgbackrest.conf'}",
            f"--stanza={STANZA}",
        ]

    def _pgbackrest(self, server: Server, *words: str) -> None:
        self._run([*self._words(server), *words])

    def _run(self, words: Sequence[str | Path]) -> None:
        done = subprocess.run(words, capture_output=True, text=True, check=False, **self._manner())
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    def _manner(self) -> dict[str, Any]:
        """How every program is run."""
        account = {"user": OWNER, "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        paths = ":".join(map(str, libraries(self.programs)))
        return {
            **account,
            "cwd": self.folder,
            "env": {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": paths, "LC_ALL": "C.UTF-8"},
        }


@contextmanager
def repository() -> Iterator[Repository]:
    """An empty one; nothing of it, or of its servers, is left at the end. Skips where there are no programs."""
    if not (FOLDER / "complete").exists():
        pytest.skip("no pgBackRest in .pgbackrest: run .ci/pgbackrest on Debian")
    memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    with tempfile.TemporaryDirectory(
        prefix="rollcall-backups-", dir=MEMORY if memory else None, ignore_cleanup_errors=True
    ) as made:
        place = Path(made)
        found = Repository(place, within_reach(FOLDER, place))
        found.give(place)
        try:
            yield found
        finally:
            for server in found.servers:
                server.kill()
