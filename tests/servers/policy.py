"""A greylist, in the protocol by which Postfix asks a policy service (SMTPD_POLICY_README), with Postgrey's words."""

import socketserver
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

ANSWER = "DEFER_IF_PERMIT Greylisted, see http://postgrey.example/help/acme.example.html"


@dataclass
class Greylist:
    """Puts off some recipients until some seconds after their first try. `percent`: of whom, by their address."""

    percent: int = 100
    seconds: float = 1.0
    port: int = 0
    first: dict[str, float] = field(default_factory=dict)
    answers: int = 0
    let_in_at: float = 0.0

    def action(self, recipient: str) -> str:
        """What is done with a recipient now."""
        if zlib.crc32(recipient.encode()) % 100 >= self.percent:
            return "DUNNO"
        now = time.monotonic()
        if now - self.first.setdefault(recipient, now) < self.seconds:
            self.answers += 1
            return ANSWER
        self.let_in_at = now
        return "DUNNO"


@contextmanager
def greylisting(greylist: Greylist) -> Iterator[Greylist]:
    """The service, for Postfix to ask."""

    class Asked(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            said: dict[str, str] = {}
            for line in self.rfile:
                name, separator, value = line.decode().strip().partition("=")
                if separator:
                    said[name] = value
                else:
                    self.wfile.write(f"action={greylist.action(said['recipient'])}\n\n".encode())

    with _Server(("127.0.0.1", 0), Asked) as server:
        greylist.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield greylist
        server.shutdown()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
