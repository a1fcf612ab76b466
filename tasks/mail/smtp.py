"""The conversation with the mail server: connections kept open, one envelope at a time on each, never cut short.

Cancelling a command mid-flight leaves a connection that answers the next message with the previous reply. So no
envelope is ever cancelled, and a connection is thrown away after anything but an orderly reply.
"""

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aiosmtplib
import uvloop

from config.settings import SmtpServer
from tasks.mail.message import needs_smtputf8, wire_address
from tasks.mail.rules import Answer, Attempt, answer_to

Result = TypeVar("Result")

#: Messages on one connection before it is replaced: servers limit it, and a fresh one spreads over their hosts.
MESSAGES_PER_CONNECTION = 500

#: Characters of a server's reply kept in the ledger.
LONGEST_REPLY = 500


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message for one recipient."""

    recipient: int
    sender: str
    address: str
    message: bytes


@dataclass(slots=True)
class _Connection:
    client: aiosmtplib.SMTP
    sent: int = 0


class Mailer:
    """A pool of connections in an event loop of its own; used from any thread."""

    def __init__(self, server: SmtpServer, *, connections: int, timeout: float) -> None:
        self._server = server
        self._connections = connections
        self._timeout = timeout
        self._context = None if server.tls == "none" else ssl.create_default_context()
        self._idle: deque[_Connection] = deque()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)
        self._thread.start()

    def send(self, envelopes: Sequence[Envelope], *, within: float) -> list[Attempt]:
        """Try envelopes, several at a time; what the server said to each. Never raises for one of them.

        After `within` seconds none is begun any more, however long it took to connect: the gate is to be asked again
        about the rest, which is left out of the answer. Each connection that was open before begins at least one.
        """
        return self._run(self._send_all(envelopes, within))

    def close(self) -> None:
        """Say goodbye on every connection and stop."""
        self._run(self._quit())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, job: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(job, self._loop).result()

    async def _send_all(self, envelopes: Sequence[Envelope], within: float) -> list[Attempt]:
        waiting = deque(envelopes)
        attempts: list[Attempt] = []
        deadline = self._loop.time() + within

        async def lane() -> None:
            while waiting:
                attempt = await self._attempt(waiting.popleft(), deadline)
                if attempt is not None:
                    attempts.append(attempt)
                if self._loop.time() >= deadline:
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._connections, len(envelopes))):
                group.create_task(lane())
        return attempts

    async def _attempt(self, envelope: Envelope, deadline: float) -> Attempt | None:
        try:
            address = wire_address(envelope.address)
        except ValueError as problem:
            return _attempt(envelope, Answer.IMPOSSIBLE, reply=str(problem).replace(envelope.address, "the address"))
        try:
            if self._idle:
                connection = self._idle.pop()
            else:
                connection = await self._connect()
                if self._loop.time() >= deadline:
                    self._idle.append(connection)
                    return None
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError) as problem:
            return _attempt(envelope, Answer.UNREACHABLE, getattr(problem, "code", None), type(problem).__name__)
        return await self._converse(connection, envelope, address, deadline)

    async def _converse(
        self, connection: _Connection, envelope: Envelope, address: str, deadline: float
    ) -> Attempt | None:
        client = connection.client
        options = []
        if needs_smtputf8(address):
            if not client.supports_extension("smtputf8"):
                self._idle.append(connection)
                return _attempt(envelope, Answer.IMPOSSIBLE, reply="the server takes no address beyond ASCII")
            options.append("SMTPUTF8")
        in_data = False
        try:
            await client.mail(envelope.sender, options=options, encoding="utf-8" if options else "ascii")
            await client.rcpt(address, encoding="utf-8" if options else "ascii")
            in_data = True
            response = await client.data(envelope.message)
        except aiosmtplib.SMTPResponseException as problem:
            return await self._refused(connection, envelope, problem, in_data=in_data)
        except (aiosmtplib.SMTPException, OSError) as problem:
            client.close()
            if connection.sent and not in_data:  # closed by the server while it was idle: begin again on another
                return None if self._loop.time() >= deadline else await self._attempt(envelope, deadline)
            answer = Answer.AMBIGUOUS if in_data else Answer.UNREACHABLE
            return _attempt(envelope, answer, reply=type(problem).__name__)
        connection.sent += 1
        if connection.sent < MESSAGES_PER_CONNECTION:
            self._idle.append(connection)
        else:
            await _goodbye(client)
        return _attempt(envelope, Answer.ACCEPTED, response.code, response.message)

    async def _connect(self) -> _Connection:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.tls == "implicit",
            start_tls=server.tls == "starttls",
            tls_context=self._context,
            timeout=self._timeout,
        )
        await client.connect()
        if client.is_ehlo_or_helo_needed:  # what it can do is asked before the first message, not with it
            try:
                await client.ehlo()
            except aiosmtplib.SMTPHeloError:
                await client.helo()
        return _Connection(client)

    async def _refused(
        self,
        connection: _Connection,
        envelope: Envelope,
        problem: aiosmtplib.SMTPResponseException,
        *,
        in_data: bool,
    ) -> Attempt:
        """What a reply other than the expected one means. One that is no refusal says nothing of what was done."""
        if not 400 <= problem.code < 600:
            connection.client.close()
            taken = in_data and 200 <= problem.code < 300
            unsaid = Answer.AMBIGUOUS if in_data else Answer.UNREACHABLE
            answer = Answer.ACCEPTED if taken else unsaid
            return _attempt(envelope, answer, problem.code, problem.message)
        await self._after_refusal(connection, problem.code)
        on_recipient = isinstance(problem, aiosmtplib.SMTPRecipientRefused)
        return _attempt(envelope, answer_to(problem.code), problem.code, problem.message, on_recipient=on_recipient)

    async def _after_refusal(self, connection: _Connection, code: int) -> None:
        """Begin anew on the same connection after an orderly refusal, or drop it where even that fails."""
        if code == 421 or not connection.client.is_connected:
            connection.client.close()
            return
        try:
            await connection.client.rset()
        except (aiosmtplib.SMTPException, OSError):
            connection.client.close()
        else:
            self._idle.append(connection)

    async def _quit(self) -> None:
        while self._idle:
            await _goodbye(self._idle.pop().client)


async def _goodbye(client: aiosmtplib.SMTP) -> None:
    try:
        await client.quit()
    except (aiosmtplib.SMTPException, OSError):
        client.close()


def _storable(reply: str) -> str:
    """A reply as PostgreSQL can keep it, whatever bytes the server sent."""
    return reply.replace("\0", "").encode("utf-8", "replace").decode()


def _attempt(
    envelope: Envelope, answer: Answer, code: int | None = None, reply: str | None = None, *, on_recipient: bool = False
) -> Attempt:
    return Attempt(
        envelope.recipient,
        answer,
        code=code if code is not None and 200 <= code < 600 else None,
        reply=None if reply is None else _storable(reply[:LONGEST_REPLY]),
        on_recipient=on_recipient,
    )
