"""The Python client, made from the document as it is now."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make_client() -> Path:
    """Where its package is. `make` makes it, if the document is newer, as `make client` does."""
    with (ROOT / "docs" / "openapi.json").open() as document:
        fcntl.flock(document, fcntl.LOCK_EX)  # one process of a run makes it
        command = [shutil.which("make") or "make", "--silent", ".client/.made", f"VENV={sys.prefix}"]
        env = {"PATH": "/usr/bin:/bin"}
        subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    return ROOT / ".client" / "rollcall-client"
