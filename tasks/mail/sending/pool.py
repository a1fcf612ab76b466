"""The pool of connections to the mail server, kept open and used from any thread; `protocol.py` says what is said.

No envelope is ever cancelled: what was begun is answered, or its connection is closed and the envelope judged by how
far it had come.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar, cast

import aiosmtplib
import uvloop

from config.settings import SmtpServer
from config.tls import client_context
from tasks.mail.rules import MailAttempt
from tasks.mail.sending.envelope import Envelope
from tasks.mail.sending.pace import Lanes
from tasks.mail.sending.protocol import SmtpConnection
from tasks.mail.sending.slots import Use
from tasks.mail.sending.transmission import LATE_SECONDS, Transmission

__all__ = ["LATE_SECONDS", "Envelope", "Mailer"]

Result = TypeVar("Result")

#: Messages begun on one connection before it is replaced: servers limit it, and a fresh one spreads over their hosts.
MESSAGES_PER_CONNECTION = 500

#: Seconds after which a connection is replaced, however little it carried; and for which it may lie idle, much less
#: where the server limits their number: somebody else may wait for it.
CONNECTION_LIVES_SECONDS = 300.0
CONNECTION_IDLES_SECONDS = 5.0
SCARCE_IDLES_SECONDS = 0.5

#: Seconds between two looks at what lies idle, and between two times of saying how many connections there are.
LOOK_SECONDS = 0.25
SAY_SECONDS = 3.0

#: Seconds for which a connection that was said goodbye to is waited for, where the server would count it beside the
#: next; and after which one that was refused is tried once more: the server may not have counted the last one off yet.
GOODBYE_SECONDS = 1.0
ONCE_MORE_SECONDS = 0.25


class Mailer:
    """A pool of connections in an event loop of its own; used from any thread."""

    def __init__(self, server: SmtpServer, *, connections: int, timeout: float) -> None:
        self._server = server
        self._connections = connections
        self._timeout = timeout
        self._hostname: str | None = None
        self._connected_at = 0.0
        self._idle: deque[SmtpConnection] = deque()
        self._open: set[SmtpConnection] = set()
        self._connecting = self._busy = 0
        self._most = self._said = 0
        self._scarce = self._tending = False
        self._closed_at = self._said_at = -math.inf
        self._refused: MailAttempt | None = None
        self._hold: Callable[[Use], None] = lambda _use: None
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)
        self._thread.start()

    def send(self, envelopes: Iterable[Envelope], *, within: float, lanes: Lanes | None = None) -> list[MailAttempt]:
        """Try envelopes, several at a time; what the server said to each. Never raises for one of them; nor may
        `envelopes`.

        Each is taken from `envelopes` when a connection is free for it. After `within` seconds none is begun any more,
        however long it took to connect: the gate is to be asked again about the rest, which is left out of the answer.
        So is what is left when the server cannot be reached, or asks for patience. Each connection that was open before
        begins at least one. `lanes`: over how many connections; what they could not begin, because the server refused
        them, is left out, too.
        """
        return self._run(Transmission(self, envelopes, within, lanes).done())

    def use(self, mails: int) -> Use:
        """Which connections there are, and would be for so many mails besides."""
        busy = self._busy
        return Use(len(self._open) + self._connecting, busy, busy + min(self._connections, mails))

    def refused(self) -> MailAttempt | None:
        """What was said where the server refused a connection, since this was last asked."""
        said, self._refused = self._refused, None
        return said

    def report_use_to(self, hold: Callable[[Use], None]) -> None:
        """Whom to tell now and then which connections there are."""
        self._hold = hold

    def close_surplus(self, lanes: Lanes | None) -> None:
        """Close what lies idle beyond what there may be now."""
        self._loop.call_soon_threadsafe(self.begin, lanes)

    def close(self) -> None:
        """Say goodbye on every connection and stop."""
        self._run(self._quit())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, job: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(job, self._loop).result()

    async def _quit(self) -> None:
        self._hold = lambda _use: None
        for connection in self._idle:
            connection.say_goodbye()
        self._idle.clear()
        await asyncio.sleep(0)

    def take_idle(self) -> SmtpConnection | None:
        """A connection that is open and fit for use, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and self._fit(connection):
                return connection
            connection.say_goodbye()
        return None

    def put_back(self, connection: SmtpConnection) -> None:
        """Keep a connection for the next message, unless it has served its time."""
        if not connection.usable:
            return
        if self._fit(connection):
            self._idle.append(connection)
        else:
            connection.say_goodbye()

    def _fit(self, connection: SmtpConnection) -> bool:
        now = self._loop.time()
        idles = SCARCE_IDLES_SECONDS if self._scarce else CONNECTION_IDLES_SECONDS
        return (
            not connection.worn
            and now - connection.opened_at < CONNECTION_LIVES_SECONDS
            and now - connection.rested_at < idles
        )

    def begin(self, lanes: Lanes | None) -> None:
        """Heed how many connections there may be, and close what lies idle beyond that."""
        if lanes is not None:
            self._most, self._scarce = lanes.in_all, lanes.scarce
        while self._scarce and self._idle and self._staying > self._most:
            self._idle.popleft().say_goodbye()

    def entered(self, lanes: int) -> None:
        """So many more, or fewer, are used."""
        self._busy += lanes

    @property
    def _staying(self) -> int:
        """Connections there are and will be, those apart that were said goodbye to."""
        return self._connecting + sum(not connection.leaving for connection in self._open)

    @property
    def works(self) -> bool:
        """Whether a connection is open."""
        return any(not connection.leaving for connection in self._open)

    async def others_connect(self) -> None:
        """Wait until it is known whether a connection works, if others are being made."""
        while self._connecting and not self.works:
            await asyncio.sleep(GOODBYE_SECONDS / 50)

    async def room(self) -> bool:
        """Whether one more may be opened. One that is being closed is waited for."""
        until = self._loop.time() + GOODBYE_SECONDS
        while self._scarce and len(self._open) > self._staying - self._connecting and self._loop.time() < until:
            await asyncio.sleep(GOODBYE_SECONDS / 50)
        return not self._scarce or self._staying < self._most

    def _gone(self, connection: SmtpConnection) -> None:
        self._open.discard(connection)
        self._closed_at = self._loop.time()

    def _tend(self) -> None:
        """Close what lies idle for too long, and say which connections there are, as long as there are some."""
        for connection in [
            connection for connection in self._idle if not connection.usable or not self._fit(connection)
        ]:
            self._idle.remove(connection)
            connection.say_goodbye()
        use, now = self.use(0), self._loop.time()
        if use.open != self._said or now - self._said_at >= SAY_SECONDS:
            self._said, self._said_at = use.open, now
            threading.Thread(target=self._hold, args=(use,), daemon=True).start()  # an executor ends before the process
        self._tending = bool(use.open or self._busy)
        if self._tending:
            self._loop.call_later(LOOK_SECONDS, self._tend)

    def turned_away(self, said: MailAttempt) -> None:
        """The server refused a connection, though there are others."""
        self._refused = said

    async def connect(self) -> SmtpConnection:
        """A new connection: encrypted, signed in, and asked what it can do."""
        self._connecting += 1
        try:
            connection = await self._connected()
        except Exception:
            if self._loop.time() - self._closed_at > ONCE_MORE_SECONDS * 2:
                raise
            await asyncio.sleep(ONCE_MORE_SECONDS)
            connection = await self._connected()
        finally:
            self._connecting -= 1
        self._open.add(connection)
        if not self._tending:
            self._tending = True
            self._loop.call_later(LOOK_SECONDS, self._tend)
        return connection

    async def _connected(self) -> SmtpConnection:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            local_hostname=self._hostname,
            use_tls=server.tls == "implicit",
            start_tls=server.tls == "starttls",
            tls_context=None if server.tls == "none" else client_context(),
            timeout=self._timeout,
        )
        await client.connect()
        self._hostname = client.local_hostname  # looked up once: a resolver may take its time
        if client.is_ehlo_or_helo_needed:
            try:
                await client.ehlo()
            except aiosmtplib.SMTPHeloError:
                await client.helo()
        if client.transport is None or client.transport.is_closing():
            raise aiosmtplib.SMTPServerDisconnected("closed before the first message")
        self._connected_at = time.monotonic()
        transport = cast(asyncio.Transport, client.transport)
        extensions = client.esmtp_extensions
        return SmtpConnection(
            self._loop, transport, extensions, timeout=self._timeout, most=MESSAGES_PER_CONNECTION, gone=self._gone
        )

    @property
    def secrets(self) -> tuple[str | None, str | None]:
        """What no log or page may show, though the server may repeat it."""
        return self._server.password, self._server.user

    def connected_since(self, moment: float) -> bool:
        """Whether a connection was made since a moment of the monotonic clock."""
        return self._connected_at >= moment

    @property
    def connections(self) -> int:
        """How many connections one sending may use."""
        return self._connections

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where the connections live."""
        return self._loop
