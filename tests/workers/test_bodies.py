"""Bodies that are waited for: whoever sends what it has is served, and the slowest gives way. R31."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from anyio.lowlevel import checkpoint
from starlette.requests import Request

from workers.web import bodies
from workers.web.asking import Shared
from workers.web.bodies import SMALL, Bodies, NotRead

Piece = tuple[bytes, bool]


class Sender:
    """Somebody whose body is read, piece by piece."""

    def __init__(self, read: Bodies, address: str = "192.0.2.1") -> None:
        self._pieces: asyncio.Queue[Piece] = asyncio.Queue()
        scope = {"type": "http", "headers": [], "client": (address, 1)}
        self._request = Request(scope, self._receive)
        self.task = asyncio.create_task(self._read(read))

    async def send(self, octets: int, *, more: bool = True) -> None:
        """Send so many octets, and let them be read."""
        self._pieces.put_nowait((b"x" * octets, more))
        await quiet()

    async def _receive(self) -> Any:
        body, more = await self._pieces.get()
        return {"type": "http.request", "body": body, "more_body": more}

    async def _read(self, read: Bodies) -> int:
        async with read.read(self._request, 10 * SMALL) as body:
            return len(body)

    @property
    def gave_way(self) -> bool:
        """Whether it was told to come again."""
        problem = self.task.exception() if self.task.done() else None
        return isinstance(problem, NotRead) and problem.status == 503


async def quiet() -> None:
    """Let everything happen that can."""
    for _ in range(20):
        await checkpoint()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is."""
    now = [100.0]
    monkeypatch.setattr(bodies, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_r31_of_large_bodies_that_are_too_many_the_slowest_gives_way_and_a_small_one_never_has_to(
    clock: list[float],
) -> None:
    async def scene() -> None:
        read = Bodies(12 * SMALL, 60)
        held = [Sender(read, f"192.0.2.{n}") for n in range(4)]
        for one in held:
            await one.send(3 * SMALL)
            clock[0] += 1
        small, large = Sender(read), Sender(read)
        await small.send(100, more=False)
        await large.send(3 * SMALL)
        await large.send(3 * SMALL, more=False)

        assert [one.gave_way for one in held] == [True, True, False, False], "the oldest of equals"
        assert (await small.task, await large.task) == (100, 6 * SMALL)
        for one in held[2:]:
            await one.send(1, more=False)
        assert [await one.task for one in held[2:]] == [3 * SMALL + 1] * 2
        assert read._kept == 0

    asyncio.run(scene())


def test_r31_of_many_who_dribble_the_slowest_gives_way_and_one_address_has_half_of_the_room(clock: list[float]) -> None:
    async def scene() -> None:
        read = Bodies(SMALL, 60, most=4)
        dribbling = []
        for n in range(4):
            dribbling.append(Sender(read, f"2001:db8::{n}"))  # all of one network
            await dribbling[-1].send(1)
            clock[0] += 1
        assert [one.gave_way for one in dribbling] == [True, True, False, False]
        others = [Sender(read, f"192.0.2.{n}") for n in range(4)]
        await quiet()
        for one in others:
            await one.send(10, more=False)

        assert [await one.task for one in others] == [10] * 4
        assert [one.gave_way for one in dribbling] == [True] * 4
        assert (read._kept, read._waited_for) == (0, {})

    asyncio.run(scene())


def test_whoever_asks_what_is_being_asked_gets_that_answer() -> None:
    asked: list[None] = []

    async def scene() -> list[int]:
        go_on = asyncio.Event()

        async def question() -> int:
            asked.append(None)
            await go_on.wait()
            return len(asked)

        shared = Shared(question)
        asking = [asyncio.create_task(shared()) for _ in range(50)]
        await quiet()
        asking.pop().cancel()
        go_on.set()
        return [*await asyncio.gather(*asking), await shared()]

    assert asyncio.run(scene()) == [1] * 49 + [2]
