"""A mail server that takes everything at once and keeps one thing: when each message began."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Recorder:
    """Who was named in RCPT before each DATA, and when DATA came (seconds, monotonic)."""

    port: int = 0
    begun: list[tuple[float, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """As `SMTP_URL` names it."""
        return f"smtp://127.0.0.1:{self.port}?tls=none"

    @property
    def recipients(self) -> list[str]:
        """Everybody a message began for, sorted; twice where two did."""
        return sorted(recipient for _, recipient in self.begun)

    def after(self, moment: float) -> list[float]:
        """How long after a moment messages began (seconds)."""
        return [at - moment for at, _ in self.begun if at > moment]


class _Conversation(asyncio.Protocol):
    """SMTP, as much as a client needs that may pipeline (RFC 2920)."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._unread = b""
        self._recipient = ""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 here\r\n")

    def data_received(self, data: bytes) -> None:
        self._unread += data
        answers = []
        while (answer := self._next()) is not None:
            answers.append(answer)
        self._transport.write(b"".join(answers))

    def _next(self) -> bytes | None:  # noqa: PLR0911 - one answer, one return
        """The answer to the next command that has come whole, or None."""
        if self._in_data:
            _, end, rest = self._unread.partition(b"\r\n.\r\n")
            if not end:
                return None
            self._unread, self._in_data = rest, False
            return b"250 kept\r\n"
        line, end, rest = self._unread.partition(b"\r\n")
        if not end:
            return None
        self._unread = rest
        match line[:4].upper():
            case b"EHLO":
                return b"250-here\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
            case b"RCPT":
                self._recipient = line.partition(b"<")[2].partition(b">")[0].decode()
            case b"DATA":
                self._recorder.begun.append((time.monotonic(), self._recipient))
                self._in_data = True
                return b"354 go on\r\n"
            case b"QUIT":
                return b"221 bye\r\n"
        return b"250 OK\r\n"


@contextmanager
def recording() -> Iterator[Recorder]:
    """Serve until the block ends."""
    recorder, loop = Recorder(), asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: _Conversation(recorder), "127.0.0.1", 0))
    recorder.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield recorder
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    loop.close()
