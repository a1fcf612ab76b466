"""A milter that fails for a while: it speaks Sendmail's protocol, version 6, and judges whole messages only."""

import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

#: What it does not want to be told (SMFIP_NO…): connection, HELO, MAIL, RCPT, body, headers, their end, unknown
#: commands, DATA.
_NOT_WANTED = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200

ACCEPT, TEMPFAIL = b"a", b"t"


@dataclass
class Milter:
    """What it says at the end of each message."""

    verdict: Callable[[], bytes] = lambda: ACCEPT
    port: int = 0
    asked: int = 0


@contextmanager
def filtering(milter: Milter, port: int = 0) -> Iterator[Milter]:
    """The milter, for a server to ask; it hangs up at the end."""
    connections: list[socket.socket] = []

    class Asked(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            connections.append(self.request)
            with suppress(OSError):
                self._answer()

        def _answer(self) -> None:
            while length := self.rfile.read(4):
                command = self.rfile.read(struct.unpack(">I", length)[0])[:1]
                if command == b"O":
                    self._say(b"O" + struct.pack(">III", 6, 0, _NOT_WANTED))
                elif command == b"E":
                    milter.asked += 1
                    self._say(milter.verdict())
                elif command == b"Q":
                    return

        def _say(self, answer: bytes) -> None:
            self.wfile.write(struct.pack(">I", len(answer)) + answer)

    with _Server(("127.0.0.1", port), Asked) as server:
        milter.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield milter
        server.shutdown()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
