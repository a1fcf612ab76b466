"""What a run used: processor time, and memory at its peak."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

from bench.system import peak_megabytes


@dataclass(frozen=True, slots=True)
class Usage:
    """Of each part of a system, named: seconds of processor time, and MB at the peak of its largest process."""

    cpu: Mapping[str, float]
    peak: Mapping[str, float]

    def since(self, before: "Usage") -> "Usage":
        """What was used since then; peaks stay what they are."""
        return Usage({name: seconds - before.cpu.get(name, 0.0) for name, seconds in self.cpu.items()}, self.peak)


def usage(pids: Mapping[str, int]) -> Usage:
    """Of these processes, everything that they started included."""
    return Usage(
        {name: cpu_seconds(pid) for name, pid in pids.items()}, {name: _peak(pid) for name, pid in pids.items()}
    )


def cpu_seconds(pid: int) -> float:
    """Of a process, its children that have ended, and those that have not."""
    root = psutil.Process(pid)
    spent = 0.0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            spent += sum(process.cpu_times()[:4])
    return spent


def _peak(pid: int) -> float:
    root = psutil.Process(pid)
    peaks = [0.0]
    for process in (root, *root.children(recursive=True)):
        with suppress(OSError, KeyError, psutil.NoSuchProcess):  # it may just have ended
            peaks.append(peak_megabytes(process.pid))
    return max(peaks)
