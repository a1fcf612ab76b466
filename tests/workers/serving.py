"""The pages, served on a real socket for a test."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import uvicorn.server

from config.runtime import Runtime
from tests.workers.deployment import until
from workers.web import app


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds / 10)


#: uvicorn looks ten times in a second at whether it shall end, and hundreds of tests would wait for that.
vars(uvicorn.server)["asyncio"] = SimpleNamespace(**vars(asyncio) | {"sleep": _sleep})


@contextmanager
def served(runtime: Runtime, port: int = 0, *, public: bool = False) -> Iterator[Runtime]:
    """The pages, served where the links in mails lead, or behind a `public` address."""
    with socket.socket() as held:  # nobody else is given its port before the server listens there
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        port = int(held.getsockname()[1])
        endpoints = runtime.endpoints if public else replace(runtime.endpoints, public_url=f"http://127.0.0.1:{port}")
        settings = runtime.settings.model_copy(update={"rollcall_web_port": port})
        found = Runtime(settings, endpoints, runtime.engine, cells=runtime.cells)
        server = threading.Thread(target=app.run, args=(found,))
        server.start()
        until(lambda: answers(port) or not server.is_alive(), "the pages are served")
        try:
            yield found
        finally:
            found.stopping.set()
            server.join(10)


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
