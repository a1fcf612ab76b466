"""Sends events out to webhooks. Any number may run: one at a time serves a webhook, and where it dies another does.

A webhook that is slow holds up nobody else: all that are due are served at once, in one event loop.
"""

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from config.log import without_data
from config.runtime import Runtime
from tasks.webhooks import Server

log = structlog.get_logger()

#: Seconds between two looks at what is due: what an event waits at most before it is sent.
LOOK_SECONDS = 0.5

#: Webhooks served at once by one process.
MOST = 200


def run(runtime: Runtime) -> None:
    """Serve webhooks until told to stop; each then finishes the request it has begun."""
    log.info("webhooks.started")
    asyncio.run(_serve(Server(runtime)))


async def _serve(server: Server) -> None:
    turns: set[asyncio.Task[None]] = set()
    while not server.runtime.stopping.is_set():
        try:
            due = await server.claim(MOST - len(turns)) if len(turns) < MOST else []
        except SQLAlchemyError as problem:
            log.warning("webhooks.interrupted", problem=type(problem).__name__)
            due = []
        turns |= {asyncio.create_task(server.take_turn(webhook)) for webhook in due}
        if turns:
            ended, turns = await asyncio.wait(turns, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            _look_at(ended)
        else:
            await asyncio.sleep(LOOK_SECONDS)
        server.wire.tidy()
    if turns:
        ended, _ = await asyncio.wait(turns)
        _look_at(ended)
    server.close()


def _look_at(ended: set[asyncio.Task[None]]) -> None:
    """Say what went wrong with a turn. Its webhook is served again when the lease has run out."""
    for turn in ended:
        if problem := turn.exception():
            assert isinstance(problem, Exception)  # noqa: S101 - nobody cancels a turn
            log.error("webhooks.turn_failed", **without_data(problem))
