"""The embedded catch-all mail server: whatever is sent to it becomes a file in a Maildir a person can open.

It stands in for a real SMTP server on a machine that has none, so it is strict where real ones are (line length, size,
malformed addresses) and quick where aiosmtpd is slow. Loopback only, no authentication, nothing is ever passed on.
"""

import argparse
import asyncio
import itertools
import logging
import os
import re
import signal
import socket
import time
from asyncio import LimitOverrunError
from collections.abc import Iterator
from pathlib import Path

import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session

#: Bytes; the largest message taken, as announced with SIZE (RFC 1870).
SIZE_LIMIT = 32 * 1024 * 1024
#: Octets of one line without its CRLF (RFC 5322, 2.1.1); longer ones break at real servers, so they must break here.
LINE_LIMIT = 998
#: What real mail is addressed to; anything more exotic goes to aiosmtpd's full parser, at 50 times the cost.
PLAIN_PATH = re.compile(r'\s*<([^\s<>"\\@]+@[^\s<>"\\@]+)>(.*)')
#: The end of a message; its first CRLF may be the one that ended the DATA command (RFC 5321, 4.1.1.4).
END_OF_DATA = b"\r\n.\r\n"
#: Connections that may wait to be accepted: more than any pool of mail workers opens at once.
BACKLOG = 512


class Pipelining:
    """Offers PIPELINING (RFC 2920), which aiosmtpd's reading by lines allows without saying so."""

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name, as below
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer it, behind what else is offered."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]


class Maildir(Pipelining):
    """Writes messages the way the Maildir format asks: complete under tmp/, then renamed into new/.

    No fsync: it is a mailbox to look into, not one to rely on.
    """

    def __init__(self, path: Path) -> None:
        self._tmp, self._new = path / "tmp", path / "new"
        for folder in (path, self._tmp, self._new, path / "cur"):
            folder.mkdir(mode=0o700, exist_ok=True)
        self._names = _unique_names()

    def keep(self, sender: str, recipients: list[str], content: bytes) -> None:
        """Write one message, with its envelope in headers on top and lines ended by LF, as mail readers expect."""
        head = "".join([f"Return-Path: <{sender}>\n", *(f"Delivered-To: {recipient}\n" for recipient in recipients)])
        unfinished = self._tmp / next(self._names)
        with unfinished.open("xb", buffering=0) as message:
            message.write(head.encode() + content.replace(b"\r\n", b"\n"))
        unfinished.rename(self._new / unfinished.name)


class CatchAll(SMTP):
    """aiosmtpd with its two slow paths replaced: address parsing, and reading a message line by line."""

    #: Also the limit of the stream reader, which must hold a whole message for `smtp_DATA` to find its end.
    line_length_limit = SIZE_LIMIT

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """Split `<address> parameters`; (None, None) where it is malformed, which the client is told."""
        if not arg.isprintable():  # a control character in an address would end up in a header
            return None, None
        if plain := PLAIN_PATH.fullmatch(arg):
            return plain[1], plain[2]
        address, parameters = super()._getaddr(arg)
        return address, parameters

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        """Take a message in one read up to its end, however many lines it has."""
        envelope = self.envelope
        if envelope is None or not envelope.rcpt_tos:
            await self.push("503 5.5.1 Need RCPT command")
        elif arg:
            await self.push("501 5.5.4 Syntax: DATA")
        else:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            content = await self._read_message()
            self.envelope = Envelope()
            await self.push(self._keep(envelope, content))

    def _keep(self, envelope: Envelope, content: bytes | None) -> str:
        """Write the message and say how that went; a full or vanished disk is a temporary failure."""
        if content is None:
            return "552 5.3.4 Message larger than announced with SIZE"
        if max(map(len, content.split(b"\r\n"))) > LINE_LIMIT:
            return "500 5.6.0 Line too long (RFC 5322, 2.1.1)"
        sender = envelope.mail_from or ""
        try:
            self.event_handler.keep("" if sender == "<>" else sender, envelope.rcpt_tos, content)
        except OSError as error:
            return f"451 4.3.0 The mailbox cannot be written: {error.strerror}"
        return "250 2.0.0 Kept"

    async def _read_message(self) -> bytes | None:
        """The message without its dot-stuffing, or None if it was larger than the limit (and is now skipped)."""
        buffer: bytearray = self._reader._buffer  # type: ignore[attr-defined]
        buffer[:0] = b"\r\n"  # the CRLF of the DATA command, so that an empty message ends like any other
        too_large = False
        while True:
            try:
                stuffed: bytes = await self._reader.readuntil(END_OF_DATA)
            except LimitOverrunError as overrun:
                too_large = True
                await self._reader.readexactly(overrun.consumed)
            else:
                return None if too_large else stuffed[: -len(b".\r\n")].replace(b"\r\n.", b"\r\n")[2:]


def listen(preferred_port: int) -> socket.socket:
    """A loopback socket on the preferred port if it is free, else on one the kernel chooses."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("127.0.0.1", preferred_port))
    except OSError:
        server.bind(("127.0.0.1", 0))
    return server


async def serve(maildir: Path, port_file: Path, preferred_port: int) -> None:
    """Take mail until SIGTERM or SIGINT. The port file appears, whole, once mail is taken."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    handler = Maildir(maildir)

    def connection() -> CatchAll:
        # The host name is given because aiosmtpd otherwise asks the resolver for it at every connection.
        return CatchAll(handler, hostname="localhost", data_size_limit=SIZE_LIMIT, enable_SMTPUTF8=True, loop=loop)

    server = await loop.create_server(connection, sock=listen(preferred_port), backlog=BACKLOG)
    unfinished = port_file.with_name(f"{port_file.name}.{os.getpid()}")
    unfinished.write_text(f"{server.sockets[0].getsockname()[1]}\n")
    unfinished.rename(port_file)
    await stopped.wait()
    server.close()


def main() -> None:
    """Run the mail server from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m workers.mailbox", description="A catch-all mail server on loopback."
    )
    parser.add_argument("--maildir", type=Path, required=True, help="where messages go; created if missing")
    parser.add_argument("--port-file", type=Path, required=True, help="gets the port once mail is taken")
    parser.add_argument("--port", type=int, default=0, help="the port to use if it is free")
    options = parser.parse_args()
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd logs every command
    uvloop.run(serve(options.maildir, options.port_file, options.port))


def _unique_names() -> Iterator[str]:
    """File names no other delivery uses: the time to the microsecond, this process, a count."""
    for count in itertools.count(1):
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        yield f"{seconds}.M{nanoseconds // 1000}P{os.getpid()}Q{count}.rollcall"


if __name__ == "__main__":
    main()
