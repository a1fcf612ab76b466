"""A mail server for tests: real SMTP on loopback, which keeps what it took and answers as the test tells it to."""

import asyncio
import email
import email.policy
import socket
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

#: What the server answers to a recipient, given the address and how often it was named before; None takes it.
Script = Callable[[str, int], str | None]


@dataclass
class MailServer:
    """What a test sees of the server."""

    port: int = 0
    host: str = "127.0.0.1"
    taken: list[tuple[str, EmailMessage]] = field(default_factory=list)
    #: The envelope sender of each attempt, by recipient.
    senders: dict[str, list[str]] = field(default_factory=dict)
    on_sender: Callable[[], str | None] = lambda: None
    on_recipient: Script = lambda _address, _times: None
    on_data: Callable[[str], str | None] = lambda _address: None
    before_answer: Callable[[str], None] = lambda _address: None
    hangs_up: Callable[[str], bool] = lambda _address: False
    #: How many connections it takes at once, None for any number, and what it says to one more; nothing: it resets it.
    limit: int | None = None
    crowded: str = "421 4.7.0 mail.example Error: too many connections from 127.0.0.1"
    #: Connections now and at most at once, and how many were let in and refused.
    open: int = 0
    most: int = 0
    let_in: int = 0
    refused: int = 0
    _named: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """As `SMTP_URL` names it."""
        return f"smtp://{self.host}:{self.port}?tls=none"

    def reset(self) -> None:
        """Forget everything, and take everything again."""
        self.taken.clear()
        self.senders.clear()
        self._named.clear()
        self.on_sender = lambda: None
        self.on_recipient = lambda _address, _times: None
        self.on_data = lambda _address: None
        self.before_answer = lambda _address: None
        self.hangs_up = lambda _address: False
        self.limit = None
        self.crowded = MailServer.crowded
        self.most, self.let_in, self.refused = self.open, 0, 0

    def to(self, address: str) -> list[EmailMessage]:
        """The messages taken for an address."""
        return [message for recipient, message in self.taken if recipient == address]

    @property
    def named(self) -> int:
        """How many messages were begun: recipients named, whatever became of them."""
        return sum(self._named.values())

    @property
    def recipients(self) -> list[str]:
        """Everybody a message was taken for, sorted; twice where two were."""
        return sorted(recipient for recipient, _ in self.taken)

    def greylists(self, seconds: float, part: float = 1.0, says: str = "450 4.2.0 Greylisted") -> None:
        """Put off a part of the recipients, until so long after each was named first."""
        first: dict[str, float] = {}

        def answer(address: str, _times: int) -> str | None:
            if zlib.crc32(address.encode()) % 1000 >= part * 1000:
                return None
            now = time.monotonic()
            return says if now < first.setdefault(address, now) + seconds else None

        self.on_recipient = answer

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.on_sender()
        if answer is not None:
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        times = self._named.get(address, 0)
        self._named[address] = times + 1
        self.senders.setdefault(address, []).append(envelope.mail_from or "")
        answer = self.on_recipient(address, times)
        if answer is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        recipient = envelope.rcpt_tos[0]
        answer = self.on_data(recipient)
        if answer is not None:
            return answer
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        with self._lock:
            self.taken.append((recipient, message))
        if self.hangs_up(recipient):
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        await asyncio.get_running_loop().run_in_executor(None, self.before_answer, recipient)
        return "250 OK"


class Counting(SMTP):
    """Counts connections, and refuses those beyond the server's limit."""

    _counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server = self.event_handler
        assert isinstance(transport, asyncio.Transport)
        if server.limit is not None and server.open >= server.limit:
            server.refused += 1
            if server.crowded:
                transport.write(server.crowded.encode() + b"\r\n")
                transport.close()
            else:
                transport.abort()
            return
        self._counted = True
        server.open += 1
        server.let_in += 1
        server.most = max(server.most, server.open)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._counted:
            self.event_handler.open -= 1
            super().connection_lost(error)

    def eof_received(self) -> bool | None:
        return super().eof_received() if self._counted else False


class Counted(Controller):
    """Serves each connection with `Counting`."""

    def factory(self) -> SMTP:
        return Counting(self.handler, **self.SMTP_kwargs)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def start(port: int | None = None, host: str = "127.0.0.1") -> tuple[MailServer, Controller]:
    """A server, on a port that was free unless one is given."""
    port = port or free_port()
    server = MailServer(port, host)
    controller = Counted(server, hostname=host, port=port, enable_SMTPUTF8=True, decode_data=False)
    controller.start()
    return server, controller
