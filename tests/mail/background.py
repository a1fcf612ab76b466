"""A mail worker that works beside the test, while the server keeps its answers back."""

import threading
import time
from datetime import timedelta
from types import TracebackType

from config.database import transaction
from tasks.mail.delivery import GATE_HOLDS_SECONDS
from tasks.work.store import offer
from tests.world import World
from workers.pool import work_on

#: Seconds after which a condition counts as never coming true.
DEADLINE = 15.0


class Background:
    """Works on one piece of bulk mail; every answer of the server is kept back until `let_go`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._asked = threading.Event()
        self._free = threading.Event()
        self._thread = threading.Thread(target=self._work)
        world.mail.before_answer = self._keep_back

    def __enter__(self) -> "Background":
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.let_go()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the worker never ended"

    def _keep_back(self, _address: str) -> None:
        self._asked.set()
        self._free.wait(DEADLINE)

    def _work(self) -> None:
        with transaction(self._world.runtime.engine) as connection:
            (piece,) = offer(connection, "bulk", bound=1, repeat=timedelta(minutes=1))
        work_on(self._world.runtime, piece.actor, piece.organisation, piece.work)

    def until_asked(self) -> None:
        """Wait until the server has taken a message that it does not answer."""
        assert self._asked.wait(DEADLINE), "no message came"

    def until_the_verdict_is_old(self) -> None:
        """Wait until what the gate said when the group began does not hold any more (well within R20's second)."""
        old = time.monotonic() + GATE_HOLDS_SECONDS
        while time.monotonic() < old:
            self._free.wait(GATE_HOLDS_SECONDS / 10)

    def let_go(self) -> None:
        """Answer from now on."""
        self._free.set()
