"""What an installation costs in which nothing happens: all that `rollcall up` runs, its servers too."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from bench.figures import Goal, Ratio
from bench.system import wait_until
from config.streams import make_redis

#: Percent of one core, statements and commands a second, and connections to PostgreSQL, that are asked for.
CORE_PERCENT = 2
STATEMENTS = 20
COMMANDS = 60
CONNECTIONS = 25

#: How PostgreSQL writes down a statement, of the simple and of the extended protocol.
_STATEMENT = re.compile(rb"LOG:  (statement|execute [^:]*): ")

#: Transactions of every database, and connections but for the one that asks.
_COUNTED = """
    SELECT sum(xact_commit + xact_rollback)::bigint,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())
    FROM pg_stat_database
"""

#: Seconds after the start in which first looks and connections are made.
_SETTLING = 15.0


@dataclass(frozen=True, slots=True)
class Size:
    """How long is looked at."""

    seconds: float


@dataclass(frozen=True, slots=True)
class _Moment:
    """Everything counted, until now. `processor`: seconds by process; `memory`: MB by process, what is shared counted
    once."""

    at: float
    processor: dict[str, float]
    memory: dict[str, float]
    statements: int
    transactions: int
    commands: int
    connections: int


def measure(size: Size) -> list[Ratio]:
    """Of a whole second of nothing: percent of a core, statements, Redis commands; and connections, and megabytes."""
    with tempfile.TemporaryDirectory(prefix="rollcall-idle-") as folder, _installation(Path(folder)) as home:
        services = json.loads((home / "services.json").read_text())
        with psycopg.connect(services["DATABASE_URL"], autocommit=True) as session:
            session.execute("ALTER SYSTEM SET log_statement = 'all'")
            session.execute("SELECT pg_reload_conf()")
        time.sleep(_SETTLING)
        before = _moment(home, services)
        time.sleep(size.seconds)
        after = _moment(home, services)
    lasted = after.at - before.at
    percent = {
        name: 100 * (after.processor[name] - spent) / lasted
        for name, spent in before.processor.items()
        if name in after.processor
    }
    statements = (after.statements - before.statements) / lasted
    commands = (after.commands - before.commands) / lasted
    transactions = (after.transactions - before.transactions) / lasted
    return [
        _bounded("all processes", percent, "% of a core", CORE_PERCENT),
        *(_plain(name, share, "% of a core", 2) for name, share in sorted(percent.items(), key=lambda it: -it[1])),
        _one("SQL statements", statements, "/s", STATEMENTS),
        _plain("transactions", transactions, "/s", 1),
        _one("Redis commands", commands, "/s", COMMANDS),
        _one("connections to PostgreSQL", max(before.connections, after.connections), "", CONNECTIONS),
        _plain("memory of all processes, what is shared counted once", sum(after.memory.values()), "MB", 0),
        *(_plain(name, mb, "MB", 0) for name, mb in sorted(after.memory.items(), key=lambda it: -it[1])),
    ]


@contextmanager
def _installation(folder: Path) -> Iterator[Path]:
    """`rollcall up` in a home of its own, ready when the block begins; its home."""
    ours = re.compile("ROLLCALL_.*|(DATABASE|REDIS|SMTP|PUBLIC)_URL|MAIL_FROM|SECRET_KEY")
    env = {name: text for name, text in os.environ.items() if not ours.fullmatch(name)}
    home, log = folder / "home", folder / "log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "up"],
            env={**env, "ROLLCALL_HOME": str(home)},
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: up.poll() is not None or b"ready: " in log.read_bytes(), "the ready line")
        if up.poll() is not None:
            raise RuntimeError(log.read_text()[-2000:])
        yield home
    finally:
        up.terminate()
        up.wait(60)


def _moment(home: Path, services: dict[str, Any]) -> _Moment:
    processes: dict[str, list[psutil.Process]] = {}
    for name, pid in services["pids"].items():
        process = psutil.Process(pid)
        processes[name] = [process, *(process.children() if name == "postgresql" else [])]
    with make_redis(services["REDIS_URL"]) as client, psycopg.connect(services["DATABASE_URL"]) as session:
        commands: Any = client.info("stats")
        row = session.execute(_COUNTED).fetchone()
    return _Moment(
        time.monotonic(),
        {name: sum(_processor(one) for one in found) for name, found in processes.items()},
        {name: sum(one.memory_full_info().pss for one in found) / 2**20 for name, found in processes.items()},
        len(_STATEMENT.findall((home / "postgresql" / "log").read_bytes())),
        0 if row is None else int(row[0]),
        int(commands["total_commands_processed"]),
        0 if row is None else int(row[1]),
    )


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _bounded(what: str, parts: dict[str, float], unit: str, most: float) -> Ratio:
    return _one(what, sum(parts.values()), unit, most)


def _one(what: str, figure: float, unit: str, most: float) -> Ratio:
    return Ratio(what, "what is asked for", unit, [figure], [most], 1, Goal(most, most=True, of_ratio=False))


def _plain(what: str, figure: float, unit: str, digits: int) -> Ratio:
    return Ratio(what, "", unit, [figure], [figure or 1.0], digits)
