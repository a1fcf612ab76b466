"""Learners from a file: `rollcall learners import`, and psql's own `\\copy` of the same file."""

import csv
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Goal, Ratio
from bench.system import LOOK_SECONDS, ORGANISATION, Database, System, id_of, peak_megabytes

HEADER = ("Id", "Username", "E-mail", "First name", "Last name", "Language", "Time zone", "Status")

#: What psql copies into: a table that takes anything; one that keeps ids unique; one with the two keys of `learners`.
_PLAIN = {
    "a table without a key": "CREATE TABLE plain ({})",
    "a table with the id as key": "CREATE TABLE plain ({}, PRIMARY KEY (id))",
    "a table with our two keys": "CREATE TABLE plain ({}, n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, UNIQUE (id))",
}

_COLUMNS = ("id", "username", "email", "first_name", "last_name", "locale", "time_zone", "status")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. Memory is measured for a tenth of the learners, too."""

    learners: int
    rounds: int


@dataclass(frozen=True, slots=True)
class _Run:
    seconds: float
    megabytes: float


def measure(system: System, size: Size) -> list[Ratio]:
    """Learners a second from a file into an organisation that has none, beside `\\copy`, in alternating rounds; and
    the peak memory of the process that imports."""
    whole, tenth = (_file(system.home / f"{n}.csv", n) for n in (size.learners, size.learners // 10))
    ours: list[_Run] = []
    again: list[_Run] = []
    small: list[_Run] = []
    plain: dict[str, list[float]] = {what: [] for what in _PLAIN}
    with system.database("imports", 0) as database:
        for turn in range(size.rounds + 1):  # the first is to warm up
            for ours_first in (True, False) if turn % 2 else (False, True):
                if ours_first:
                    _empty(database)
                    small.append(_import(system, database, tenth))
                    _empty(database)
                    ours.append(_import(system, database, whole))
                    again.append(_import(system, database, whole))
                else:
                    for what, seconds in plain.items():
                        seconds.append(_copy(system, database, what, whole))
            _all_taken(database, size.learners)
    rates = [size.learners / run.seconds for run in ours[1:]]
    return [
        *(
            Ratio(
                f"import of {size.learners:,} learners, new",
                f"\\copy of the file into {what}",
                "learners/s",
                rates,
                [size.learners / each for each in seconds[1:]],
                goal=Goal(0.5) if what == "a table with our two keys" else None,
            )
            for what, seconds in plain.items()
        ),
        Ratio(
            "the same file again, which changes nothing",
            "the first time",
            "learners/s",
            [size.learners / run.seconds for run in again[1:]],
            rates,
        ),
        Ratio(
            f"peak memory of the import, {size.learners:,} learners",
            f"the same, {size.learners // 10:,} learners",
            "MB",
            [run.megabytes for run in ours[1:]],
            [run.megabytes for run in small[1:]],
        ),
    ]


def _file(path: Path, learners: int) -> Path:
    """An export of a previous LMS: ids in no order, six in a hundred inactive, four without an address, a name in fifty
    that needs quotation marks."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for n in range(1, learners + 1):
            email = "" if n % 25 == 7 else f"First{n}.Last{n % 977}@learners.acme.example"
            status = ("Suspended", "Suspended", "Long Term Leave")[n % 50] if n % 50 < 3 else "Active"
            last_name = f"Last, the {n % 977}th" if n % 50 == 9 else f"Last{n % 977}"
            writer.writerow((id_of(n), f"user{n}", email, f"First{n}", last_name, "en", "Europe/Amsterdam", status))
    return path


def _empty(database: Database) -> None:
    for statement in ("TRUNCATE learners", "TRUNCATE status_changes", "UPDATE organisations SET learners = 0"):
        database.execute(statement)
    database.execute("CHECKPOINT")


def _import(system: System, database: Database, file: Path) -> _Run:
    """The command from its start to its end, and the most memory it had."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "workers.cli", "learners", "import", str(file), "-o", ORGANISATION, "--json"]
    environment = os.environ | {"ROLLCALL_HOME": str(system.home), "DATABASE_URL": database.url}
    megabytes = 0.0
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            megabytes = max(megabytes, _peak(process.pid))
            time.sleep(LOOK_SECONDS)
    if process.returncode:
        raise RuntimeError(f"the import of {file} ended with exit code {process.returncode}")
    return _Run(time.perf_counter() - begun, megabytes)


def _peak(pid: int) -> float:
    try:
        return peak_megabytes(pid)
    except (KeyError, OSError):  # it has just ended
        return 0.0


def _copy(system: System, database: Database, what: str, file: Path) -> float:
    """Seconds that psql needs from its start to its end."""
    database.execute("DROP TABLE IF EXISTS plain")
    database.execute(_PLAIN[what].format(", ".join(f"{name} text" for name in _COLUMNS)))
    database.execute("CHECKPOINT")
    begun = time.perf_counter()
    subprocess.run(
        [system.psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", database.url],
        input=f"\\copy plain ({', '.join(_COLUMNS)}) FROM '{file}' WITH (FORMAT csv, HEADER)\n",
        text=True,
        check=True,
    )
    return time.perf_counter() - begun


def _all_taken(database: Database, learners: int) -> None:
    taken = database.value(
        "SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE standing = 'inactive'), max(learner),"
        " (SELECT count(*) FROM status_changes), (SELECT count(*) FROM plain)) FROM learners"
    )
    inactive = sum(n % 50 < 3 for n in range(1, learners + 1))
    if taken != f"{learners} {inactive} {learners} {learners} {learners}":
        raise RuntimeError(f"not all of {learners} were taken: {taken}")
