"""Answers of any length: exports that the database makes while they are read."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

from anyio import CancelScope
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from workers.web.asking import Bulkhead, Busy


class Export(StreamingResponse):
    """A stream of blocks, each of which is made in a thread while the one before is read; then `leave` is called."""

    def __init__(
        self,
        bulkhead: Bulkhead,
        first: bytes | None,
        blocks: Iterator[bytes],
        leave: Callable[[], None],
        *,
        headers: dict[str, str] | None,
        media_type: str,
    ) -> None:
        self._bulkhead, self._blocks, self._leave = bulkhead, blocks, leave
        super().__init__(self._each(first), headers=headers, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, and give back what it took, also if nobody reads on."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()
            with CancelScope(shield=True), suppress(Busy):
                try:
                    await self._bulkhead.within(_close, self._blocks)
                except ValueError:  # its thread is at work still: it ends with its statement
                    await self._bulkhead.stop()

    async def _each(self, block: bytes | None) -> AsyncIterator[bytes]:
        while block is not None:
            if block:
                yield block
            block = await self._bulkhead.within(next, self._blocks, None)


def _close(blocks: Iterator[bytes]) -> None:
    """End the transaction of a stream that nobody reads on."""
    close = getattr(blocks, "close", None)
    if close is not None:
        close()
