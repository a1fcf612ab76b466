"""Clocks of hosts that differ: a library that shifts the time of day of whatever it is preloaded to."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shifted_clock.c")


def shifted(folder: Path, seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is so many seconds ahead. Skips where no C can be compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no clocks that differ: they need a C compiler")
    library = folder / "clock.so"
    if not library.exists():
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(seconds)}
