"""`rollcall run`: one process of the Procfile."""

import gc
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from config import outages, services
from config.files import raise_limit
from config.runtime import Runtime
from config.streams import make_redis
from tasks.fleet import ProcessRole
from workers import probes, readiness
from workers.commands.common import opened
from workers.life import ending_with_its_threads
from workers.presence import Presence
from workers.queues import QUEUES

app = typer.Typer(
    help="One process of the Procfile, in the foreground; SIGTERM ends it in order.", no_args_is_help=True
)


@contextmanager
def _process(
    role: str,
    kind: ProcessRole,
    need: frozenset[str] = services.EVERYTHING,
    *,
    listens: bool = False,
    queues: Sequence[str] = (),
) -> Iterator[tuple[Runtime, Presence]]:
    """The servers of a process that SIGTERM and Ctrl-C tell to finish what it has begun. It is ready once they answer,
    or once it listens, of which it tells itself. It ends with exit code 1 where it fails or a thread of it dies, so
    that whoever started it starts it again; it may open all the files that the system allows."""
    raise_limit()
    with opened(role, need, make=True, process=True) as runtime:

        def stop(_signal: int, _frame: FrameType | None) -> None:
            runtime.stopping.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        outages.watch(runtime.engine)
        if "redis" in need:
            with make_redis(runtime.endpoints.redis_url) as client:
                client.ping()
        if not listens:
            readiness.report()
        presence = Presence(runtime, kind, queues)
        with (
            ending_with_its_threads(runtime),
            presence.shown(),
            probes.answering(runtime, presence, needs_redis="redis" in need),
        ):
            yield runtime, presence


@app.command()
def ingress() -> None:
    """Take the platform's events off the inbound stream."""
    from workers import ingress as process

    with _process("ingress", ProcessRole.INGRESS) as (runtime, presence):
        process.run(runtime, presence)


@app.command()
def relay() -> None:
    """Wake workers, publish events, launch what is scheduled. One leads, any number stand by."""
    from workers import relay as process

    with _process("relay", ProcessRole.RELAY) as (runtime, presence):
        process.run(runtime, presence)


@app.command()
def pool(
    queues: Annotated[list[str], typer.Argument(metavar="QUEUE…", help=f"Which of {', '.join(QUEUES)} to work on.")],
    threads: Annotated[int, typer.Option(min=1, max=32, help="Pieces of work at once.")] = 2,
) -> None:
    """Work on what is due in these queues."""
    from workers import pool as process

    unknown = sorted(set(queues) - set(QUEUES))
    if unknown:
        raise typer.BadParameter(f"there is no queue {', '.join(unknown)}; there are {', '.join(QUEUES)}")
    with _process(f"pool {' '.join(queues)}", ProcessRole.POOL, queues=queues) as (runtime, presence):
        process.run(runtime, queues, threads, presence)


@app.command()
def bounces() -> None:
    """Take delivery reports and complaints, over LMTP or SMTP."""
    from workers import bounces as process

    with _process("bounces", ProcessRole.BOUNCES, services.DATABASE, listens=True) as (runtime, presence):
        process.run(runtime, presence)


@app.command()
def web() -> None:
    """Take events at /events; serve the API, /livez, /readyz, /healthz, /metrics and the pages that links in mails lead
    to."""
    from workers.web import app as process

    with _process("web", ProcessRole.WEB, listens=True) as (runtime, presence):
        process.run(
            runtime, presence, gc.freeze
        )  # to look for garbage in what stays takes 40 ms: whoever asks would wait


@app.command()
def webhooks() -> None:
    """Send events out to webhooks. Any number may run."""
    from workers import webhooks as process

    with _process("webhooks", ProcessRole.WEBHOOKS, services.DATABASE) as (runtime, presence):
        process.run(runtime, presence)
