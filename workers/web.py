"""What is served over HTTP: whether all is well, the numbers behind it, the way in, what the links in mails lead to."""

import threading

import redis
import uvicorn
from anyio import Lock, to_thread
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CollectorRegistry, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.database import transaction, value
from config.runtime import Runtime
from config.streams import make_redis
from tasks.mail.outages import Outage, in_words
from tasks.mail.rates import outages
from workers import posted, unsubscribe
from workers.readers import StreamStanding
from workers.standing import Standing, look, streams

#: Seconds between two looks at whether the server still serves.
LOOK_SECONDS = 0.5

#: Octets of a request's headers at most; what is longer is answered 400, like all that is not HTTP.
LONGEST_HEADERS = 16_384


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
    stopped = GaugeMetricFamily(
        "rollcall_mail_stopped_since_seconds",
        "Unix time since which no mail goes, everywhere or to a domain; none where all goes",
        labels=["where", "about"],
    )
    for one in standing.mail_stopped:
        stopped.add_metric([one.where, one.about], one.since.timestamp())
    return [due, oldest, in_flight, held, mailings, unread, unpublished, webhooks, lag, stopped]


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


def make_app(runtime: Runtime) -> Starlette:
    """The pages of one deployment."""
    client = make_redis(runtime.endpoints.redis_url)
    registry = CollectorRegistry(auto_describe=False)
    numbers = _Numbers(runtime, client)
    scraping = Lock()  # however many ask, no more than one of them keeps a thread and a connection from others

    def healthz(_request: Request) -> Response:
        checks = {"database": _database_answers(runtime), "redis": _redis_answers(client)}
        stopped = _mail_stopped(runtime, client) if checks["redis"] else []
        told = {"mail": [in_words(one) for one in stopped]} if stopped else {}
        return JSONResponse(checks | told, status_code=200 if all(checks.values()) else 503)

    async def metrics(_request: Request) -> Response:
        async with scraping:
            return Response(await to_thread.run_sync(generate_latest, registry), media_type=CONTENT_TYPE_LATEST)

    registry.register(numbers)
    pages = [Route("/healthz", healthz), Route("/metrics", metrics)]
    app = Starlette(routes=[*pages, *posted.routes(runtime, registry), *unsubscribe.routes(runtime)])
    app.router.redirect_slashes = False  # a redirect would lose what is posted
    return app


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


def _mail_stopped(runtime: Runtime, client: redis.Redis) -> list[Outage]:
    """Where no mail goes: said, but no reason to take the pages away."""
    try:
        return outages(client, runtime.endpoints.mail_from)
    except redis.RedisError:
        return []


def run(runtime: Runtime) -> None:
    """Serve until told to stop."""
    settings = runtime.settings
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(runtime),
            host=settings.rollcall_web_host,
            port=settings.rollcall_web_port,
            log_config=None,
            access_log=False,
            server_header=False,
            http="h11",
            h11_max_incomplete_event_size=LONGEST_HEADERS,
        )
    )
    thread = threading.Thread(target=server.run, name="web", daemon=True)
    thread.start()
    while thread.is_alive() and not runtime.stopping.wait(LOOK_SECONDS):
        pass
    if not runtime.stopping.is_set():
        raise SystemExit(f"The pages cannot be served at {settings.rollcall_web_host}:{settings.rollcall_web_port}.")
    server.should_exit = True
    thread.join(settings.rollcall_drain_seconds)
