"""What a command costs before it does anything: seconds of processor, beside a Python that imports typer and rich."""

import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.figures import Goal, Ratio
from bench.system import System

_CLI = [sys.executable, "-c", "import sys; from workers.cli import main; sys.argv[0] = 'rollcall'; main()"]
_BARE = [sys.executable, "-c", "import typer, rich.console, rich.table"]

#: What a shell asks at a TAB after `rollcall seats `.
_TAB = {"_ROLLCALL_COMPLETE": "complete_bash", "COMP_WORDS": "rollcall seats ", "COMP_CWORD": "2"}

#: Seconds of processor that a command may take.
_MOST = 0.3


@dataclass(frozen=True, slots=True)
class Size:
    """How often."""

    rounds: int


def measure(_system: System, size: Size) -> list[Ratio]:
    """Help and completion; no server is needed for either."""
    asked: dict[str, tuple[list[str], Mapping[str, str]]] = {
        "rollcall --help": ([*_CLI, "--help"], {}),
        "rollcall seats show --help": ([*_CLI, "seats", "show", "--help"], {}),
        "a TAB after rollcall seats": (_CLI, _TAB),
    }
    goal = Goal(_MOST, most=True, of_ratio=False)
    found = []
    for what, (command, env) in asked.items():
        bare = [_seconds(_BARE, {}) for _ in range(size.rounds)]
        ours = [_seconds(command, env) for _ in range(size.rounds)]
        found.append(Ratio(what, "importing typer and rich", "s of processor", ours, bare, digits=2, goal=goal))
    return found


def _seconds(command: Sequence[str], env: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
