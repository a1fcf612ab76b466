"""Answers probes of one process over HTTP, if it is told a port: `/livez` whether it goes on, `/readyz` whether it can
work. A process that answers nothing else, such as a pool, is watched by it, as `web` is at the same paths."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import redis
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

import migrations
from config.database import only_reads, transaction
from config.engine import Patience, make_engine
from config.runtime import Runtime
from config.streams import make_impatient_redis
from workers.presence import SILENT_SECONDS, Presence

log = structlog.get_logger()

#: Seconds that each server has to answer, and that a client has to ask.
SECONDS = 2.0


class _Probe(BaseHTTPRequestHandler):
    """One question."""

    timeout = SECONDS
    server: "_Probes"

    def do_GET(self) -> None:
        """Answer it: 200 if all is well, 503 if not, and why."""
        ask = self.server.questions.get(self.path)
        why = [] if ask is None else ask()
        status = 404 if ask is None else 503 if why else 200
        answer = json.dumps({"well": status == 200, **({"why": why} if why else {})}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing is logged of who asks."""


class _Probes(ThreadingHTTPServer):
    """The server of them."""

    daemon_threads = True

    def __init__(self, at: tuple[str, int], questions: dict[str, Callable[[], list[str]]]) -> None:
        super().__init__(at, _Probe)
        self.questions = questions


@contextmanager
def answering(runtime: Runtime, presence: Presence, *, needs_redis: bool) -> Iterator[None]:
    """Answer probes until the block ends, if there is a port for it. If that is taken, the process ends."""
    settings = runtime.settings
    if not settings.rollcall_probe_port:
        yield
        return
    patience = Patience(pool=SECONDS, connect=int(SECONDS), lock=SECONDS, statement=SECONDS)
    url, pooler = runtime.endpoints.database_url, runtime.endpoints.pooler_url
    engine = make_engine(url, role="probe", pool=1, more=0, patience=patience, pooler=pooler)
    client = make_impatient_redis(runtime.endpoints.redis_url, SECONDS) if needs_redis else None

    def is_ready() -> list[str]:
        return [*_of_database(engine), *(_of_redis(client) if client is not None else [])]

    def is_alive() -> list[str]:
        return [] if presence.is_alive else [f"It has done nothing for {SILENT_SECONDS:g} s."]

    at = (settings.rollcall_probe_host, settings.rollcall_probe_port)
    try:
        server = _Probes(at, {"/livez": is_alive, "/readyz": is_ready})
    except OSError as problem:
        raise SystemExit(f"Probes cannot be answered at {at[0]}:{at[1]}: {problem.strerror}.") from None
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        engine.dispose()


def _of_database(engine: Engine) -> list[str]:
    """Why the database is not fit to work."""
    try:
        with transaction(engine) as connection:
            if only_reads(connection):
                return ["The database only lets read."]
            misfit = migrations.misfit(connection)
            return [] if misfit is None else [misfit]
    except SQLAlchemyError:
        return ["The database cannot be used."]


def _of_redis(client: redis.Redis) -> list[str]:
    try:
        client.ping()
    except redis.RedisError:
        return ["Redis cannot be used."]
    return []
