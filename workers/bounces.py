"""Takes what comes back, delivery reports and complaints, over LMTP (RFC 2033) or SMTP: 250 is said once it is stored.

A report is refused only before it was given, by naming a recipient that is not ours, so that nothing here ever causes a
bounce for a bounce. Of a long message the beginning is kept, where what matters stands, and the rest is thrown away.
"""

import asyncio
import logging
import re
from asyncio import LimitOverrunError
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from config.log import without_data
from config.runtime import Runtime
from tasks.bounces import Arrived, record_bounce
from tasks.fleet import ProcessRole
from tasks.mail import ReturnPaths
from workers import readiness
from workers.mailbox import END_OF_DATA, Pipelining
from workers.presence import Presence

log = structlog.get_logger()

#: Bytes; the largest message taken, as announced with SIZE (RFC 1870): a mail of ours and what was put around it.
SIZE_LIMIT = 64 * 1024 * 1024
#: Bytes of a message that are kept: in a report, what failed and why stand before the copy of the mail.
KEPT = 128 * 1024
#: Connections at once; whoever wants one more is told to come back.
MOST_CONNECTIONS = 50
#: Messages on one connection, and other commands of one kind; then the server hangs up.
MOST_COMMANDS = 1000
#: Seconds of patience with a silent client, and with one message until it is stored.
IDLE_SECONDS = 60.0
MESSAGE_SECONDS = 120.0

#: Seconds between two times at which the process says that it goes on.
LIFE_SECONDS = 5.0
#: Messages read and stored at once.
THREADS = 2

#: `<address> parameters`, as of MAIL and RCPT; the null sender is `<>`.
_PATH = re.compile(r"<([^<>\s]*)>(.*)")


class ReportReceiver(Pipelining):
    """Where reports are handed in: what all conversations share."""

    def __init__(self, runtime: Runtime, idle_seconds: float = IDLE_SECONDS) -> None:
        self.open: set[_Conversation] = set()
        self._runtime = runtime
        self._returns = ReturnPaths(runtime.endpoints.bounce_address, runtime.endpoints.secret_key)
        self._name = runtime.endpoints.bounce_address.rpartition("@")[2] or "localhost"
        self._idle_seconds = idle_seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="bounces")
        self._empty = asyncio.Event()

    def converse(self) -> "_Conversation":
        """A conversation with whoever has connected."""
        spoken = _OverLmtp if self._runtime.settings.rollcall_bounces_protocol == "lmtp" else _Conversation
        return spoken(
            self,
            hostname=self._name,
            ident="Rollcall takes reports",
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,
            timeout=self._idle_seconds,
            command_call_limit=MOST_COMMANDS,
            loop=asyncio.get_running_loop(),
        )

    async def record(self, arrived: Arrived) -> str:
        """Store a message that came; the answer."""
        await asyncio.get_running_loop().run_in_executor(
            self._threads, record_bounce, self._runtime, self._returns, arrived
        )
        return "250 2.0.0 Stored"

    async def close(self, seconds: float) -> None:
        """Hang up on whoever has given nothing, and wait until what was given is stored."""
        for conversation in list(self.open):
            conversation.finish()
        if self.open:
            self._empty.clear()  # it is set since the first time that everybody had left
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def left(self, conversation: "_Conversation") -> None:
        """Forget a conversation that has ended."""
        self.open.discard(conversation)
        if not self.open:
            self._empty.set()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name, as below
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take what comes to an envelope sender of ours; one at a time, so that one answer is about one report."""
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient at a time"
        if not self._returns.takes(address):
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_exception(self, error: Exception) -> str:
        """Whatever went wrong here, the report is not lost: whoever has it keeps it."""
        log.error("bounces.not_stored", **without_data(error))
        return "451 4.3.0 Not stored, try again later"


class _Conversation(SMTP):
    """aiosmtpd with what it lacks for the open internet: a bound on connections, and messages of any length."""

    #: Also the limit of the stream reader, which hands on a message in pieces of it.
    line_length_limit = 32 * 1024

    event_handler: ReportReceiver
    _finishing = False
    _storing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or hang up politely where too many talk already."""
        if len(self.event_handler.open) >= MOST_CONNECTIONS:
            assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a server's are
            transport.write(b"421 4.7.0 Too many connections\r\n")
            transport.close()
            return
        self.event_handler.open.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        if self in self.event_handler.open:
            super().connection_lost(error)
            self.event_handler.left(self)

    def finish(self) -> None:
        """End as soon as what was given is stored."""
        self._finishing = True
        if not self._storing and self.transport is not None:
            self.transport.close()

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """Split `<address> parameters`; (None, None) where it is malformed, which the client is told."""
        path = _PATH.fullmatch(arg.strip()) if arg.isprintable() else None
        return (path[1] or "<>", path[2]) if path else (None, None)

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        """Take a message, and store it before saying so."""
        envelope = self.envelope
        if envelope is None or not envelope.rcpt_tos:
            await self.push("503 5.5.1 Need RCPT command")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        self._reset_timeout(MESSAGE_SECONDS)
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        content = await self._beginning()
        self._storing = True  # only now it is given; whoever still gives it has it, and gives it again
        try:
            self.envelope = self._create_envelope()
            if content is None:
                answer = "552 5.3.4 Message larger than announced with SIZE"
            else:
                sender = (envelope.mail_from or "").removeprefix("<>")
                answer = await self.event_handler.record(Arrived(sender, envelope.rcpt_tos[0], content))
            await self.push(answer)
        finally:
            self._storing = False
        if self._finishing:
            self.finish()

    async def _beginning(self) -> bytes | None:
        """The beginning of the message without its dot-stuffing, read to its end; None if that was too far away."""
        buffer: bytearray = self._reader._buffer  # type: ignore[attr-defined]
        buffer[:0] = b"\r\n"  # the CRLF of the DATA command, so that an empty message ends like any other
        kept = bytearray()
        size = 0
        ended = False
        while not ended:
            try:
                piece = await self._reader.readuntil(END_OF_DATA)
                ended = True
            except LimitOverrunError as overrun:
                piece = await self._reader.readexactly(overrun.consumed)
            size += len(piece)
            kept += piece[: KEPT - len(kept)]
        if size > SIZE_LIMIT:
            return None
        return bytes(kept).removesuffix(END_OF_DATA).replace(b"\r\n.", b"\r\n")[2:]


class _OverLmtp(_Conversation, LMTP):
    """The same in LMTP, which a mail server speaks to what it delivers to."""


async def serve(runtime: Runtime, on_listening: Callable[[int], None], *, idle_seconds: float = IDLE_SECONDS) -> None:
    """Take reports until told to stop, then store what was given; `on_listening` gets the port."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd logs what it is told, and by whom
    settings = runtime.settings
    loop = asyncio.get_running_loop()
    receiver = ReportReceiver(runtime, idle_seconds)
    server = await loop.create_server(receiver.converse, settings.rollcall_bounces_host, settings.rollcall_bounces_port)
    on_listening(int(server.sockets[0].getsockname()[1]))
    await loop.run_in_executor(None, runtime.stopping.wait)
    server.close()
    await receiver.close(settings.rollcall_drain_seconds)


async def _live(presence: Presence) -> None:
    while True:
        presence.lives()
        await asyncio.sleep(LIFE_SECONDS)


def run(runtime: Runtime, presence: Presence | None = None) -> None:
    """Take reports until told to stop."""
    settings = runtime.settings
    where = f"{settings.rollcall_bounces_protocol}://{settings.rollcall_bounces_host}"

    living: set[asyncio.Task[None]] = set()  # or it would be forgotten

    def started(port: int) -> None:
        living.add(asyncio.get_running_loop().create_task(_live(presence or Presence(runtime, ProcessRole.BOUNCES))))
        log.info("bounces.started", at=f"{where}:{port}")
        readiness.report()

    try:
        asyncio.run(serve(runtime, started))
    except OSError as problem:
        raise SystemExit(
            f"Reports cannot be taken at {where}:{settings.rollcall_bounces_port}: {problem.strerror}."
        ) from None
