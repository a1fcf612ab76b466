"""Whether all is well: what a person, a probe and Prometheus are told, whatever is away.

`/livez` says that this process runs, `/readyz` that it is fit to work, `/healthz` that Rollcall as a whole is well.
`/metrics` is for whoever watches: at an address of its own, and at the one of the pages only if that is this machine's.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import redis
import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import migrations
from config.database import only_reads, transaction
from config.outages import REDIS
from config.runtime import Runtime
from config.streams import make_impatient_redis
from config.urls import is_here
from tasks import fleet, retention
from tasks.mail import MailOutage, current_outages, paused
from tasks.system import InRedis, in_database, in_redis, is_ingress_stalled, is_relay_stalled, streams
from tasks.work import STALLED_AFTER, loads, paused_pools
from workers.presence import store_counts
from workers.web.asking import Bulkhead, Busy, Shared, in_time
from workers.web.connections import Gatekeeper
from workers.web.metrics import CountedByAll, Numbers

Answer = TypeVar("Answer")

log = structlog.get_logger()

#: Connections of those who watch.
WATCHERS = 32

#: Seconds that Redis has to answer a page, at each command and in all.
REDIS_SECONDS, REDIS_SECONDS_IN_ALL = 1.5, 3.0


class Watching:
    """The pages of one process that say how things are."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._client = make_impatient_redis(runtime.endpoints.redis_url, REDIS_SECONDS)
        self._health = Bulkhead(runtime, "web healthz", at_once=1, wait=2, seconds=3, statement=2)
        self._scraped = Bulkhead(runtime, "web metrics", at_once=1, wait=2, seconds=10, statement=8)
        self._checked, self._counted, self._judged = Shared(self._check), Shared(self._count), Shared(self._judge)

    def close(self) -> None:
        """Let go of the connections."""
        for bulkhead in (self._health, self._scraped):
            bulkhead.close()

    def routes(self) -> list[Route]:
        """What is answered where the pages are."""
        probes = [Route("/livez", self._live), Route("/readyz", self._ready), Route("/healthz", self._healthy)]
        on_this_machine = is_here(urlsplit(self._runtime.endpoints.public_url).hostname)
        return [*probes, *(self._numbers() if on_this_machine else [])]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Answer whoever watches, at an address of its own. If that is taken, the log says so, and the pages are served
        all the same."""
        settings = self._runtime.settings
        host, port = settings.rollcall_metrics_host, settings.rollcall_metrics_port
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            shared = settings.rollcall_web_shared
            listening = socket.create_server((host, port), family=family, reuse_port=shared)
        except OSError as problem:
            log.warning("web.metrics_not_served", host=host, port=port, problem=problem.strerror)
            yield
            return
        door: Any = Gatekeeper(WATCHERS, ()).protocol
        app = Starlette(routes=self._numbers())
        server = uvicorn.Server(
            uvicorn.Config(
                app, http=door, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False
            )
        )
        log.info("web.metrics", host=host, port=listening.getsockname()[1])
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving

    def _numbers(self) -> list[Route]:
        return [Route("/metrics", self._metrics)]

    async def _live(self, _request: Request) -> Response:
        return JSONResponse({"live": True})

    async def _ready(self, _request: Request) -> Response:
        why = await self._judged()
        return JSONResponse({"ready": not why, **({"why": why} if why else {})}, status_code=503 if why else 200)

    async def _healthy(self, _request: Request) -> Response:
        checks, well = await self._checked()
        return JSONResponse(checks, status_code=200 if well else 503)

    async def _metrics(self, _request: Request) -> Response:
        return Response(await self._counted(), media_type=CONTENT_TYPE_LATEST)

    async def _judge(self) -> list[str]:
        """Why this process is not fit to work."""
        answers, misfit = await asyncio.gather(self._said(_redis_answers), _asked(self._health, _misfit))
        why = ["The database cannot be used."] if misfit is None else [misfit] if misfit else []
        return why if answers else [*why, "Redis cannot be used."]

    async def _check(self) -> tuple[dict[str, object], bool]:
        redis_answers = await self._said(_redis_answers)
        found = await _asked(self._health, _stalled)
        stalled, said, pools = found or ([], [], [])
        if redis_answers:
            said = [*said, *(one.in_words for one in await self._said(_mail_stopped) or [])]
            stalled = (["ingress"] if await self._said(_ingress_stalled) else []) + stalled
        else:
            stalled = [name for name in stalled if name != "relay"]  # which can do nothing without Redis
        checks: dict[str, object] = {"database": found is not None, "redis": bool(redis_answers)}
        well = found is not None and bool(redis_answers) and not stalled
        told = {"stalled": stalled, "mail": said, "pools": pools}
        return checks | {name: what for name, what in told.items() if what}, well

    async def _count(self) -> bytes:
        said, tables = await asyncio.gather(self._said(_in_redis), _asked(self._scraped, in_database))
        found = await _asked(self._scraped, streams, self._client) if said and tables else None
        fleet_ = await _asked(self._scraped, _counted) if tables else None
        return Numbers(tables, said, found or [], fleet_).page()

    async def _said(self, question: Callable[[Runtime, redis.Redis], Answer]) -> Answer | None:
        """What Redis answers, or None where it does not in time."""
        try:
            return await in_time(REDIS_SECONDS_IN_ALL, question, self._runtime, self._client)
        except Busy:
            REDIS.begin(TimeoutError("timed out"))
            return None


def _misfit(runtime: Runtime) -> str | None:
    """Why the schema does not fit, or nothing; None where the database does not answer, or only reads."""
    with transaction(runtime.engine) as connection:
        if only_reads(connection):
            return None
        return migrations.misfit(connection) or ""


async def _asked(bulkhead: Bulkhead, question: Callable[..., Answer], *about: object) -> Answer | None:
    """The answer, or None where it does not come in time, or a server cannot be used."""
    try:
        return await bulkhead.ask(question, bulkhead.runtime, *about)
    except (Busy, SQLAlchemyError, redis.RedisError):  # said by whoever watches the server
        return None


def _in_redis(runtime: Runtime, client: redis.Redis) -> InRedis | None:
    try:
        found = in_redis(runtime, client)
    except redis.RedisError as problem:
        REDIS.begin(problem, runtime.endpoints.redis_url)
        return None
    REDIS.end()
    return found


def _counted(runtime: Runtime) -> CountedByAll:
    store_counts(runtime.engine)  # what this process counts is seen at once
    with transaction(runtime.engine) as connection:
        return CountedByAll(fleet.processes(connection), fleet.counted(connection), retention.partitions(connection))


def _stalled(runtime: Runtime) -> tuple[list[str], list[str], list[str]] | None:
    """Who does not run, though there is something to do: the relay, and the pools, by their queues; and in words
    whether all mail is paused, and which pools are. None where the database only reads."""
    with transaction(runtime.engine) as connection:
        if only_reads(connection):
            return None
        queues = loads(connection)
        relay = ["relay"] if is_relay_stalled(connection, queues) else []
        stopped = paused(connection)
        mail = [] if stopped is None else [stopped.in_words]
        pools = [one.in_words for one in paused_pools(connection)]
        return relay + [load.queue for load in queues if load.stalled], mail, pools


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
