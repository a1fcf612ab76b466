"""A mail server that throws everything away and writes down whom it was for: `python -m bench.mail.sink`.

Real SMTP with PIPELINING (RFC 2920), as fast as Python gets. One line for each event, tab-separated: `begun` when DATA
is asked for and granted, `taken` when the message is, `deferred` when a recipient is answered 451. It is for counting
what smtp-sink cannot tell: messages by Message-ID, when each began, recipients that are put off at first. It greylists
and limits connections as real servers do, where it is told to; `refused` is a connection beyond the limit.
"""

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, cast

import uvloop

from bench.mail.ports import free_port, listening
from bench.system import wait_until

#: Seconds after which what was written down is in the file.
FLUSH_SECONDS = 0.1

_ADDRESS = re.compile(rb"<([^>]*)>")
_MESSAGE_ID = re.compile(rb"^message-id:\s*(<[^>\r\n]*>)", re.IGNORECASE | re.MULTILINE)
_FEEDBACK_ID = re.compile(rb"^feedback-id:\s*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_EHLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 0\r\n"
_IDS = (_MESSAGE_ID, _FEEDBACK_ID)
_OK = b"250 2.0.0 OK\r\n"
_LATER = b"451 4.7.1 Try again later\r\n"
_NO_RECIPIENT = b"554 5.5.1 No valid recipients\r\n"
_END = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class Manners:
    """How the server behaves: per cent of recipients answered 451, the first time or, if it greylists, for so many
    seconds since the first; connections that it takes at once, 0 for any number; seconds that a message takes, and
    those that one takes after a signal (SIGUSR1), until the next."""

    defer: float = 0.0
    greylist: float = 0.0
    limit: int = 0
    takes: float = 0.0
    slow: float = 0.0


@dataclass(slots=True)
class Ledger:
    """What the server writes down, who was put off already and when first, and how many are connected."""

    file: IO[bytes]
    manners: Manners
    keep: Path | None = None
    deferred: dict[bytes, float] = field(default_factory=dict)
    connected: int = 0

    def write(self, event: str, at: float, recipient: bytes, *rest: object) -> None:
        """One line."""
        line = "\t".join((event, f"{at:.6f}", recipient.decode("utf-8", "replace").lower(), *map(str, rest)))
        self.file.write(line.encode() + b"\n")

    def change_pace(self) -> None:
        """Be slow, or no longer."""
        self.manners = replace(self.manners, takes=self.manners.slow, slow=self.manners.takes)

    def puts_off(self, recipient: bytes) -> bool:
        """Whether this recipient is to come again, the same ones whoever asks."""
        if zlib.crc32(recipient) % 10_000 >= self.manners.defer * 100:
            return False
        now = time.monotonic()
        first = self.deferred.setdefault(recipient, now)
        return first == now or now < first + self.manners.greylist


class Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._buffer = bytearray()
        self._recipients: list[bytes] = []
        self._in_data = False
        self._begun = 0.0
        self._searched = 0
        self._counted = self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class does not inherit it
        ledger = self._ledger
        if 0 < ledger.manners.limit <= ledger.connected:
            ledger.write("refused", time.time(), b"")
            self._transport.write(b"421 4.7.0 sink Error: too many connections\r\n")
            self._transport.close()
            return
        self._counted = True
        ledger.connected += 1
        self._transport.write(b"220 sink ESMTP\r\n")

    def connection_lost(self, _exc: Exception | None) -> None:
        self._ledger.connected -= self._counted

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._counted and not self._busy:
            self._answer()

    def _answer(self) -> None:
        """Answer what is there, up to a message that takes its time."""
        replies: list[bytes] = []
        while (reply := self._message() if self._in_data else self._command()) is not None:
            replies.append(reply)
            if self._busy:
                return
        if replies:
            self._transport.write(b"".join(replies))
        if replies and replies[-1].startswith(b"221"):
            self._transport.close()

    def _message(self) -> bytes | None:
        """The reply to a message, once it is whole."""
        buffer = self._buffer
        end = buffer.find(_END, max(self._searched - len(_END), 0))
        if end < 0:
            self._searched = len(buffer)
            return None
        message = bytes(buffer[:end])
        del buffer[: end + len(_END)]
        self._in_data = False
        head = message[: message.find(b"\r\n\r\n")]
        ids = [found[1].decode("ascii", "replace") if (found := id_.search(head)) else "" for id_ in _IDS]
        now = time.time()
        for recipient in self._recipients:
            self._ledger.write("taken", now, recipient, f"{self._begun:.6f}", len(message), *ids)
        if self._ledger.keep is not None:
            self._ledger.keep.write_bytes(message)
        self._recipients = []
        if self._ledger.manners.takes:
            self._busy = True
            asyncio.get_running_loop().call_later(self._ledger.manners.takes, self._done)
        return _OK

    def _done(self) -> None:
        self._busy = False
        self._transport.write(_OK)
        self._answer()

    def _command(self) -> bytes | None:  # noqa: PLR0911 - one command, one return
        """The reply to a command, once its line is whole."""
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        match line[:4].upper():
            case b"RCPT":
                return self._recipient(line)
            case b"DATA":
                return self._data()
            case b"EHLO":
                return _EHLO
            case b"QUIT":
                return b"221 2.0.0 Bye\r\n"
            case b"MAIL" | b"RSET":
                self._recipients = []
                return _OK
            case b"HELO" | b"NOOP":
                return _OK
            case _:
                return b"500 5.5.2 What?\r\n"

    def _recipient(self, line: bytes) -> bytes:
        found = _ADDRESS.search(line)
        if found is None:
            return b"501 5.1.3 No address\r\n"
        recipient = found[1]
        if self._ledger.puts_off(recipient):
            self._ledger.write("deferred", time.time(), recipient)
            return _LATER
        self._recipients.append(recipient)
        return _OK

    def _data(self) -> bytes:
        if not self._recipients:
            return _NO_RECIPIENT
        self._in_data = True
        self._searched = 0
        self._begun = time.time()
        for recipient in self._recipients:
            self._ledger.write("begun", self._begun, recipient)
        return b"354 Go on\r\n"


async def _serve(port: int, ledger: Ledger) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, ledger.change_pace)
    server = await loop.create_server(lambda: Session(ledger), "127.0.0.1", port, backlog=256)
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), FLUSH_SECONDS)
        ledger.file.flush()
    server.close()


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m bench.mail.sink", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True, help="where it is written down")
    parser.add_argument("--defer", type=float, default=0.0, help="per cent of recipients answered 451 the first time")
    parser.add_argument("--greylist", type=float, default=0.0, help="seconds for which they are, since the first")
    parser.add_argument("--limit", type=int, default=0, help="connections taken at once; 0: any number")
    parser.add_argument("--takes", type=float, default=0.0, help="seconds that the end of a message takes")
    parser.add_argument("--slow", type=float, default=0.0, help="the same after SIGUSR1, until the next")
    parser.add_argument("--keep", type=Path, help="a file for the last message taken")
    arguments = parser.parse_args()
    with arguments.log.open("ab", buffering=1 << 20) as file:
        manners = Manners(arguments.defer, arguments.greylist, arguments.limit, arguments.takes, arguments.slow)
        uvloop.run(_serve(arguments.port, Ledger(file, manners, arguments.keep)))


@dataclass(frozen=True, slots=True)
class Taken:
    """One message the sink took for one recipient: when it began and ended (Unix time), its octets and its ids."""

    recipient: str
    begun: float
    at: float
    size: int
    message_id: str
    feedback_id: str

    @property
    def mailing(self) -> str:
        """The id of the mailing it belongs to, or of the event that caused it."""
        return self.feedback_id.partition(":")[0]

    @property
    def kind(self) -> str:
        """What it is about, as its Feedback-ID says."""
        return self.feedback_id.split(":")[2] if self.feedback_id.count(":") > 1 else ""


@dataclass(frozen=True, slots=True)
class RecordingSink:
    """A running sink that writes down whom it took what for."""

    port: int
    pid: int
    log: Path

    def lines(self) -> Iterator[list[str]]:
        """What was written down so far."""
        with self.log.open(encoding="utf-8") as log:
            for line in log:
                yield line.rstrip("\n").split("\t")

    def taken(self) -> Iterator[Taken]:
        """Every message that was taken whole, whether or not the sender learned of it."""
        for event, at, recipient, *rest in self.lines():
            if event == "taken":
                begun, size, message_id, feedback_id = rest
                yield Taken(recipient, float(begun), float(at), int(size), message_id, feedback_id)

    def settle(self) -> None:
        """Wait until all that was taken is written down."""
        time.sleep(FLUSH_SECONDS * 2)

    def change_pace(self) -> None:
        """Have it be slow, or no longer."""
        os.kill(self.pid, signal.SIGUSR1)

    def forget(self) -> None:
        """Begin the log anew, between two runs."""
        self.settle()
        os.truncate(self.log, 0)


@contextmanager
def recording(
    folder: Path, *, defer: float = 0.0, manners: Manners | None = None, keep: Path | None = None
) -> Iterator[RecordingSink]:
    """A sink of its own, ready; what it wrote down is there until the block ends."""
    log = folder / "sink.log"
    log.unlink(missing_ok=True)
    log.touch()
    port = free_port()
    told = manners or Manners(defer)
    words = ["--port", str(port), "--log", str(log), "--defer", str(told.defer), "--greylist", str(told.greylist)]
    words += ["--limit", str(told.limit), "--takes", str(told.takes), "--slow", str(told.slow)]
    if keep is not None:
        words += ["--keep", str(keep)]
    popen = subprocess.Popen([sys.executable, "-m", "bench.mail.sink", *words])
    try:
        wait_until(lambda: listening(port), "the sink to listen")
        yield RecordingSink(port, popen.pid, log)
    finally:
        popen.terminate()
        popen.wait()


if __name__ == "__main__":
    main()
