"""What an open page is told: that something changed, and it should ask again. Never what: that is the page's to say.

A page that is declared with `live` is also an event stream at its own address (server-sent events, WHATWG HTML 9.2).
Its question is asked again every few seconds, once for everybody who has the same page open, and the stream says the
tag of the answer whenever it is another. The page itself holds the tag that it was made by, so that what changes before
its stream begins is seen as well. A stream keeps no session alive, and ends with it. Without one the script of
the console asks by itself, less often.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from threading import Event

import structlog
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from config.errors import UserError
from config.log import without_data
from workers.web.api.limits import Places
from workers.web.asking import is_passing

log = structlog.get_logger()

#: Seconds between two looks at whether something changed.
LOOK_SECONDS = 2.0

#: Seconds after which something is written, so that it is seen if nobody reads any more.
SILENT_SECONDS = 15.0

#: Seconds after which a stream ends; a browser that still shows the page begins another.
LONGEST_SECONDS = 600.0

#: Streams of one process, and of one person in it.
MOST, OF_ONE = 100, 6

#: Answers remembered at most.
REMEMBERED = 1000


class Changes:
    """The streams of one process. `stopping`: it is to end."""

    def __init__(self, stopping: Event) -> None:
        self._stopping = stopping
        self._open = Places(OF_ONE, MOST)
        self._known: OrderedDict[object, tuple[float, str]] = OrderedDict()

    def stream(self, who: str, look: Callable[[], Awaitable[str | None]]) -> Response | None:
        """A stream for somebody; None if there are too many. `look`: asks for the tag; None: the stream is to end."""
        return None if self._open.is_full(who) else _CountedStream(self._tags(look), self._open, who)

    def shared(self, of: object, ask: Callable[[], str], within: float | None = None) -> str:
        """The tag of a question, asked anew unless somebody did `within` these seconds; None: half the time between
        two looks."""
        now = time.monotonic()
        at, tag = self._known.get(of, (0.0, ""))
        if not tag or at <= now - (LOOK_SECONDS / 2 if within is None else within):
            tag = ask()
            self._known[of] = (now, tag)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return tag

    async def _tags(self, look: Callable[[], Awaitable[str | None]]) -> AsyncIterator[bytes]:
        said, written = "", time.monotonic()
        until = written + LONGEST_SECONDS
        while time.monotonic() < until:
            tag = await _asked(look, said)
            if tag is None:
                return
            if tag != said or time.monotonic() > written + SILENT_SECONDS:
                yield b":\n\n" if tag == said else f"data: {tag}\n\n".encode()
                said, written = tag, time.monotonic()
            if await self._stops():
                return

    async def _stops(self) -> bool:
        """Wait until the next look; whether the process ends."""
        until = time.monotonic() + LOOK_SECONDS
        while time.monotonic() < until and not self._stopping.is_set():
            await asyncio.sleep(min(0.2, LOOK_SECONDS))
        return self._stopping.is_set()


async def _asked(look: Callable[[], Awaitable[str | None]], said: str) -> str | None:
    """The tag; what was said last if the database does not answer; None if there is nothing to say any more."""
    try:
        return await look()
    except UserError:
        return None
    except Exception as problem:  # noqa: BLE001 - whatever it is, the page asks by itself
        if is_passing(problem):
            return said
        log.error("console.stream_failed", **without_data(problem))  # noqa: TRY400 - a traceback may quote data
        return None


class _CountedStream(StreamingResponse):
    """A stream, counted while it is open."""

    def __init__(self, blocks: AsyncIterator[bytes], open_: Places, who: str) -> None:
        super().__init__(blocks, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._open, self._who = open_, who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it until it ends, or nobody reads any more."""
        self._open.take(self._who)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._open.give(self._who)
