"""Programs of Debian's packages, which `.ci/mail-servers` unpacks into `.servers`: started as this machine has them
nowhere, and ended with all that they have started."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

FOLDER = Path(__file__).parents[2] / ".servers"

#: Who the servers are, of the accounts that every Debian has: whom mail belongs to, and the group of Postfix's queue.
OWNER, GROUP = "list", "games"

#: Seconds for which a server may take to do what it has to.
PATIENCE_SECONDS = 60.0


def wait_until(happened: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Return as soon as something has happened. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:g} s still waiting for {what}")
        threading.Event().wait(0.01)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def a_place() -> Iterator[tuple[Path, Path]]:
    """Where the programs are, and a folder for what they write: both open to the accounts that they run under, which
    pytest's folders and a checkout may not be. Skips where there is nothing to run."""
    if not (FOLDER / "complete").exists():
        pytest.skip("no Postfix, Dovecot and Exim in .servers: run .ci/mail-servers as root on Debian")
    if os.geteuid() != 0:
        pytest.skip("Postfix and Exim only run as root")
    with tempfile.TemporaryDirectory(prefix="rollcall-mx-", ignore_cleanup_errors=True) as made:
        place = Path(made)
        place.chmod(0o755)
        yield within_reach(FOLDER, place), place


def within_reach(folder: Path, place: Path) -> Path:
    """Where the programs of a folder are open to whatever account they run under: copied to a place if the checkout is
    not."""
    if all(part.stat().st_mode & 0o001 for part in folder.parents):
        return folder
    return Path(shutil.copytree(folder, place / "programs", symlinks=True))


@contextmanager
def running(words: Sequence[str | Path], environment: Mapping[str, str], said: Path) -> Iterator[psutil.Process]:
    """A program in a session of its own, of which nothing is left at the end."""
    with said.open("wb") as output:
        process = subprocess.Popen(
            words, env={"PATH": os.environ["PATH"], **environment}, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, start_new_session=True,
        )  # fmt: skip
    known = psutil.Process(process.pid)
    try:
        yield known
    finally:
        for one in [known, *known.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


def listens(process: psutil.Process, port: int) -> bool:
    """Whether a program listens on a port; one that has ended never will."""
    assert process.is_running() and process.status() != psutil.STATUS_ZOMBIE, "the server ended at its start"  # noqa: PT018
    return any(one.laddr.port == port and one.status == "LISTEN" for one in process.net_connections("tcp"))


def libraries(programs: Path) -> list[Path]:
    """Where the libraries are that the programs need and this machine may not have."""
    return sorted(programs.glob("usr/lib/*-linux-gnu*"))
