"""The most memory each process ever had, for a small fan-out and for a large one."""

from collections.abc import Callable
from dataclasses import dataclass

import psutil

from bench.fanout import PUBLISHED, through_the_queue
from bench.figures import Goal, Ratio
from bench.system import INGRESS, MAIL, RELAY, TASKS, System, forget_peak, peak_megabytes

#: A process whose peak grows by no more than this is flat.
FLAT = 1.15


#: Until every mail is sent.
_SENT = "SELECT NOT EXISTS (SELECT FROM work) AND EXISTS (SELECT FROM deliveries WHERE state = 'accepted')"


#: MB that a process of ours may ever have.
WORKER_MOST = 150


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: learners of a small and a large fan-out, and of a small and a large one with its mail."""

    small: int
    large: int
    few_mails: int
    many_mails: int
    rounds: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Peaks in MB, of processes that were started for each fan-out."""
    return [
        *_compared(system, size.small, size.large, size.rounds, _peaks_of),
        *_compared(system, size.few_mails, size.many_mails, size.rounds, _peaks_with_mail),
    ]


def _compared(
    system: System, few: int, many: int, rounds: int, peaks_of: Callable[[System, int], dict[str, float]]
) -> list[Ratio]:
    peaks: dict[str, tuple[list[float], list[float]]] = {}
    for turn in range(rounds):
        for way in (0, 1) if turn % 2 == 0 else (1, 0):
            for name, peak in peaks_of(system, (few, many)[way]).items():
                peaks.setdefault(name, ([], []))[way].append(peak)
    return [
        Ratio(
            f"peak memory of {name}, {many:,} learners",
            f"the same, {few:,} learners",
            "MB",
            large,
            small,
            goal=Goal(WORKER_MOST, most=True, of_ratio=False) if name in INGRESS | RELAY | TASKS | MAIL else None,
        )
        for name, (small, large) in peaks.items()
    ]


def _peaks_of(system: System, learners: int) -> dict[str, float]:
    """One fan-out to its end, published too; the peaks of every process that had to do with it."""
    name = f"memory_{learners}"
    with system.database(name, learners) as database, system.processes(database, INGRESS | RELAY | TASKS) as processes:
        forget_peak(system.pids["valkey"])  # the one that lives on, emptied
        through_the_queue(system, database, "course")
        database.wait_for(PUBLISHED)
        peaks = {process.name: process.peak_megabytes() for process in processes}
        peaks["valkey (holds the stream)"] = peak_megabytes(system.pids["valkey"])
        server = psutil.Process(system.pids["postgresql"])
        backends = [child.pid for child in server.children() if f" {name} " in " ".join(child.cmdline())]
        backends.remove(database.session.info.backend_pid)
        peaks["a PostgreSQL backend, shared buffers apart"] = max(peak_megabytes(pid) for pid in backends)
    return peaks


def _peaks_with_mail(system: System, learners: int) -> dict[str, float]:
    """One fan-out until its last notice is sent; the peak of the process that sent them."""
    commands = INGRESS | RELAY | TASKS | MAIL
    with (
        system.database(f"mail_{learners}", learners) as database,
        system.processes(database, commands) as processes,
    ):
        through_the_queue(system, database, "course")
        database.wait_for(_SENT)
        return {process.name: process.peak_megabytes() for process in processes if process.name in MAIL}
