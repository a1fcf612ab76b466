"""What is served over HTTP: whether all is well, the numbers behind it, the way in, what the links in mails lead to."""

import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import redis
import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.database import transaction, value
from config.files import raise_limit
from config.log import without_data
from config.outages import REDIS
from config.runtime import Runtime
from config.settings import networks_in
from config.streams import make_redis
from tasks.mail.outages import Outage, in_words
from tasks.mail.rates import outages
from tasks.work.store import loads
from workers import bodies, connections, posted, readiness, unsubscribe
from workers.asking import AGAIN, Busy, Desk, Shared
from workers.bodies import Bodies
from workers.connections import Door
from workers.metrics import Numbers

log = structlog.get_logger()

Answer = TypeVar("Answer")

#: Seconds between two looks at whether the server still serves.
LOOK_SECONDS = 0.5

#: Bodies of the largest size that are kept at once.
MOST_BODIES = 8

#: Links that are answered at once, and posts that are taken at once: each has a thread and a connection meanwhile.
LINKS_AT_ONCE, TAKEN_AT_ONCE = 8, 4


def make_app(runtime: Runtime, most_bodies: int = bodies.MOST) -> Starlette:
    """The pages of one deployment."""
    client = make_redis(runtime.endpoints.redis_url)
    links = Desk(runtime, "web links", at_once=LINKS_AT_ONCE, wait=2, seconds=3, statement=2)
    posts = Desk(runtime, "web posts", at_once=TAKEN_AT_ONCE, wait=3, seconds=30, statement=None)
    health = Desk(runtime, "web healthz", at_once=1, wait=2, seconds=3, statement=2)
    scraped = Desk(runtime, "web metrics", at_once=1, wait=2, seconds=10, statement=8, probed=False)
    settings = runtime.settings
    read = Bodies(MOST_BODIES * settings.rollcall_events_bytes, settings.rollcall_events_seconds, most_bodies)
    registry = CollectorRegistry(auto_describe=False)

    async def check() -> tuple[dict[str, object], bool]:
        redis_answers = await _asked(health, _redis_answers, client)
        stalled = await _asked(health, _stalled)
        checks: dict[str, object] = {"database": stalled is not None, "redis": bool(redis_answers)}
        stopped = (await _asked(health, _mail_stopped, client) or []) if redis_answers else []
        told = {"mail": [in_words(one) for one in stopped]} if stopped else {}
        return checks | ({"stalled": stalled} if stalled else {}) | told, stalled == [] and bool(redis_answers)

    checked, counted = Shared(check), Shared(lambda: scraped.ask(generate_latest, registry))

    async def healthz(_request: Request) -> Response:
        checks, well = await checked()
        return JSONResponse(checks, status_code=200 if well else 503)

    async def metrics(_request: Request) -> Response:
        try:
            return Response(await counted(), media_type=CONTENT_TYPE_LATEST)
        except (SQLAlchemyError, redis.RedisError, Busy) as problem:
            log.warning("metrics.not_counted", **without_data(problem))
            return Response("Database or Redis cannot be asked now.\n", 503, {"Retry-After": str(AGAIN)})

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        for desk in (links, posts, health, scraped):
            desk.runtime.engine.dispose()

    registry.register(Numbers(scraped.runtime, client))
    pages = [Route("/healthz", healthz), Route("/metrics", metrics)]
    found = [*pages, *posted.routes(posts, read, registry), *unsubscribe.routes(links, read)]
    app = Starlette(routes=found, lifespan=lifespan)
    app.router.redirect_slashes = False  # a redirect would lose what is posted
    return app


async def _asked(desk: Desk, question: Callable[..., Answer], *about: object) -> Answer | None:
    """The answer, or None where it does not come in time."""
    try:
        return await desk.ask(question, desk.runtime, *about)
    except Busy:
        return None


def _stalled(runtime: Runtime) -> list[str] | None:
    """The queues whose work waits while nobody begins any; None where the database does not answer, or only reads."""
    try:
        with transaction(runtime.engine) as connection:
            if value(connection, "SELECT current_setting('transaction_read_only') = 'on'"):
                connection.invalidate()
                return None
            return [load.queue for load in loads(connection) if load.stalled]
    except SQLAlchemyError:
        return None


def _redis_answers(runtime: Runtime, client: redis.Redis) -> bool:
    try:
        answers = bool(client.set("rollcall:healthz", "1", ex=60))  # one that takes no writes is of no use
    except redis.RedisError as problem:
        REDIS.begin(problem, runtime.endpoints.redis_url)
        return False
    REDIS.end()
    return answers


def _mail_stopped(runtime: Runtime, client: redis.Redis) -> list[Outage]:
    """Where no mail goes: said, but no reason to take the pages away."""
    try:
        return outages(client, runtime.endpoints.mail_from)
    except redis.RedisError:
        return []


class _Server(uvicorn.Server):
    """A server whose system keeps more connections for it than it takes at once."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        for listening in (one for server in getattr(self, "servers", []) for one in server.sockets):
            with socket.socket(fileno=os.dup(listening.fileno())) as same:
                same.listen(connections.WAITING_OUTSIDE)


def make_server(runtime: Runtime, files: int) -> uvicorn.Server:
    """The server of one process that may have so many files open."""
    settings = runtime.settings
    most = connections.most_connections(files)
    proxies = networks_in(settings.rollcall_web_proxies or "")
    door: Any = Door(most, proxies).protocol
    return _Server(
        uvicorn.Config(
            make_app(runtime, min(bodies.MOST, max(1, most // connections.SHARE))),
            host=settings.rollcall_web_host,
            port=settings.rollcall_web_port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=[str(network) for network in proxies],
            http=door,
            ws="none",
            backlog=connections.ACCEPTED_AT_ONCE,
            timeout_keep_alive=int(connections.IDLE_SECONDS),
        )
    )


def run(runtime: Runtime) -> None:
    """Serve until told to stop."""
    settings = runtime.settings
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # strangers could fill the log with what is no HTTP
    server = make_server(runtime, raise_limit())
    thread = threading.Thread(target=server.run, name="web", daemon=True)
    thread.start()
    while thread.is_alive() and not runtime.stopping.wait(LOOK_SECONDS):
        if server.started:
            readiness.report()
    if not runtime.stopping.is_set():
        raise SystemExit(f"The pages cannot be served at {settings.rollcall_web_host}:{settings.rollcall_web_port}.")
    server.should_exit = True
    thread.join(settings.rollcall_drain_seconds)
