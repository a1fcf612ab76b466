"""Exports: what leaves block by block, as fast as it is read and no faster.

Each holds a transaction while it is read. So there are a few at once, of which one organisation and one caller have a
share; and however slowly one is read, it ends.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress

import structlog
from anyio import CancelScope, move_on_after
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from config.log import without_data
from config.words import as_json
from tasks.acts.paging import Stream
from workers.web.api.limits import Places
from workers.web.api.problems import RefusedCall
from workers.web.asking import AGAIN, Bulkhead, Busy

log = structlog.get_logger()

#: Exports of one organisation, and of one caller, at once.
OF_ORGANISATION, OF_ONE = 3, 2

#: Seconds that an export may take. Somebody who reads 100 kB a second has half a million rows by then.
SECONDS = 900.0


class Exports:
    """The exports of one process, which are asked in this bulkhead."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self._bulkhead = bulkhead
        self._of_callers, self._of_organisations = Places(OF_ONE), Places(OF_ORGANISATION)

    async def answer(
        self, find: Callable[[], object], caller: str, organisation: str | None, *, only_head: bool = False
    ) -> Response:
        """What is found, streamed if it is a `Stream`. Raises `RefusedCall` if there is no room for it, and what a
        bulkhead raises. `only_head`: nobody reads the rest."""
        with ExitStack() as held:
            self.take_place(held, caller, organisation)
            await self.enter(held)
            found = await self._bulkhead.within(find)
            if not isinstance(found, Stream):
                return Response(as_json(found), media_type="application/json")
            return await self.send(held, found, only_head=only_head)

    def take_place(self, held: ExitStack, caller: str, organisation: str | None) -> None:
        """Count an export as one of its caller and of its organisation, for as long as it is held. Raises
        `RefusedCall` if one of them has no place left."""
        for whose, name, places, most in (
            ("token", caller, self._of_callers, OF_ONE),
            ("organisation", organisation or "", self._of_organisations, OF_ORGANISATION),
        ):
            if not places.take(name):
                says = f"This {whose} has {most} exports under way: wait for one to end."
                raise RefusedCall(429, says, {"Retry-After": str(AGAIN)})
            held.callback(places.give, name)

    async def enter(self, held: ExitStack) -> None:
        """Wait for one of the places of this process. Raises what a bulkhead raises."""
        held.callback(self._bulkhead.leave, await self._bulkhead.enter())

    async def send(self, held: ExitStack, found: Stream, *, only_head: bool = False) -> Response:
        """The answer, which gives back what is held once it was read or somebody gave up reading it."""
        first = None if only_head else await self._bulkhead.within(next, found.blocks, None)
        return _Export(self._bulkhead, first, found, held.pop_all().close)


class _Export(StreamingResponse):
    """A stream of blocks, each of which is made in a thread once the one before is read."""

    def __init__(self, bulkhead: Bulkhead, first: bytes | None, stream: Stream, leave: Callable[[], None]) -> None:
        self._bulkhead, self._blocks, self._leave = bulkhead, stream.blocks, leave
        headers = {"Content-Disposition": f'attachment; filename="{stream.name}"'} if stream.name else None
        super().__init__(self._each(first), headers=headers, media_type=stream.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, and give back what it took, also if nobody reads on. What cannot be sent to its end breaks off:
        whoever reads it misses the last chunk (RFC 9112, 7.1)."""
        try:
            with move_on_after(SECONDS) as patience:
                await super().__call__(scope, receive, send)
            if patience.cancelled_caught:
                log.warning("export.read_too_slowly", seconds=SECONDS)
        except ClientDisconnect:
            pass
        except Exception as problem:  # noqa: BLE001 - it cannot be answered any more
            log.error("export.failed", **without_data(problem))  # noqa: TRY400 - a traceback may quote people's data
        finally:
            with CancelScope(shield=True):
                await self._end()

    async def _end(self) -> None:
        """Give back what it took."""
        try:
            with suppress(Busy):
                await self._bulkhead.within(_close, self._blocks)
        except ValueError:  # its thread is at work still: it ends with its statement
            await self._bulkhead.stop()
        finally:
            self._leave()

    async def _each(self, block: bytes | None) -> AsyncIterator[bytes]:
        while block is not None:
            if block:
                yield block
            block = await self._bulkhead.within(next, self._blocks, None)
        self._leave()  # before it is known that this was all: who asks for the next finds room


def _close(blocks: Iterator[bytes]) -> None:
    """End the transaction of a stream that nobody reads on."""
    close = getattr(blocks, "close", None)
    if close is not None:
        close()
