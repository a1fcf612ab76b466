"""An HTTP client for webhooks, on h11: one POST at a time on a connection, which is kept open for the next.

Each connection is made to an address that was looked up and judged just before, so that no name leads to a network of
ours. Certificates are verified, redirections are not followed, and time, octets and steps of an answer are bounded
(docs/decisions/0009-http-client-of-webhooks.md says why no library does this for us).
"""

import asyncio
import os
import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import h11

from config import clock
from config.tls import client_context
from tasks.webhooks.rules import Answer, Problem, Target, is_public, judged, patience, said

#: Bytes read at once, and of one answer's body at most.
READ_BYTES, BODY_BYTES = 16_384, 65_536

#: Pieces of one answer at most: chunks of its body, and answers that say to wait. All that came are read in one step,
#: and each costs the same however small it is. Then what was read has to do, and the connection is not used again.
MOST_PIECES = 100

#: Times that one answer is read from at most, and lines of its head: some 200 bytes each come in one piece elsewhere.
MOST_READS, MOST_LINES = 1000, 200

#: Seconds that the body of an answer may take: its status says all that matters.
BODY_SECONDS = 2.0

#: Seconds that a connection is kept open without use, and how many are.
IDLE_SECONDS, MOST_IDLE = 30.0, 200

#: Addresses of one name that are tried, and seconds for each but the last; seconds for the end of a connection.
MOST_ADDRESSES, CONNECT_SECONDS, CLOSE_SECONDS = 4, 5.0, 2.0

#: How long the resolver tries, where nothing else is set: it is not to be stopped from outside, and holds a thread.
RESOLVER = "timeout:2 attempts:2"

#: Names looked up at once: as many as webhooks are served, for one that nobody answers for takes long.
LOOKUPS = 200

_HEAD_END = re.compile(rb"\n\r?\n")
_HEADERS = {"content-type": "application/cloudevents+json", "user-agent": "rollcall", "accept": "*/*"}


class _PrivateAddress(OSError):
    """The name stands for an address that webhooks may not lead to."""


@dataclass(slots=True)
class _HttpConnection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))
    used_at: float = 0.0
    reads: int = 0
    pieces: int = 0

    async def exchange(self, target: Target, headers: dict[str, str], body: bytes) -> Answer:
        """Send a request and read the answer, as far as is of interest."""
        named = {"host": target.authority, "content-length": str(len(body)), **headers}
        request = h11.Request(method="POST", target=target.path, headers=list(named.items()))
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            if sent := self.protocol.send(event):
                self.writer.write(sent)
        await self.writer.drain()
        self.reads = self.pieces = 0
        response = await self._next()
        while isinstance(response, h11.InformationalResponse):
            response = await self._next()
        if not isinstance(response, h11.Response):
            raise ConnectionResetError
        status, problem = response.status_code, judged(response.status_code)
        retry_after = dict(response.headers).get(b"retry-after", b"").decode("ascii", "replace")
        pause = patience(status, retry_after, clock.now())
        beginning = await self._beginning()
        return Answer(problem, status, said(beginning) if problem else "", pause)

    async def _beginning(self) -> bytes:
        """The beginning of the body. Unless it ends there, and soon, the connection cannot be used again."""
        read = b""
        with suppress(TimeoutError, OSError, h11.RemoteProtocolError):
            async with asyncio.timeout(BODY_SECONDS):
                while len(read) <= BODY_BYTES and isinstance(event := await self._next(), h11.Data):
                    read += event.data
        return read

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        """What comes next. Raises `RemoteProtocolError` where an answer comes in too many pieces."""
        self.pieces += 1
        while self._fits() and (event := self.protocol.next_event()) is h11.NEED_DATA:
            self.reads += 1
            read = await self.reader.read(READ_BYTES)
            if not read and self.protocol.their_state is h11.SEND_RESPONSE:
                raise ConnectionResetError  # without an answer
            self.protocol.receive_data(read)
        return event  # type: ignore[return-value]

    def _fits(self) -> bool:
        came = self.protocol.trailing_data[0] if self.protocol.their_state is h11.SEND_RESPONSE else b""
        head = _HEAD_END.split(came, maxsplit=1)[0]
        if self.pieces > MOST_PIECES or self.reads > MOST_READS or head.count(b"\n") > MOST_LINES:
            raise h11.RemoteProtocolError("an answer comes in too many pieces")
        return True

    def is_reusable(self) -> bool:
        """Whether the connection can be used for another request; it is closed otherwise."""
        done = self.protocol.our_state is h11.DONE and self.protocol.their_state is h11.DONE
        if done and not self.protocol.trailing_data[0]:  # or what follows would be taken for the next answer
            self.protocol.start_next_cycle()
            self.used_at = time.monotonic()
            return True
        self.writer.transport.abort()  # a receiver that reads nothing would keep it open for as long as it likes
        return False


class HttpClient:
    """The connections of one process to its receivers. `private`: whether private addresses may be reached; `seconds`:
    how long one exchange may take, looking up and connecting included."""

    def __init__(self, *, private: bool, seconds: float) -> None:
        self.seconds = seconds
        self._private = private
        self._idle: dict[tuple[str, bool], _HttpConnection] = {}
        os.environ.setdefault("RES_OPTIONS", RESOLVER)
        self._lookups = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookups")
        self._looked_up: dict[tuple[str, int], asyncio.Future[Any]] = {}

    async def post(self, target: Target, headers: dict[str, str], body: bytes) -> Answer:
        """Send a request and return the answer, or the problem, within `seconds`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.seconds):
                answer = await self._sent(target, _HEADERS | headers, body)
        except (OSError, h11.RemoteProtocolError) as problem:  # TimeoutError is an OSError, too
            answer = Answer(_named(problem))
        return replace(answer, milliseconds=round((time.monotonic() - began) * 1000))

    async def _sent(self, target: Target, headers: dict[str, str], body: bytes) -> Answer:
        """Try the kept connection, if there is one; if it turns out to be closed, make a new one. It may have been
        closed upon the request: by the webhook's id, the receiver knows that the second request is the same."""
        kept = self._idle.pop((target.authority, target.encrypted), None)
        if kept is not None:
            with suppress(ConnectionError, h11.RemoteProtocolError):
                return await self._on(kept, target, headers, body)
        return await self._on(await self._connect(target), target, headers, body)

    async def _on(self, connection: _HttpConnection, target: Target, headers: dict[str, str], body: bytes) -> Answer:
        answer = None
        try:
            answer = await connection.exchange(target, headers, body)
        finally:
            if answer is None:
                connection.writer.transport.abort()
        if connection.is_reusable():
            other = self._idle.pop((target.authority, target.encrypted), None)
            if other is not None:
                other.writer.close()
            self._idle[target.authority, target.encrypted] = connection
            if len(self._idle) > MOST_IDLE:
                self._idle.pop(next(iter(self._idle))).writer.close()
        return answer

    async def _connect(self, target: Target) -> _HttpConnection:
        addresses = [str(place[0]) for *_, place in await self._look_up(target.host, target.port)]
        allowed = [address for address in addresses if self._private or is_public(address)][:MOST_ADDRESSES]
        if not allowed:
            raise _PrivateAddress
        *others, last = allowed
        for address in others:
            with suppress(OSError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await self._open(address, target)
        return await self._open(last, target)

    async def _look_up(self, host: str, port: int) -> Any:
        """The addresses of a name. One that nobody answers for holds one thread, however often it is asked for."""
        looking = self._looked_up.get((host, port))
        if looking is None:
            look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
            looking = asyncio.get_running_loop().run_in_executor(self._lookups, look_up)
            self._looked_up[host, port] = looking
            looking.add_done_callback(lambda done: self._forget(host, port, done))
        return await asyncio.shield(looking)

    def _forget(self, host: str, port: int, done: "asyncio.Future[Any]") -> None:
        self._looked_up.pop((host, port), None)
        if not done.cancelled():
            done.exception()  # seen, though everybody who asked may have gone

    async def _open(self, address: str, target: Target) -> _HttpConnection:
        tls: dict[str, Any] = {}
        if target.encrypted:
            tls = {
                "ssl": client_context("http/1.1"),
                "server_hostname": target.host,
                "ssl_shutdown_timeout": CLOSE_SECONDS,
            }
        reader, writer = await asyncio.open_connection(address, target.port, limit=READ_BYTES, **tls)
        return _HttpConnection(reader, writer)

    def tidy(self, *, all_: bool = False) -> None:
        """Close the connections that were idle for `IDLE_SECONDS`, or all, for good."""
        before = time.monotonic() - IDLE_SECONDS
        for where, connection in list(self._idle.items()):
            if all_ or connection.used_at < before:
                del self._idle[where]
                connection.writer.close()
        if all_:
            self._lookups.shutdown(wait=False, cancel_futures=True)


def _named(problem: Exception) -> Problem:
    """The name of a failure. Its message may quote what came in, and is not kept."""
    kinds: tuple[tuple[type[Exception], Problem], ...] = (
        (TimeoutError, Problem.TOO_SLOW),
        (_PrivateAddress, Problem.PRIVATE_ADDRESS),
        (socket.gaierror, Problem.UNKNOWN_HOST),
        (ssl.SSLError, Problem.NOT_TRUSTED),
        (h11.RemoteProtocolError, Problem.NOT_HTTP),
    )
    return next((name for kind, name in kinds if isinstance(problem, kind)), Problem.UNREACHABLE)
