"""What is served over HTTP: whether all is well, the numbers behind it, the way in, what the links in mails lead to."""

import threading

import redis
import uvicorn
from anyio import Lock, to_thread
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.database import transaction
from config.outages import REDIS
from config.runtime import Runtime
from config.streams import make_redis
from tasks.work.store import loads
from workers import posted, readiness, unsubscribe
from workers.metrics import Numbers

#: Seconds between two looks at whether the server still serves.
LOOK_SECONDS = 0.5

#: Octets of a request's headers at most; what is longer is answered 400, like all that is not HTTP.
LONGEST_HEADERS = 16_384


def make_app(runtime: Runtime) -> Starlette:
    """The pages of one deployment."""
    client = make_redis(runtime.endpoints.redis_url)
    registry = CollectorRegistry(auto_describe=False)
    numbers = Numbers(runtime, client)
    scraping = Lock()  # however many ask, no more than one of them keeps a thread and a connection from others

    def healthz(_request: Request) -> Response:
        stalled = _stalled(runtime)
        checks = {"database": stalled is not None, "redis": _redis_answers(runtime, client)}
        well = all(checks.values()) and not stalled
        return JSONResponse({**checks, "stalled": stalled} if stalled else checks, status_code=200 if well else 503)

    async def metrics(_request: Request) -> Response:
        async with scraping:
            return Response(await to_thread.run_sync(generate_latest, registry), media_type=CONTENT_TYPE_LATEST)

    registry.register(numbers)
    pages = [Route("/healthz", healthz), Route("/metrics", metrics)]
    app = Starlette(routes=[*pages, *posted.routes(runtime, registry), *unsubscribe.routes(runtime)])
    app.router.redirect_slashes = False  # a redirect would lose what is posted
    return app


def _stalled(runtime: Runtime) -> list[str] | None:
    """The queues whose work waits while nobody begins any; None where the database does not answer."""
    try:
        with transaction(runtime.engine) as connection:
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
        if server.started:
            readiness.report()
    if not runtime.stopping.is_set():
        raise SystemExit(f"The pages cannot be served at {settings.rollcall_web_host}:{settings.rollcall_web_port}.")
    server.should_exit = True
    thread.join(settings.rollcall_drain_seconds)
