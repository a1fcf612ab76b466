"""An SMTP server that says exactly what a test wrote down for it, over plain sockets."""

import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

#: Closes the connection in place of an answer.
HANG_UP = b""

#: Says nothing in place of an answer, until the other side hangs up.
SILENCE = b"..."

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
    lines: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    hangs_up_within: list[bool] = field(default_factory=list)
    in_pieces: bool = False
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
def serving(script: Script, context: ssl.SSLContext | None = None) -> Iterator[Script]:
    """Serve until the block ends; with a `context`, encrypted from the first octet on."""

    class Conversation(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True  # or its answers would wait for one another

        def handle(self) -> None:
            script.connections += 1
            number = script.connections
            if not self._say(script.answer(number, "greeting")):
                return
            while line := self.rfile.readline():
                word = line.split()[0].decode().upper()
                script.lines.append(line.decode().rstrip("\r\n"))
                answer = script.answer(number, word)
                if not self._say(answer) or word == "QUIT":
                    return
                if word == "DATA" and answer.startswith(b"354"):
                    message = self._message()
                    if message is None:
                        return
                    script.messages.append(message)
                    if not self._say(script.answer(number, "message")):
                        return

        def _message(self) -> bytes | None:
            """What comes until the dot, as it was meant; None where it never does."""
            hangs_up = script.hangs_up_within.pop(0) if script.hangs_up_within else False
            lines: list[bytes] = []
            while (line := self.rfile.readline()) != b".\r\n":
                if not line or (hangs_up and lines):
                    return None
                lines.append(line.removeprefix(b"."))
            return b"".join(lines)

        def _say(self, answer: bytes) -> bool:
            if answer == SILENCE:
                while self.rfile.readline():
                    pass
                return False
            try:
                for start in range(0, len(answer), 1 if script.in_pieces else len(answer)):
                    self.wfile.write(answer[start : start + 1] if script.in_pieces else answer)
            except OSError:
                return False
            return answer != HANG_UP

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

        def finish_request(self, request: Any, client_address: Any) -> None:
            if context is not None:
                try:
                    request = context.wrap_socket(request, server_side=True)
                except (ssl.SSLError, OSError):
                    return  # it did not like our certificate
            super().finish_request(request, client_address)

    with Server(("127.0.0.1", 0), Conversation) as server:
        script.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield script
        server.shutdown()
        thread.join()
