"""Postfix's smtp-sink and smtp-source: the system's own where Postfix is installed, else unpacked from its package,
which starts nothing and asks nothing."""

import getpass
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.mail.ports import free_port, listening
from bench.system import peak_megabytes, wait_until

#: Where everything is kept that a measurement needs and a package registry has.
CACHE = Path(__file__).resolve().parents[2] / ".bench"

#: Connections that smtp-source keeps open.
SESSIONS = 10

#: Connections that may wait for the sink to accept them.
_BACKLOG = "256"

#: Seconds between two looks at smtp-source.
_LOOK_SECONDS = 0.02

#: Octets of the sink's log read at once.
_READ_AT_ONCE = 1 << 24

_SYSTEM = Path("/usr/sbin")
_UNPACKED = CACHE / "postfix"
_RECIPIENT = re.compile(rb"RCPT TO:\s?<([^>]*)>", re.IGNORECASE)
_DEPENDS = re.compile(r"^\s*Depends: (lib\S+)$", re.MULTILINE)


class Unavailable(Exception):
    """What is measured against cannot be had here; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a run of smtp-source took: seconds, seconds of processor time, MB."""

    seconds: float
    cpu: float
    peak: float


@dataclass(slots=True)
class Sink:
    """A running smtp-sink, which logs every command it gets into a file; nobody reads it before a run is over."""

    port: int
    pid: int
    log: Path
    _read: int = 0

    def recipients(self) -> Counter[str]:
        """How often each recipient was named since this was last asked."""
        named: Counter[str] = Counter()
        rest = b""
        with self.log.open("rb") as log:
            log.seek(self._read)
            while said := log.read(_READ_AT_ONCE):
                self._read += len(said)
                lines, _, rest = (rest + said).rpartition(b"\n")
                named.update(address.decode("ascii", "replace").lower() for address in _RECIPIENT.findall(lines))
        return named


@dataclass(frozen=True, slots=True)
class Postfix:
    """The two programs."""

    sink: Path
    source: Path

    @contextmanager
    def listening(self, folder: Path) -> Iterator[Sink]:
        """A sink on a port of its own, ready."""
        log = folder / "smtp-sink.log"
        port = free_port()
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [self.sink, "-v", "-u", getpass.getuser(), f"127.0.0.1:{port}", _BACKLOG],
                env=_environment(),
                stdout=output,
                stderr=output,
            )
        try:
            wait_until(lambda: listening(port) or popen.poll() is not None, "smtp-sink to listen")
            if popen.poll() is not None:
                raise RuntimeError(f"smtp-sink ended at its start: {log.read_text()[-500:]}")
            yield Sink(port, popen.pid, log)
        finally:
            popen.terminate()
            popen.wait()
            log.unlink()

    def send(self, port: int, mails: int, size: int) -> Sent:
        """Send as smtp-source does: mails with a body of `size` bytes, to a recipient each, over sessions kept open."""
        command: list[str | Path] = [
            self.source, "-d", "-N", "-s", str(SESSIONS), "-m", str(mails), "-l", str(size),
            "-f", "training@rollcall.example", "-t", "learner@learners.acme.example", f"127.0.0.1:{port}",
        ]  # fmt: skip
        peak = 0.0
        begun = time.perf_counter()
        popen = subprocess.Popen(command, env=_environment())
        while os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            with suppress(OSError, KeyError):  # it may just have ended
                peak = max(peak, peak_megabytes(popen.pid))
            time.sleep(_LOOK_SECONDS)
        took = time.perf_counter() - begun
        _, status, used = os.wait4(popen.pid, 0)
        popen.returncode = os.waitstatus_to_exitcode(status)
        if popen.returncode:
            raise subprocess.CalledProcessError(popen.returncode, [str(word) for word in command])
        return Sent(took, used.ru_utime + used.ru_stime, peak)


def postfix() -> Postfix:
    """The two programs, fetched if need be. Raises Unavailable."""
    for folder in (_SYSTEM, _UNPACKED / "usr/sbin"):
        found = Postfix(folder / "smtp-sink", folder / "smtp-source")
        if found.sink.exists() and found.source.exists():
            return found
    _unpack()
    return Postfix(_UNPACKED / "usr/sbin/smtp-sink", _UNPACKED / "usr/sbin/smtp-source")


def _environment() -> dict[str, str]:
    """What they find their libraries by, where they were unpacked."""
    folders = (_UNPACKED / "usr/lib/postfix", *sorted(_UNPACKED.glob("usr/lib/*-linux-gnu")))
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(map(str, folders))}


def _unpack() -> None:
    """Unpack Postfix, and the libraries it depends on and this system lacks, into the cache."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise Unavailable("smtp-sink and smtp-source are part of Postfix: install it with the package manager")
    _UNPACKED.mkdir(parents=True, exist_ok=True)
    libraries = _DEPENDS.findall(_said(["apt-cache", "depends", "postfix"]))
    for package in ("postfix", *(name for name in libraries if not _installed(name))):
        _said(["apt-get", "download", package])
        for archive in _UNPACKED.glob("*.deb"):
            _said(["dpkg", "-x", archive.name, "."])
            archive.unlink()


def _installed(package: str) -> bool:
    words = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout == "installed"


def _said(words: Sequence[str]) -> str:
    done = subprocess.run(words, cwd=_UNPACKED, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(words)}: {done.stderr.strip()[-300:]} (is there an apt-get update to be run?)")
    return done.stdout
