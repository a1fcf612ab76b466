"""`rollcall events`: what comes in, and what could not be taken."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import redis
import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from config.database import transaction
from config.services import REDIS
from config.streams import IN, make_redis
from tasks.events import store
from workers.commands.common import Json, Refused, document, err, opened, out, table

app = typer.Typer(help="What the platform sends, and what could not be taken.", no_args_is_help=True)

#: Events written to Redis in one round trip.
PIPELINE = 1000


@app.command()
def publish(
    file: Annotated[str, typer.Argument(metavar="FILE.jsonl|-", help="CloudEvents, one a line; - for standard input.")],
    raw: Annotated[bool, typer.Option("--raw", help="Put lines on the stream that are not JSON, too.")] = False,
    json_: Json = False,
) -> None:
    """Put events on the inbound stream. All of them, or, where a line is not JSON, none."""
    lines = _lines(file)
    if not raw:
        lines = list(_checked(lines, file))
    with opened("publish", REDIS) as runtime:
        client = make_redis(runtime.endpoints.redis_url)
        published = 0
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.completed} events published"),
            TimeElapsedColumn(),
            console=err,
            transient=True,
            disable=json_,
        ) as progress:
            bar = progress.add_task("publish", total=None)
            iterator = iter(lines)
            while batch := list(islice(iterator, PIPELINE)):
                _add(client, batch)
                published += len(batch)
                progress.update(bar, completed=published)
    if json_:
        document({"published": published})
    else:
        out.print(f"{published} events published.")


def _lines(file: str) -> Iterable[bytes]:
    if file == "-":
        return _not_blank(sys.stdin.buffer)
    path = Path(file)
    if not path.is_file():
        raise Refused(f"There is no file {file}.")
    return _not_blank(path.open("rb"))


def _not_blank(source: Iterable[bytes]) -> Iterator[bytes]:
    for line in source:
        yield line.rstrip(b"\r\n")


def _checked(lines: Iterable[bytes], file: str) -> Iterator[bytes]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            json.loads(line)
        except (ValueError, RecursionError):
            raise Refused(
                f"{file}, line {number}: this is not JSON, nothing was published (--raw publishes it as it is)."
            ) from None
        yield line


def _add(client: redis.Redis, batch: list[bytes]) -> None:
    with client.pipeline(transaction=False) as pipe:
        for line in batch:
            pipe.xadd(IN, {"event": line})
        pipe.execute()


@app.command()
def quarantined(
    organisation: Annotated[str | None, typer.Option("--organisation", "-o", help="Of this organisation only.")] = None,
    json_: Json = False,
) -> None:
    """List the events that wait for something, or for a person, with the reason."""
    with opened("quarantined") as runtime, transaction(runtime.engine) as connection:
        found = store.quarantined(connection, organisation)
    if json_:
        document(found)
        return
    table(
        ["event", "type", "organisation", "state", "reason", "since"],
        [[e.id, e.type, e.organisation, e.state, f"{e.reason}: {e.detail}", e.since] for e in found],
        "Nothing waits, nothing is quarantined.",
    )
