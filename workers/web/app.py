"""What is served over HTTP: whether all is well, the numbers behind it, the way in, what the links in mails lead to."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import redis
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
from config.outages import REDIS
from config.runtime import Runtime
from config.settings import networks_in
from config.streams import make_impatient_redis
from tasks.mail import MailOutage, current_outages, paused
from tasks.system import InRedis, in_database, in_redis, is_ingress_stalled, is_relay_stalled, streams
from tasks.work import STALLED_AFTER, loads, paused_pools
from workers import readiness
from workers.web import bodies, connections, event_posts, signing_in, unsubscribe
from workers.web.api import page
from workers.web.api.routes import Api
from workers.web.asking import Bulkhead, Busy, Shared, in_time
from workers.web.bodies import Bodies
from workers.web.connections import Gatekeeper
from workers.web.console.app import Console
from workers.web.metrics import Numbers

Answer = TypeVar("Answer")

#: Seconds between two looks at whether the server still serves.
LOOK_SECONDS = 0.5

#: Seconds that Redis has to answer a page, at each command and in all.
REDIS_SECONDS, REDIS_SECONDS_IN_ALL = 1.5, 3.0

#: Bodies of the largest size that are kept at once.
MOST_BODIES = 8

#: Links that are answered at once, and posts that are taken at once: each has a thread and a connection meanwhile.
LINKS_AT_ONCE, TAKEN_AT_ONCE = 8, 4


def make_app(runtime: Runtime, most_bodies: int = bodies.MOST) -> Starlette:
    """The pages of one deployment."""
    client = make_impatient_redis(runtime.endpoints.redis_url, REDIS_SECONDS)
    links = Bulkhead(runtime, "web links", at_once=LINKS_AT_ONCE, wait=2, seconds=3, statement=2)
    signing = Bulkhead(runtime, "web sign-in", at_once=signing_in.AT_ONCE, wait=5, seconds=10, statement=2)
    posts = Bulkhead(runtime, "web posts", at_once=TAKEN_AT_ONCE, wait=3, seconds=30, statement=None)
    health = Bulkhead(runtime, "web healthz", at_once=1, wait=2, seconds=3, statement=2)
    scraped = Bulkhead(runtime, "web metrics", at_once=1, wait=2, seconds=10, statement=8)
    settings = runtime.settings
    read = Bodies(MOST_BODIES * settings.rollcall_events_bytes, settings.rollcall_events_seconds, most_bodies)
    registry = CollectorRegistry(auto_describe=False)

    async def check() -> tuple[dict[str, object], bool]:
        redis_answers = await _said(_redis_answers, runtime, client)
        found = await _asked(health, _stalled)
        stalled, said, pools = found or ([], [], [])
        if redis_answers:
            said = [*said, *(one.in_words for one in await _said(_mail_stopped, runtime, client) or [])]
            stalled = (["ingress"] if await _said(_ingress_stalled, runtime, client) else []) + stalled
        else:
            stalled = [name for name in stalled if name != "relay"]  # which can do nothing without Redis
        checks: dict[str, object] = {"database": found is not None, "redis": bool(redis_answers)}
        well = found is not None and bool(redis_answers) and not stalled
        told = {"stalled": stalled, "mail": said, "pools": pools}
        return checks | {name: what for name, what in told.items() if what}, well

    async def count() -> bytes:
        said, tables = await asyncio.gather(_said(_in_redis, runtime, client), _asked(scraped, in_database))
        found = await _asked(scraped, streams, client) if said and tables else None
        return generate_latest(registry) + Numbers(tables, said, found or []).page()

    checked, counted = Shared(check), Shared(count)

    async def healthz(_request: Request) -> Response:
        checks, well = await checked()
        return JSONResponse(checks, status_code=200 if well else 503)

    async def metrics(_request: Request) -> Response:
        return Response(await counted(), media_type=CONTENT_TYPE_LATEST)

    api, console = Api(runtime, read), Console(runtime, read)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        for bulkhead in (links, signing, posts, health, scraped):
            bulkhead.runtime.engine.dispose()
        api.close()
        console.close()

    pages = [Route("/healthz", healthz), Route("/metrics", metrics)]
    found = [*pages, *event_posts.routes(posts, read, registry), *unsubscribe.routes(links, read)]
    found += [*signing_in.routes(signing, read), *page.routes(runtime.endpoints.public_url), *api.routes()]
    found += console.routes()
    app = Starlette(routes=found, lifespan=lifespan)
    app.router.redirect_slashes = False  # a redirect would lose what is posted
    return app


async def _asked(bulkhead: Bulkhead, question: Callable[..., Answer], *about: object) -> Answer | None:
    """The answer, or None where it does not come in time, or a server cannot be used."""
    try:
        return await bulkhead.ask(question, bulkhead.runtime, *about)
    except (Busy, SQLAlchemyError, redis.RedisError):  # said by whoever watches the server
        return None


async def _said(
    question: Callable[[Runtime, redis.Redis], Answer], runtime: Runtime, client: redis.Redis
) -> Answer | None:
    """What Redis answers, or None where it does not in time."""
    try:
        return await in_time(REDIS_SECONDS_IN_ALL, question, runtime, client)
    except Busy:
        REDIS.begin(TimeoutError("timed out"))
        return None


def _in_redis(runtime: Runtime, client: redis.Redis) -> InRedis | None:
    try:
        found = in_redis(runtime, client)
    except redis.RedisError as problem:
        REDIS.begin(problem, runtime.endpoints.redis_url)
        return None
    REDIS.end()
    return found


def _stalled(runtime: Runtime) -> tuple[list[str], list[str], list[str]] | None:
    """Who does not run, though there is something to do: the relay, and the pools, by their queues; and in words
    whether all mail is paused, and which pools are. None where the database does not answer, or only reads."""
    try:
        with transaction(runtime.engine) as connection:
            if value(connection, "SELECT current_setting('transaction_read_only') = 'on'"):
                connection.invalidate()
                return None
            queues = loads(connection)
            relay = ["relay"] if is_relay_stalled(connection, queues) else []
            stopped = paused(connection)
            mail = [] if stopped is None else [stopped.in_words]
            pools = [one.in_words for one in paused_pools(connection)]
            return relay + [load.queue for load in queues if load.stalled], mail, pools
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


def _ingress_stalled(_runtime: Runtime, client: redis.Redis) -> bool:
    try:
        return is_ingress_stalled(client, STALLED_AFTER)
    except redis.RedisError:  # said by what asked it before
        return False


def _mail_stopped(runtime: Runtime, client: redis.Redis) -> list[MailOutage]:
    """Where no mail goes: said, but no reason to take the pages away."""
    try:
        return current_outages(client, runtime.endpoints.mail_from)
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
    door: Any = Gatekeeper(most, proxies).protocol
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
