"""Processes of Rollcall that are killed, and started again at once, as `rollcall up` does with what dies."""

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from bench.system import Commands, Database, System
from tests.forking import Forked, start

#: Seconds for which a database may be away, or work stand still, before the test has failed.
PATIENCE_SECONDS = 90.0

#: What a process says when it is at work: one that has not come so far yet is not worth killing.
AT_WORK = (b"ingress.started", b"relay.started", b"pool.started")

#: Seconds a process has to end when it is told to.
_GOODBYE_SECONDS = 10.0


@dataclass
class Processes:
    """What runs on a database of its own, by name; of another version if `sources` names a folder for it, told another
    URL of the database if `urls` has one, and put after the words of `places`, such as those that enter a host."""

    system: System
    database: Database
    settings: Mapping[str, str]
    random: Random
    commands: Commands = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes] | Forked] = field(default_factory=dict)
    sources: dict[str, Path] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)
    kills: int = 0

    def start(self, name: str, words: Sequence[str]) -> None:
        """Start a process, or one in place of another."""
        self.commands[name] = tuple(words)
        environment = self._environment(name)
        with self._log(name).open("wb") as log:
            if name not in self.places and name not in self.sources:
                self.running[name] = start(["run", *words], environment, log)
                return
            self.running[name] = subprocess.Popen(
                [*self.places.get(name, []), sys.executable, "-m", "workers.cli", "run", *words],
                env=environment,
                cwd=self.sources.get(name),
                stdout=log,
                stderr=log,
            )

    def _environment(self, name: str) -> dict[str, str]:
        known = self.system.environment(self.database, self.settings) | of_version(self.sources.get(name))
        return known | ({"DATABASE_URL": self.urls[name]} if name in self.urls else {})

    def replace(self, name: str, source: Path | None) -> None:
        """Let a process finish what it has begun, and start one of another version in its place."""
        self.running[name].terminate()
        self.running[name].wait(_GOODBYE_SECONDS)
        if source is None:
            self.sources.pop(name, None)
        else:
            self.sources[name] = source
        self.start(name, self.commands[name])

    def kill_one(self, kind: str) -> bool:
        """SIGKILL one of a kind that is at work, whichever, and start another in its place; whether there was one."""
        at_work = [
            name
            for name in self.running
            if name.startswith(kind) and any(word in self._log(name).read_bytes() for word in AT_WORK)
        ]
        if not at_work:
            return False
        name = self.random.choice(at_work)
        self.running[name].kill()
        self.running[name].wait()
        self.kills += 1
        self.start(name, self.commands[name])
        return True

    def watch(self, seconds: float) -> None:
        """Wait so long, or until a process ends by itself, which is then started again."""
        ends: list[int] = []
        try:
            for process in self.running.values():
                with suppress(ProcessLookupError):  # it has ended, and whoever forked it took note
                    ends.append(os.pidfd_open(process.pid))
            select.select(ends, [], [], seconds if len(ends) == len(self.running) else 0)
        finally:
            for end in ends:
                os.close(end)
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                self.start(name, self.commands[name])

    def stop(self) -> None:
        """End all of them."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(_GOODBYE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log_of(self, name: str) -> bytes:
        """What a process has said since it was started last."""
        return self._log(name).read_bytes()

    def _log(self, name: str) -> Path:
        return self.system.home / f"chaos {name}.log"

    @retry(
        retry=retry_if_exception_type(psycopg.OperationalError),
        stop=stop_after_delay(PATIENCE_SECONDS),
        wait=wait_fixed(0.1),
        reraise=True,
    )
    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query answers; asked again while the database is away."""
        with psycopg.connect(self.database.url) as session:
            return session.execute(query.encode()).fetchall()

    def column(self, query: str) -> list[Any]:
        """The first column of a query."""
        return [row[0] for row in self.rows(query)]

    def crash_database(self) -> None:
        """Kill a process of the database: it ends every other, and starts again from its journal."""
        with psycopg.connect(self.system.database_url) as session:
            found = session.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() LIMIT 1",
                (self.database.name,),
            ).fetchone()
        assert found is not None
        os.kill(found[0], 9)


def of_version(source: Path | None) -> dict[str, str]:
    """What a process is told so that it runs the code in a folder; None for the code that runs this."""
    return {} if source is None else {"PYTHONPATH": str(source)}


@contextmanager
def processes(
    system: System, database: Database, settings: Mapping[str, str], seed: int, commands: Commands
) -> Iterator[Processes]:
    """Processes on a database; what is left of them is ended."""
    found = Processes(system, database, settings, Random(seed))  # noqa: S311 - repeatable, not secret
    try:
        for name, words in commands.items():
            found.start(name, words)
        yield found
    finally:
        found.stop()


class Standstill:
    """Notices that work stands still."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._done = -1
        self._moved = now()

    def check(self, done: int, of: int) -> None:
        """Fail where nothing was done for too long."""
        if done > self._done:
            self._done, self._moved = done, self._now()
        assert self._now() - self._moved < PATIENCE_SECONDS, f"it stands still at {done} of {of}"
