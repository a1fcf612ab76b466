"""The connections of the pages: how many there may be, how long each may be silent, and what is no HTTP to us.

uvicorn bounds neither. Each connection here has a deadline for what it owes: the head of a request, the rest of a body
that was answered before it ended, reading what we answer. How long a body may take is bounded where it is read
(`workers.web.bodies`). Where there are too many connections, the one that has owed something for longest is closed.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple, NoReturn

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

#: Octets of a request's headers at most; what is longer is answered 400, like all that is not HTTP.
LONGEST_HEADERS = 16_384

#: Headers of a request at most.
MOST_HEADERS = 100

#: Seconds that the head of a request may take, from the connection or from its first octet on.
HEAD_SECONDS = 10.0

#: Seconds that a connection is kept open without use. A proxy in front should keep its own for less.
IDLE_SECONDS = 30.0

#: Seconds for the rest of a body that was answered before its end, and for reading an answer.
REST_SECONDS, WRITE_SECONDS = 5.0, 10.0

#: Pieces that a request may come in: so many, and one more for each so many octets of its body. Reading a piece costs
#: the same however small it is.
MOST_PIECES, OCTETS_A_PIECE = 1000, 100

#: Connections at most, where files allow it; and the share of them that one address may have.
MOST_CONNECTIONS, SHARE = 1000, 4

#: Connections taken from the system at once: up to four times as many are open before we know that they are too many.
ACCEPTED_AT_ONCE = 16

#: Files kept free for everything else: servers, logs, what is not closed yet.
OTHER_FILES = 64 + 4 * ACCEPTED_AT_ONCE

#: Connections that the system keeps for us while we are busy.
WAITING_OUTSIDE = 1024

_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

_STATUS_LINES = {status: b"HTTP/1.1 %d %s\r\n" % (status, phrase) for status, phrase in STATUS_PHRASES.items()}

_HEAD_END = re.compile(rb"\n\r?\n")
_HEAD = re.compile(
    rb"[!-~]+ [!-~]+ HTTP/1\.([01])\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n){0,"
    + str(MOST_HEADERS).encode()
    + rb"})\r\n"
)

#: What an absolute target has before its path (RFC 9112, 3.2.2). Whose name it is does not matter here, as with Host.
_ABSOLUTE = re.compile(rb"https?://[^/?#]+", re.IGNORECASE)


class _Owed(Enum):
    """What a connection is to do next."""

    HEAD = "the head of a request"
    REQUEST = "another request, if it likes"
    REST = "the rest of a body that was answered before its end"
    NOTHING = "nothing that is watched here"


_SECONDS = {_Owed.HEAD: HEAD_SECONDS, _Owed.REQUEST: IDLE_SECONDS, _Owed.REST: REST_SECONDS}


def most_connections(files: int) -> int:
    """Connections that a process with a limit of so many files may have."""
    return max(1, min(MOST_CONNECTIONS, files - OTHER_FILES))


def place_of(address: str) -> str:
    """Whom an address belongs to: itself, or for IPv6 its network of 64 bits, of which a customer has at least one."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or IPv6Network((int(ip) >> 64 << 64, 64)))
    return str(ip)


class Reply(NamedTuple):
    """An answer, as it is written: with the lines of its own headers, and the empty one after them."""

    status: int
    headers: bytes
    body: bytes


#: What may take the octets of a whole request, and reply later, or with None to have them read here after all.
Shortcut = Callable[[bytes, Callable[[Reply | None], None]], bool]


class Gatekeeper:
    """Who is let in. `most`: connections at once; `proxies`: whose connections are those of many people; `shortcut`: by
    which a request is answered without being read here."""

    def __init__(
        self, most: int, proxies: Iterable[IPv4Network | IPv6Network] = (), shortcut: Shortcut | None = None
    ) -> None:
        self.most = most
        self.shortcut = shortcut
        self.most_of_one = max(1, most // SHARE)
        self._proxies = list(proxies)
        self.inside: dict[Conversation, str] = {}
        self._places: Counter[str] = Counter()
        self._waiting: dict[Conversation, None] = {}
        self._usual: tuple[object, bytes] = None, b""

    def usual(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The lines of uvicorn's own headers: as long as it has the same list, they are the same."""
        if headers is not self._usual[0]:
            self._usual = headers, b"".join(b"%s: %s\r\n" % header for header in headers)
        return self._usual[1]

    def protocol(self, **uvicorn: Any) -> "Conversation":
        """What uvicorn makes of a connection."""
        return Conversation(self, **uvicorn)

    def enter(self, one: "Conversation", address: str) -> bool:
        """Let a connection in, if need be in place of one that has owed something for longest; false: it cannot be."""
        place = place_of(address)
        if self._places[place] >= self.most_of_one and not self._is_proxy(address) and not self._close_one(place):
            return False
        if len(self.inside) >= self.most and not self._close_one():
            return False
        self.inside[one] = place
        self._places[place] += 1
        return True

    def leave(self, one: "Conversation") -> None:
        """Forget a connection."""
        self._waiting.pop(one, None)
        if (place := self.inside.pop(one, None)) is not None:
            self._places[place] -= 1
            if not self._places[place]:
                del self._places[place]

    def waits(self, one: "Conversation", waits: bool) -> None:
        """Note that a connection owes something from now on, or does not any more."""
        self._waiting.pop(one, None)
        if waits and one in self.inside:
            self._waiting[one] = None

    def _is_proxy(self, address: str) -> bool:
        return bool(self._proxies) and any(ip_address(address) in network for network in self._proxies)

    def _close_one(self, place: str | None = None) -> bool:
        waiting = (one for one in self._waiting if not one.is_answered)
        found = next((one for one in waiting if place in {None, self.inside[one]}), None)
        if found is None:
            return False
        self.leave(found)
        found.transport.abort()
        return True


class _StrictConnection(h11.Connection):
    """HTTP/1.1 as it is written (RFC 9112), for what can be read in two ways is how requests are smuggled past a proxy:
    h11 alone takes a body with two lengths, folded lines, and lines that end in a line feed."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, LONGEST_HEADERS)
        self._pieces = self._octets = 0
        self.refusal: str | None = None

    def receive_data(self, data: bytes) -> None:
        """Take what came in."""
        self._pieces += 1
        super().receive_data(data)

    def next_event(self) -> Any:
        """What it means. Raises `RemoteProtocolError`, and why is in `refusal` where it is ours to say."""
        if self.their_state is h11.IDLE:
            self._check_head(self.trailing_data[0])
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._pieces += 1
            self._octets += len(event.data)
        if self._pieces > MOST_PIECES + self._octets // OCTETS_A_PIECE:
            self._refuse("The request comes in too many pieces that are too small.")
        if isinstance(event, h11.Request) and (absolute := _ABSOLUTE.match(event.target)):
            path = event.target[absolute.end() :]
            event = h11.Request(
                method=event.method,
                target=path if path.startswith(b"/") else b"/" + path,
                headers=event.headers,
                http_version=event.http_version,
            )
        return event

    def start_next_cycle(self) -> None:
        """Begin with the next request."""
        super().start_next_cycle()
        self._pieces = self._octets = 0

    def _check_head(self, octets: bytes) -> None:
        end = _HEAD_END.search(octets)
        if end is None:
            return
        if end.end() > LONGEST_HEADERS:  # h11 bounds only what came in pieces
            self._refuse(f"The head of the request has over {LONGEST_HEADERS:,} bytes.")
        head = _HEAD.fullmatch(octets, 0, end.end())
        if head is None:
            self._refuse(f"The head of the request is not as RFC 9112 writes it, or has over {MOST_HEADERS} headers.")
        minor, lines = head.groups()
        headers = [
            (line.partition(b":")[0].lower(), line.partition(b":")[2].strip(b" \t")) for line in lines.split(b"\r\n")
        ]
        lengths = [text for name, text in headers if name == b"content-length"]
        codings = [text.lower() for name, text in headers if name == b"transfer-encoding"]
        if lengths and codings:
            self._refuse("The request has both Content-Length and Transfer-Encoding.")
        if len(lengths) > 1 or not all(re.fullmatch(rb"[0-9]{1,18}", text) for text in lengths):
            self._refuse("Content-Length is not one number.")
        if codings and (codings != [b"chunked"] or minor == b"0"):
            self._refuse("Transfer-Encoding is not chunked, once, in HTTP/1.1.")

    def _refuse(self, why: str) -> NoReturn:
        self.refusal = self.refusal or why
        raise h11.RemoteProtocolError(why)


class Conversation(H11Protocol):
    """One connection, and what it owes us."""

    conn: _StrictConnection

    def __init__(self, door: Gatekeeper, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.conn = _StrictConnection()
        self._door = door
        self._owed = _Owed.NOTHING
        self._requests = 0
        self._is_fresh = False
        self._taken: bytes | None = None
        self._length, self._last = 0, False
        self._until: float | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, if there is room."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that `pause_writing` tells of every octet that is not read
        if self._door.enter(self, self.client[0] if self.client else ""):
            self._watch()
        else:
            transport.write(_TOO_MANY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._door.leave(self)
        for deadline in (self._deadline, self._write_deadline):
            if deadline is not None:
                deadline.cancel()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Take what came in, if need be once what came before is answered."""
        if self._taken is not None:
            self._taken += data
            if len(self._taken) > 2 * LONGEST_HEADERS:
                self.flow.pause_reading()
        elif self._is_between_requests() and self._door.shortcut and self._door.shortcut(data, self._reply):
            self._unset_keepalive_if_required()
            self._taken, self._length = data, len(data)
        else:
            self._is_fresh = False
            super().data_received(data)

    @property
    def is_answered(self) -> bool:
        """Whether a request came by the shortcut and waits for us: whatever was owed before, nothing is now."""
        return self._taken is not None

    def _is_between_requests(self) -> bool:
        if not self._is_fresh:  # nothing was read here since it was looked at
            idle = self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE
            self._is_fresh = idle and not self.conn.trailing_data[0]
        return self._is_fresh and not self.flow.write_paused

    def _reply(self, reply: Reply | None) -> None:
        """Write what came by the shortcut, or read the request here; then go on."""
        octets, self._taken = self._taken or b"", None
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if reply is None:
            self._is_fresh = False
            super().data_received(octets)
        else:
            usual = self._door.usual(self.server_state.default_headers)
            self.transport.write(b"".join((_STATUS_LINES[reply.status], usual, reply.headers, reply.body)))
            self._requests += 1
            self.server_state.total_requests += 1
            self._watch()
        if self._last:
            super().shutdown()
        elif reply is not None and (rest := octets[self._length :]):
            self.data_received(rest)

    def shutdown(self) -> None:
        """End, once what is being answered is answered."""
        if self._taken is None:
            super().shutdown()
        self._last = True

    def handle_events(self) -> None:
        """Do what came in."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """Go on after an answer."""
        self._requests += 1
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Wait for what was written to be read, but not for ever."""
        super().pause_writing()
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on writing."""
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what came in, if nothing was answered yet, and hang up."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(self.conn.refusal or msg)
        self.transport.close()

    def _owes(self) -> _Owed:
        if self.transport.is_closing() or self._taken is not None:
            return _Owed.NOTHING
        if self.conn.their_state is h11.IDLE:
            return _Owed.REQUEST if self._requests and not self.conn.trailing_data[0] else _Owed.HEAD
        answered = self.conn.our_state in {h11.DONE, h11.MUST_CLOSE}
        return _Owed.REST if answered and self.conn.their_state is h11.SEND_BODY else _Owed.NOTHING

    def _watch(self) -> None:
        """Begin to wait for what is owed now; whoever sends it in drops gets no more time by each."""
        owed = self._owes()
        if owed is self._owed and owed is not _Owed.REQUEST:
            return
        self._owed = owed
        self._door.waits(self, owed is not _Owed.NOTHING)
        self._until = self.loop.time() + _SECONDS[owed] if owed in _SECONDS else None
        if self._until is not None:
            self._check_at(self._until)

    def _check_at(self, moment: float) -> None:
        """Look then at the latest; a look that comes too early is cheaper than one that is put off each time."""
        if self._deadline is not None:
            if self._deadline.when() <= moment:
                return
            self._deadline.cancel()
        self._deadline = self.loop.call_at(moment, self._check_time)

    def _check_time(self) -> None:
        """Hang up, if it is time to."""
        self._deadline = None
        if self._until is None:
            return
        if self.is_answered:
            self._until = self.loop.time() + _SECONDS[self._owed]
        if self._until > self.loop.time():
            self._check_at(self._until)
            return
        if self._owed is _Owed.HEAD and self.conn.trailing_data[0]:
            self.transport.write(_TOO_SLOW)
        self.transport.close()
