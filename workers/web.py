"""What is served over HTTP: whether all is well, the numbers behind it, the way in, what the links in mails lead to."""

import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import redis
import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CollectorRegistry, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.database import transaction, value
from config.files import raise_limit
from config.log import without_data
from config.runtime import Runtime
from config.settings import networks_in
from config.streams import make_redis
from workers import bodies, connections, posted, unsubscribe
from workers.asking import AGAIN, Busy, Desk, Shared
from workers.bodies import Bodies
from workers.connections import Door
from workers.readers import StreamStanding
from workers.standing import Standing, look, streams

log = structlog.get_logger()

#: Seconds between two looks at whether the server still serves.
LOOK_SECONDS = 0.5

#: Bodies of the largest size that are kept at once.
MOST_BODIES = 8

#: Links that are answered at once, and posts that are taken at once: each has a thread and a connection meanwhile.
LINKS_AT_ONCE, TAKEN_AT_ONCE = 8, 4


class _Numbers(Collector):
    """What `rollcall status` shows, as Prometheus reads it; asked anew at each scrape."""

    def __init__(self, runtime: Runtime, client: redis.Redis) -> None:
        self._runtime = runtime
        self._client = client

    def collect(self) -> list[Metric]:
        standing, found = look(self._runtime, self._client), streams(self._runtime, self._client)
        return [*_metrics(standing), *_stream_metrics(found)]


def _metrics(standing: Standing) -> list[Metric]:
    due = GaugeMetricFamily("rollcall_work_due", "Pieces of work nobody has begun", labels=["queue"])
    oldest = GaugeMetricFamily("rollcall_work_oldest_due_seconds", "Age of the oldest of them", labels=["queue"])
    in_flight = GaugeMetricFamily("rollcall_work_in_flight", "Pieces offered or being worked on", labels=["queue"])
    for load in standing.queues:
        due.add_metric([load.queue], load.due)
        oldest.add_metric([load.queue], load.oldest_due_seconds or 0.0)
        in_flight.add_metric([load.queue], load.in_flight)
    held = GaugeMetricFamily("rollcall_events_held", "Events that could not be taken", labels=["state"])
    for state, n in standing.quarantine.items():
        held.add_metric([state], n)
    mailings = GaugeMetricFamily("rollcall_mailings_sending", "Mailings on their way", value=standing.mailings_sending)
    unread = GaugeMetricFamily("rollcall_events_unread", "Events in, not taken yet", value=standing.unread)
    unpublished = GaugeMetricFamily(
        "rollcall_events_unpublished", "Events out, not published yet", value=standing.unpublished
    )
    webhooks = GaugeMetricFamily("rollcall_webhooks", "Webhooks; failing ones are enabled, too", labels=["state"])
    for state in ("enabled", "failing", "disabled"):
        webhooks.add_metric([state], getattr(standing.webhooks, state))
    lag = GaugeMetricFamily(
        "rollcall_webhooks_lag_seconds", "Age of the oldest event due to one", value=standing.webhooks.lag_seconds or 0
    )
    return [due, oldest, in_flight, held, mailings, unread, unpublished, webhooks, lag]


def _stream_metrics(found: list[StreamStanding]) -> list[Metric]:
    length = GaugeMetricFamily("rollcall_stream_length", "Entries on a stream", labels=["stream"])
    memory = GaugeMetricFamily("rollcall_stream_bytes", "Memory a stream takes", labels=["stream"])
    names = ["stream", "group"]
    consumers = GaugeMetricFamily("rollcall_group_consumers", "Consumers of a group", labels=names)
    not_read = GaugeMetricFamily("rollcall_group_unread", "Entries a group has not read", labels=names)
    pending = GaugeMetricFamily("rollcall_group_pending", "Entries read and not acknowledged", labels=names)
    oldest = GaugeMetricFamily("rollcall_group_oldest_seconds", "Age of the oldest of both", labels=names)
    pins = GaugeMetricFamily("rollcall_group_pins", "Whether the stream is kept because of it", labels=names)
    for stream in found:
        length.add_metric([stream.stream], stream.length)
        if stream.bytes is not None:
            memory.add_metric([stream.stream], stream.bytes)
        for group in stream.groups:
            labels = [stream.stream, group.name]
            consumers.add_metric(labels, group.consumers)
            not_read.add_metric(labels, group.unread)
            pending.add_metric(labels, group.pending)
            oldest.add_metric(labels, group.oldest_seconds or 0.0)
            pins.add_metric(labels, group.pins)
    return [length, memory, consumers, not_read, pending, oldest, pins]


def make_app(runtime: Runtime, most_bodies: int = bodies.MOST) -> Starlette:
    """The pages of one deployment."""
    client = make_redis(runtime.endpoints.redis_url)
    links = Desk(runtime, "web links", at_once=LINKS_AT_ONCE, wait=2, seconds=3, statement=2)
    posts = Desk(runtime, "web posts", at_once=TAKEN_AT_ONCE, wait=3, seconds=30, statement=20)
    health = Desk(runtime, "web healthz", at_once=1, wait=2, seconds=3, statement=2)
    scraped = Desk(runtime, "web metrics", at_once=1, wait=2, seconds=10, statement=8)
    settings = runtime.settings
    read = Bodies(MOST_BODIES * settings.rollcall_events_bytes, settings.rollcall_events_seconds, most_bodies)
    registry = CollectorRegistry(auto_describe=False)

    async def check() -> dict[str, bool]:
        return {
            "database": await _answers(health, _database_answers),
            "redis": await _answers(health, lambda _: _redis_answers(client)),
        }

    checked, counted = Shared(check), Shared(lambda: scraped.ask(generate_latest, registry))

    async def healthz(_request: Request) -> Response:
        checks = await checked()
        return JSONResponse(checks, status_code=200 if all(checks.values()) else 503)

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

    registry.register(_Numbers(scraped.runtime, client))
    pages = [Route("/healthz", healthz), Route("/metrics", metrics)]
    found = [*pages, *posted.routes(posts, read, registry), *unsubscribe.routes(links, read)]
    app = Starlette(routes=found, lifespan=lifespan)
    app.router.redirect_slashes = False  # a redirect would lose what is posted
    return app


async def _answers(desk: Desk, asked: Callable[[Runtime], bool]) -> bool:
    try:
        return await desk.ask(asked, desk.runtime)
    except Busy:
        return False


def _database_answers(runtime: Runtime) -> bool:
    try:
        with transaction(runtime.engine) as connection:
            return value(connection, "SELECT true") is True
    except SQLAlchemyError:
        return False


def _redis_answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


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
        pass
    if not runtime.stopping.is_set():
        raise SystemExit(f"The pages cannot be served at {settings.rollcall_web_host}:{settings.rollcall_web_port}.")
    server.should_exit = True
    thread.join(settings.rollcall_drain_seconds)
