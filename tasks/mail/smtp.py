"""The pool of connections to the mail server, kept open and used from any thread; `wire.py` is what is said on each.

No envelope is ever cancelled: what was begun is answered, or its connection is closed and the envelope judged by how
far it had come.
"""

import asyncio
import ssl
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from typing import Any, TypeVar, cast

import aiosmtplib
import uvloop

from config.settings import SmtpServer
from tasks.mail.answers import Stage
from tasks.mail.message import wire_address
from tasks.mail.outages import not_reached
from tasks.mail.rules import Answer, Attempt
from tasks.mail.wire import Envelope, Wire

__all__ = ["Envelope", "Mailer"]

Result = TypeVar("Result")

#: Messages begun on one connection before it is replaced: servers limit it, and a fresh one spreads over their hosts.
MESSAGES_PER_CONNECTION = 500

#: Seconds after which a connection is replaced, however little it carried; and for which it may lie idle. Servers close
#: idle ones after minutes (RFC 5321 4.5.3.2.7), and what lies between may forget them sooner without a word.
CONNECTION_LIVES_SECONDS = 300.0
CONNECTION_IDLES_SECONDS = 30.0

#: Seconds after the last may begin in which the server may still ask for a message (R20).
LATE_SECONDS = 0.5

#: Replies after which nothing more is begun for the moment: the server closes, or wants us to come back later.
HOLD = frozenset({421, 454})


class Mailer:
    """A pool of connections in an event loop of its own; used from any thread."""

    def __init__(self, server: SmtpServer, *, connections: int, timeout: float) -> None:
        self._server = server
        self._connections = connections
        self._timeout = timeout
        self._context = None if server.tls == "none" else ssl.create_default_context()
        self._hostname: str | None = None
        self._connected_at = 0.0
        self._idle: deque[Wire] = deque()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)
        self._thread.start()

    def send(self, envelopes: Iterable[Envelope], *, within: float) -> list[Attempt]:
        """Try envelopes, several at a time; what the server said to each. Never raises for one of them; nor may
        `envelopes`.

        Each is taken from `envelopes` when a connection is free for it. After `within` seconds none is begun any more,
        however long it took to connect: the gate is to be asked again about the rest, which is left out of the answer.
        So is what is left when the server cannot be reached, or asks for patience. Each connection that was open before
        begins at least one.
        """
        return self._run(_Sending(self, envelopes, within).done())

    def close(self) -> None:
        """Say goodbye on every connection and stop."""
        self._run(self._quit())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, job: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(job, self._loop).result()

    async def _quit(self) -> None:
        for wire in self._idle:
            wire.say_goodbye()
        self._idle.clear()
        await asyncio.sleep(0)

    def take_idle(self) -> Wire | None:
        """A connection that is open and fit for use, if there is one."""
        while self._idle:
            wire = self._idle.pop()
            if wire.usable and self._fit(wire):
                return wire
            wire.say_goodbye()
        return None

    def put_back(self, wire: Wire) -> None:
        """Keep a connection for the next message, unless it has served its time."""
        if not wire.usable:
            return
        if self._fit(wire):
            self._idle.append(wire)
        else:
            wire.say_goodbye()

    def _fit(self, wire: Wire) -> bool:
        now = self._loop.time()
        return (
            wire.begun < MESSAGES_PER_CONNECTION
            and now - wire.opened_at < CONNECTION_LIVES_SECONDS
            and now - wire.rested_at < CONNECTION_IDLES_SECONDS
        )

    async def connect(self) -> Wire:
        """A new connection: encrypted, signed in, and asked what it can do."""
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            local_hostname=self._hostname,
            use_tls=server.tls == "implicit",
            start_tls=server.tls == "starttls",
            tls_context=self._context,
            timeout=self._timeout,
        )
        await client.connect()
        self._hostname = client.local_hostname  # looked up once: a resolver may take its time
        if client.is_ehlo_or_helo_needed:
            try:
                await client.ehlo()
            except aiosmtplib.SMTPHeloError:
                await client.helo()
        if client.transport is None:
            raise aiosmtplib.SMTPServerDisconnected("closed before the first message")
        self._connected_at = time.monotonic()
        transport = cast(asyncio.Transport, client.transport)
        extensions = client.esmtp_extensions
        return Wire(self._loop, transport, extensions, timeout=self._timeout, most=MESSAGES_PER_CONNECTION)

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


class _Sending:
    """Envelopes on their way over as many connections as it takes."""

    def __init__(self, mailer: Mailer, envelopes: Iterable[Envelope], within: float) -> None:
        self._mailer = mailer
        self._envelopes = iter(envelopes)
        self._within = within
        self._again: deque[Envelope] = deque()
        self._attempts: list[Attempt] = []
        self._deadline = 0.0
        self._stopped = False

    async def done(self) -> list[Attempt]:
        """Carry all of them; what became of each that was begun."""
        self._deadline = self._mailer.loop.time() + self._within
        async with asyncio.TaskGroup() as lanes:
            for _ in range(self._mailer.connections):
                first = self._take(in_time=False)
                if first is None:
                    break
                lanes.create_task(self._lane(first))
        return self._attempts

    async def _lane(self, first: Envelope) -> None:
        """One connection after the other, until nothing is left to begin."""
        head: Envelope | None = first
        while head is not None:
            wire = self._mailer.take_idle()
            if wire is None:
                try:
                    wire = await self._mailer.connect()
                except Exception as problem:  # noqa: BLE001 - whatever it was, nobody was reached
                    self._unreachable(head, problem)
                    return
                if self._late:
                    self._mailer.put_back(wire)
                    return
            until = self._deadline + LATE_SECONDS
            await wire.carry(head, self._take, self._report, self._again.append, until=until)
            self._mailer.put_back(wire)
            head = self._take()

    @property
    def _late(self) -> bool:
        return self._mailer.loop.time() >= self._deadline

    def _take(self, *, in_time: bool = True) -> Envelope | None:
        """The next envelope to begin, or None where there is none, or none is to be begun any more."""
        if self._stopped or (in_time and self._late):
            return None
        if self._again:
            return self._again.popleft()
        for envelope in self._envelopes:
            try:
                address = wire_address(envelope.address)
            except ValueError as problem:
                reply = str(problem).replace(envelope.address, "the address")
                self._attempts.append(Attempt(envelope.recipient, Answer.IMPOSSIBLE, reply=reply))
                continue
            if address == envelope.address and address.isascii():
                return envelope
            return replace(envelope, address=address, utf8=not address.isascii())
        return None

    def _report(self, attempt: Attempt) -> None:
        self._attempts.append(attempt)
        if attempt.code in HOLD:
            self._stopped = True

    def _unreachable(self, envelope: Envelope, problem: Exception) -> None:
        code, said, about = not_reached(problem, self._mailer.secrets)
        self._stopped = True
        self._report(
            Attempt(envelope.recipient, Answer.UNREACHABLE, code=code, reply=said, about=about, stage=Stage.CONNECT)
        )
