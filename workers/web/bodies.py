"""The bodies of requests while they come in: no more of them than memory holds, and the slowest gives way.

Nobody is known before the body is there, so who asks for too much at once is told by how fast it comes: whoever sends
what it has is answered, however many others dribble.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from starlette.requests import ClientDisconnect, Request

from workers.web.connections import place_of

#: Bodies that are waited for at once at most; and the share of them that one address may have.
MOST, SHARE = 200, 2

#: Octets of a body that are too few to be worth its giving way: so many of each are kept besides what is allowed.
SMALL = 65_536

#: Seconds after which somebody who has to give way may try again.
AGAIN = 1


class NotRead(Exception):
    """A body that is not read to its end; why, the status to answer with, and headers besides."""

    def __init__(self, status: int, says: str, **headers: object) -> None:
        super().__init__(says)
        self.status = status
        self.headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}


def kind_of(request: Request) -> str | None:
    """The media type of a body, in lower case; None for one that is compressed, or said not to be in UTF-8."""
    kind, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charsets = {part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")}
    plain = request.headers.get("content-encoding", "identity").lower() == "identity"
    return kind if plain and charsets <= {"utf-8", "utf8"} else None


@dataclass(eq=False, slots=True)
class _Reading:
    place: str
    began: float
    body: bytearray = field(default_factory=bytearray)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def pace(self) -> float:
        """Octets a second, with some in advance for one that has just begun."""
        return (len(self.body) + SMALL) / max(time.monotonic() - self.began, 0.1)


class Bodies:
    """The bodies of one process. `octets`: of all together at most; `seconds`: for one; `most`: at once."""

    def __init__(self, octets: int, seconds: float, most: int = MOST) -> None:
        self._octets, self._seconds, self._most = octets, seconds, most
        self._waited_for: dict[_Reading, None] = {}
        self._kept = 0

    @asynccontextmanager
    async def read(self, request: Request, longest: int) -> AsyncIterator[bytes]:
        """A whole body of at most so many octets; they count until the block ends. Raises `NotRead`."""
        length = request.headers.get("content-length", "0")
        if int(length) > longest:  # a number, or it had been refused before
            raise NotRead(413, f"The body is larger than {longest:,} bytes.")
        reading = _Reading(place_of(request.client.host if request.client else ""), time.monotonic())
        self._make_room(reading.place)
        self._waited_for[reading] = None
        try:
            await self._fill(request, reading, longest)
            yield bytes(reading.body)
        finally:
            self._waited_for.pop(reading, None)
            self._kept -= len(reading.body)

    async def _fill(self, request: Request, reading: _Reading, longest: int) -> None:
        try:
            with anyio.fail_after(self._seconds), reading.scope:
                async for piece in request.stream():
                    if reading not in self._waited_for:
                        break
                    self._keep(reading, piece)
                    if len(reading.body) > longest:
                        raise NotRead(413, f"The body is larger than {longest:,} bytes.")
        except TimeoutError:
            says = f"The body took longer than {self._seconds:g} seconds."
            raise NotRead(408, says, Connection="close") from None
        except ClientDisconnect:
            raise NotRead(400, "The body ended too early.") from None
        if self._waited_for.pop(reading, reading) is reading:
            raise NotRead(
                503,
                "Too much at once, and this body came slowest: send it again.",
                Retry_After=AGAIN,
                Connection="close",
            )

    def _keep(self, reading: _Reading, piece: bytes) -> None:
        reading.body += piece
        self._kept += len(piece)
        while self._kept > self._octets:
            large = [one for one in self._waited_for if len(one.body) > SMALL]
            if not large:
                return
            self._give_way(large)

    def _make_room(self, place: str) -> None:
        of_it = [one for one in self._waited_for if one.place == place]
        if len(of_it) >= max(1, self._most // SHARE):
            self._give_way(of_it)
        elif len(self._waited_for) >= self._most:
            self._give_way(list(self._waited_for))

    def _give_way(self, readings: list[_Reading]) -> None:
        slowest = min(readings, key=_Reading.pace)
        del self._waited_for[slowest]
        self._kept -= len(slowest.body)
        slowest.body.clear()
        slowest.scope.cancel()
