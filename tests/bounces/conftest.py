"""A mail server hands in what came back, as it does: in a conversation over LMTP or SMTP."""

import asyncio
import smtplib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from config.engine import make_engine
from config.runtime import Runtime
from tests.bounces.reports import Came
from tests.isolation.conftest import rollcall
from tests.world import World
from workers.bounces import IDLE_SECONDS, serve

__all__ = ["rollcall"]

Protocol = Literal["lmtp", "smtp"]

#: Seconds after which a server counts as never answering.
DEADLINE = 15.0


@dataclass
class Desk:
    """Where reports are handed in."""

    port: int
    protocol: Protocol

    @contextmanager
    def talk(self) -> Iterator[smtplib.SMTP]:
        """A conversation, as far as the greeting."""
        client: smtplib.SMTP = smtplib.LMTP() if self.protocol == "lmtp" else smtplib.SMTP(local_hostname="mx.example")
        client.timeout = DEADLINE
        client.connect("127.0.0.1", self.port)
        try:
            client.ehlo("mx.rollcall.example")
            yield client
        finally:
            client.close()

    def gives(self, came: Came, to: str) -> int:
        """Hand in a message to a recipient; the code of the first answer that is not a good one, or of the last."""
        with self.talk() as client:
            for command in (f"MAIL FROM:<{came.sender}>", f"RCPT TO:<{to}>"):
                code, _ = client.docmd(command)
                if code != 250:
                    return code
            return client.data(came.message)[0]


@contextmanager
def listening(
    runtime: Runtime, protocol: Protocol = "lmtp", *, idle_seconds: float = IDLE_SECONDS
) -> Iterator[tuple[Desk, Callable[[], None]]]:
    """The server, in a thread of its own, and what tells it to stop; it has ended when the block ends."""
    settings = runtime.settings.model_copy(update={"rollcall_bounces_protocol": protocol})
    mine = Runtime(settings, runtime.endpoints, runtime.engine, cells=runtime.cells)
    ports: list[int] = []
    ready = threading.Event()

    def on_listening(port: int) -> None:
        ports.append(port)
        ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve(mine, on_listening, idle_seconds=idle_seconds)))
    thread.start()
    try:
        assert ready.wait(DEADLINE), "it never listened"
        yield Desk(ports[0], protocol), mine.stopping.set
    finally:
        mine.stopping.set()
        thread.join(DEADLINE)
        assert not thread.is_alive(), "it never ended"


@pytest.fixture(params=["lmtp", "smtp"])
def desk(world: World, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """The server, once over each protocol."""
    with listening(world.runtime, request.param) as (found, _):
        yield found


@pytest.fixture
def lmtp(world: World) -> Iterator[Desk]:
    """The server, over LMTP."""
    with listening(world.runtime) as (found, _):
        yield found


@pytest.fixture
def unreachable(world: World) -> Iterator[Runtime]:
    """A process whose database is away."""
    nowhere = make_engine("postgresql://nobody@127.0.0.1:1/nothing", role="test")
    yield Runtime(world.runtime.settings, replace(world.runtime.endpoints), nowhere)
    nowhere.dispose()
