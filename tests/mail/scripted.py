"""An SMTP server that says exactly what a test wrote down for it, over plain sockets."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

#: Closes the connection in place of an answer.
HANG_UP = b""

#: What is answered unless a test says otherwise.
POLITE: dict[str, bytes] = {
    "greeting": b"220 here\r\n",
    "EHLO": b"250 here\r\n",
    "MAIL": b"250 OK\r\n",
    "RCPT": b"250 OK\r\n",
    "DATA": b"354 go on\r\n",
    "message": b"250 kept\r\n",
    "RSET": b"250 OK\r\n",
    "QUIT": b"221 bye\r\n",
}


@dataclass
class Script:
    """Answers by command; of a list, one after the other, then the polite one. All that was said is kept."""

    answers: dict[str, list[bytes]] = field(default_factory=dict)
    polite: dict[str, bytes] = field(default_factory=dict)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    heard: list[tuple[int, str]] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def answer(self, connection: int, word: str) -> bytes:
        """What to say to this."""
        self.heard.append((connection, word))
        if word in self.before:
            self.before[word]()
        waiting = self.answers.get(word)
        return waiting.pop(0) if waiting else (POLITE | self.polite)[word]

    def said(self, word: str) -> int:
        """How often something was heard."""
        return sum(heard == word for _, heard in self.heard)


@contextmanager
def serving(script: Script) -> Iterator[Script]:
    """Serve until the block ends."""

    class Conversation(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            script.connections += 1
            number = script.connections
            if not self._say(script.answer(number, "greeting")):
                return
            while line := self.rfile.readline():
                word = line.split()[0].decode().upper()
                answer = script.answer(number, word)
                if not self._say(answer) or word == "QUIT":
                    return
                if word == "DATA" and answer.startswith(b"354"):
                    while (line := self.rfile.readline()) != b".\r\n":
                        if not line:
                            return
                    if not self._say(script.answer(number, "message")):
                        return

        def _say(self, answer: bytes) -> bool:
            try:
                self.wfile.write(answer)
            except OSError:
                return False
            return answer != HANG_UP

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Conversation) as server:
        script.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield script
        server.shutdown()
        thread.join()
