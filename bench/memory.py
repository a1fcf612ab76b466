"""The most memory each process ever had, for a small fan-out and for a large one."""

from dataclasses import dataclass

import psutil

from bench.fanout import through_the_queue
from bench.figures import Ratio
from bench.system import INGRESS, RELAY, TASKS, System, forget_peak, peak_megabytes

#: A process whose peak grows by no more than this is flat.
FLAT = 1.15


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    small: int
    large: int
    rounds: int


def measure(system: System, size: Size) -> list[Ratio]:
    """Peaks in MB, of processes that were started for each fan-out."""
    peaks: dict[str, tuple[list[float], list[float]]] = {}
    for turn in range(size.rounds):
        for way in (0, 1) if turn % 2 == 0 else (1, 0):
            for name, peak in _peaks_of(system, (size.small, size.large)[way]).items():
                peaks.setdefault(name, ([], []))[way].append(peak)
    return [
        Ratio(
            f"peak memory of {name}, {size.large:,} learners", f"the same, {size.small:,} learners", "MB", large, small
        )
        for name, (small, large) in peaks.items()
    ]


def _peaks_of(system: System, learners: int) -> dict[str, float]:
    """One fan-out to its end, published too; the peaks of every process that had to do with it."""
    name = f"memory_{learners}"
    with system.database(name, learners) as database, system.processes(database, INGRESS | RELAY | TASKS) as processes:
        forget_peak(system.pids["valkey"])  # the one that lives on, emptied
        through_the_queue(system, database, "course")
        database.wait_for(
            "SELECT ordered = published AND NOT EXISTS (SELECT FROM outbox WHERE position IS NULL) FROM publication"
        )
        peaks = {process.name: process.peak_megabytes() for process in processes}
        peaks["valkey (holds the stream)"] = peak_megabytes(system.pids["valkey"])
        server = psutil.Process(system.pids["postgresql"])
        backends = [child.pid for child in server.children() if f" {name} " in " ".join(child.cmdline())]
        backends.remove(database.session.info.backend_pid)
        peaks["a PostgreSQL backend, shared buffers apart"] = max(peak_megabytes(pid) for pid in backends)
    return peaks
