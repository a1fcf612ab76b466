"""Counts how often a client waits for a server: between the two, everything goes through here."""

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Wire:
    """Where a client finds the server, and how often it spoke after the server had: each time it waited before."""

    port: int
    waits: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def wire(reach: Callable[[], socket.socket]) -> Iterator[Wire]:
    """A port that leads to the server that `reach` connects to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Wire(listener.getsockname()[1])

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_carry, args=(found, client, reach()), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield found
        listener.shutdown(socket.SHUT_RDWR)


def _carry(found: Wire, client: socket.socket, server: socket.socket) -> None:
    spoke: socket.socket | None = None
    with client, server, selectors.DefaultSelector() as ready:
        ready.register(client, selectors.EVENT_READ, server)
        ready.register(server, selectors.EVENT_READ, client)
        while True:
            for key, _ in ready.select():
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                said = source.recv(65536)
                if not said:
                    return
                if source is client and spoke is not client:
                    with found.lock:
                        found.waits += 1
                spoke = source
                target.sendall(said)
