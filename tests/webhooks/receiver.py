"""Somebody's HTTP server that answers what a test wrote down for it, over plain sockets."""

import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

#: What to answer: octets, written at once; or something that writes to the connection itself.
Reply = bytes | Callable[[BinaryIO], None]

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def saying(status: int, body: str = "", *headers: str) -> bytes:
    """An answer."""
    lines = [f"HTTP/1.1 {status} Something", f"content-length: {len(body.encode())}", *headers, "", body]
    return "\r\n".join(lines).encode()


def hang_up(connection: BinaryIO) -> None:
    """Close the connection in place of an answer."""
    connection.close()


def say_nothing(connection: BinaryIO) -> None:
    """Read on and say nothing, until the other side hangs up."""
    connection.read()


def drip(beginning: bytes, piece: bytes) -> Reply:
    """Begin to answer, and never end: a piece every hundredth of a second, as long as somebody listens."""

    def endlessly(connection: BinaryIO) -> None:
        try:
            connection.write(beginning)
            while not threading.Event().wait(0.01):
                connection.write(piece)
        except OSError:
            pass

    return endlessly


@dataclass
class Request:
    """What was sent; `connection` is the number of the connection, `peer` the port at its other end."""

    connection: int
    peer: int
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """Answers one after the other, then with OK; all requests are kept."""

    replies: list[Reply] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    closes_after: int | None = None
    connections: int = 0
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook?token=unspoken"

    @property
    def ids(self) -> list[str]:
        return [request.id for request in self.requests]

    def will(self, *replies: Reply) -> None:
        """What to answer next."""
        self.replies += replies


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Serve until the block ends; with a `context`, encrypted."""
    found = Receiver(scheme="https" if context else "http")

    class Conversation(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def setup(self) -> None:
            if context is not None:
                self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def handle(self) -> None:
            found.connections += 1
            number = found.connections
            while first := self.rfile.readline():
                headers = {}
                while (line := self.rfile.readline().strip()) != b"":
                    name, _, value = line.decode().partition(": ")
                    headers[name.lower()] = value
                body = self.rfile.read(int(headers["content-length"]))
                path = first.split()[1].decode()
                found.requests.append(Request(number, self.client_address[1], path, headers, body))
                reply = found.replies.pop(0) if found.replies else OK
                if not isinstance(reply, bytes):
                    reply(self.request.makefile("rwb", buffering=0))
                    return
                self.wfile.write(reply)
                if found.closes_after is not None and len(found.requests) == found.closes_after:
                    return

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False
        request_queue_size = 50

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hung up in the middle is no news here."""

    with Server(("127.0.0.1", 0), Conversation) as server:
        found.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield found
        server.shutdown()


def in_order(requests: Sequence[Request]) -> list[str]:
    """The ids of what was sent, without what was repeated."""
    return list(dict.fromkeys(request.id for request in requests))
