"""Sends events out to webhooks. Any number may run: one at a time serves a webhook, and where it dies another does.

A webhook that is slow holds up nobody else: all that are due are served at once, in one event loop. One that may have
ended the process that served it is served with nothing beside it, and disabled where that happens again and again.
"""

import asyncio
from contextlib import suppress

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from config.database import is_connection_problem
from config.engine import deadlines, session_options
from config.log import without_data
from config.outages import Outage
from config.runtime import Runtime
from tasks.fleet import ProcessRole
from tasks.webhooks import Claimed, WebhookServer
from workers.presence import Presence

log = structlog.get_logger()

#: The channel on which the relay says that events have their place, and may be sent.
CHANNEL = "rollcall_webhooks"

#: Seconds between two looks at what is due while something is being sent, and while nothing is: the longest that lost
#: news can cost.
LOOK_SECONDS = 0.5
IDLE_SECONDS = 2.5

#: Seconds between two tries to hear the news where the database is away.
PAUSE_SECONDS = 1.0

#: Whether news can be heard; whether the database can be used is said by whoever watches the engine.
HEARING = Outage("webhooks.news")

#: Webhooks served at once by one process.
MOST = 200


def run(runtime: Runtime, presence: Presence | None = None) -> None:
    """Serve webhooks until told to stop; each then finishes the request it has begun."""
    log.info("webhooks.started")
    asyncio.run(_serve(WebhookServer(runtime), presence or Presence(runtime, ProcessRole.WEBHOOKS)))


async def _serve(server: WebhookServer, presence: Presence) -> None:
    stopping = server.runtime.stopping
    news = asyncio.Event()
    told = asyncio.get_running_loop().run_in_executor(None, stopping.wait)
    told.add_done_callback(lambda _: news.set())
    hearing = asyncio.create_task(_hear(server.runtime, news))
    turns: set[asyncio.Task[None]] = set()
    suspects = False
    while not stopping.is_set():
        presence.lives()
        news.clear()
        if hearing.done():
            hearing.result()  # it only ends of an error, and so do we
        due: list[Claimed] = []
        until_next = IDLE_SECONDS
        try:
            if suspects and not turns:
                suspects = False
                await server.take_suspects()
                continue
            if len(turns) < MOST and not suspects:
                due, next_ = await server.claim(MOST - len(turns))
                until_next, suspects = next_.seconds, next_.suspects
        except SQLAlchemyError as problem:
            if not is_connection_problem(problem):  # that is said by whoever watches the engine
                log.warning("webhooks.interrupted", **without_data(problem))
        turns |= {asyncio.create_task(server.take_turn(webhook)) for webhook in due}
        if turns:
            ended, turns = await asyncio.wait(turns, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            _log_failures(ended)
        elif not stopping.is_set() and not suspects:
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), min(until_next, IDLE_SECONDS))
        server.client.tidy()
    hearing.cancel()
    await asyncio.wait([hearing, *turns])
    _log_failures(turns)
    server.close()


async def _hear(runtime: Runtime, news: asyncio.Event) -> None:
    """Have `news` set whenever events may be sent. Where none can be heard, looking at times is enough."""
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                runtime.endpoints.database_url,
                autocommit=True,
                application_name="rollcall webhooks news",
                options=session_options(runtime.endpoints.database_url),
                **deadlines(runtime.endpoints.database_url),
            ) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                HEARING.end()
                news.set()
                async for _ in connection.notifies():
                    news.set()
        except psycopg.Error as problem:
            HEARING.begin(problem)
        await asyncio.sleep(PAUSE_SECONDS)


def _log_failures(ended: set[asyncio.Task[None]]) -> None:
    """Say what went wrong with a turn. Its webhook is served again when the lease has run out."""
    for turn in ended:
        if problem := turn.exception():
            assert isinstance(problem, Exception)  # noqa: S101 - nobody cancels a turn
            log.error("webhooks.turn_failed", **without_data(problem))
