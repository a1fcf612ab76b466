"""`rollcall events`: what comes in, and what could not be taken."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from config.errors import NotFound
from config.runtime import Runtime
from config.services import REDIS
from config.signed_events import BATCHED, PATH, STRUCTURED, signed_headers
from config.words import counted
from tasks import events
from tasks.acts import events as acts
from tasks.acts.acting import Act, Answer
from tasks.acts.paging import PageAsked
from tasks.events import WHAT_TO_DO, Reason
from workers.commands import replays
from workers.commands.common import (
    By,
    Doer,
    Json,
    Refused,
    acting,
    cell,
    document,
    documents,
    items,
    opened,
    out,
    progress_bar,
    readable,
    say,
    tables,
)

if TYPE_CHECKING:
    from redis import Redis

app = typer.Typer(help="What the platform sends, and what could not be taken.", no_args_is_help=True)
app.command()(replays.replay)

#: Events written to Redis in one round trip.
PIPELINE = 1000


#: Characters of a payload that a person is shown.
SHOWN = 200

OfOrganisation = Annotated[str | None, typer.Option("--organisation", "-o", help="The organisation they are of.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many, the first that came.")]


@dataclass(frozen=True, slots=True)
class Published:
    """How many events were put on the stream."""

    published: int


@app.command()
def publish(
    file: Annotated[str, typer.Argument(metavar="FILE.jsonl|-", help="CloudEvents, one a line; - for standard input.")],
    raw: Annotated[bool, typer.Option("--raw", help="Put lines on the stream that are not JSON, too.")] = False,
    json_: Json = False,
) -> None:
    """Put events on the inbound stream. All of them, or, where a line is not JSON, none."""
    from config.streams import make_redis

    with _lines(file) as lines:
        if not raw:
            _check(lines(), file)
        columns = (SpinnerColumn(), TextColumn("{task.completed} events published"), TimeElapsedColumn())
        with opened("publish", REDIS, make=True) as runtime, progress_bar(*columns, quiet=json_) as progress:
            published = publish_lines(make_redis(runtime.endpoints.redis_url), lines(), progress, raw=raw)
    say(Published(published), f"{counted(published, 'event')} published.", json_=json_)


def publish_lines(client: "Redis", lines: Iterable[bytes], progress: Progress, *, raw: bool = False) -> int:
    """Put events on the stream, one a line, blank lines left out unless `raw`; how many."""
    bar = progress.add_task("publish", total=None)
    published = 0
    iterator = (line for line in lines if raw or line.strip())
    while batch := list(islice(iterator, PIPELINE)):
        _add(client, batch)
        published += len(batch)
        progress.update(bar, completed=published)
    return published


@contextmanager
def _lines(file: str) -> Iterator[Callable[[], Iterator[bytes]]]:
    """What gives the lines of a file from its beginning, as often as asked."""
    with readable(file) as source:
        yield lambda: _from_beginning(source)


def _from_beginning(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    for line in file:
        yield line.rstrip(b"\r\n")


def _check(lines: Iterable[bytes], file: str) -> None:
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                json.loads(line)
        except (ValueError, RecursionError):
            raise Refused(
                f"{file}, line {number}: this is not JSON, nothing was published (--raw publishes it as it is)."
            ) from None


def _add(client: "Redis", batch: list[bytes]) -> None:
    from config.streams import IN

    with client.pipeline(transaction=False) as pipe:
        for line in batch:
            pipe.xadd(IN, {"event": line})
        pipe.execute()


OfKey = Annotated[
    str | None, typer.Option("--bound-to", metavar="ORGANISATION", help="The key that signs for this one alone.")
]


def _key(runtime: Runtime, organisation: str | None) -> str:
    """The first key that signs for everybody, or that is bound to an organisation."""
    keys = [key.key for key in runtime.events_keys if key.organisation == organisation]
    if keys:
        return keys[0]
    if organisation is not None:
        raise Refused(f"No key is bound to {organisation}: put {organisation}=whsec_… into ROLLCALL_EVENTS_KEY.")
    if runtime.events_keys:
        raise Refused(
            "Every key in ROLLCALL_EVENTS_KEY is bound to an organisation: say which, --bound-to ORGANISATION."
        )
    raise Refused("There is no key to sign with: set ROLLCALL_EVENTS_KEY.")


@dataclass(frozen=True, slots=True)
class Key:
    """The key that posted events are signed with, to be given to whoever posts them."""

    key: str


@app.command()
def key(bound_to: OfKey = None, json_: Json = False) -> None:
    """Print the key that posted events are signed with; it is a secret. Nothing but posts can be signed with it."""
    with opened("key", frozenset()) as runtime:
        found = Key(_key(runtime, bound_to))
    if json_:
        document(found)
    else:
        out.print(found.key, markup=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Signed:
    """The headers that sign what is posted to `/events`, and where that is."""

    url: str
    headers: dict[str, str]


@app.command()
def sign(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="What is posted, as it is; - for standard input.")],
    bound_to: OfKey = None,
    json_: Json = False,
) -> None:
    """Print the headers with which a file is taken at /events, good for five minutes; curl reads them with -H @-."""
    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError:
        raise Refused(f"There is no file {file} to be read.") from None
    with opened("sign", frozenset()) as runtime:
        key, url = _key(runtime, bound_to), f"{runtime.endpoints.public_url}{PATH}"
    try:
        headers = signed_headers(key, f"msg_{uuid4().hex}", body)
    except UnicodeDecodeError:
        raise Refused(f"{file} is not UTF-8.") from None
    content_type = BATCHED if body.lstrip().startswith(b"[") else STRUCTURED[0]
    signed = Signed(url, {"content-type": content_type, **headers})
    say(signed, *(f"{name}: {text}" for name, text in signed.headers.items()), json_=json_)


@app.command()
def quarantined(
    organisation: OfOrganisation = None,
    reason: Annotated[Reason | None, typer.Option(help="Held back for this reason only.")] = None,
    state: Annotated[acts.UnresolvedState | None, typer.Option(help="Waiting only, or quarantined only.")] = None,
    limit: Limit = None,
    json_: Json = False,
) -> None:
    """List the events that wait for something, or for a person: why, what came, and what to do."""
    wanted = acts.UnresolvedFilter(reason, state)
    with acting("quarantined") as do:
        found = items(do, *_asked(do, acts.quarantined, acts.quarantined_anywhere, wanted, organisation), most=limit)
        if json_:
            documents(found)
            return
        seen = {entry.reason for entry in map(_shown, found)}
    for one in Reason:
        if one in seen:
            out.print(f"What to do where the reason is “{one}”: {WHAT_TO_DO[one]}.", markup=False)
    if not seen:
        out.print("Nothing waits, nothing is quarantined.", style="dim")


def _shown(entry: events.Quarantined) -> events.Quarantined:
    """Show an event to a person, of what came in no more than its beginning, and no control characters of it."""
    payload = entry.payload if entry.payload_is == "text" else f"in base64: {entry.payload}"
    rest = f"… ({len(payload):,} characters)" if len(payload) > SHOWN else ""
    waits = "" if entry.waits_for is None else f"; it waits for {entry.waits_for}"
    what = f"{entry.id or 'no id'}  {cell(entry.type)}  {cell(entry.organisation)}"
    for line in (
        f"{entry.number}. {what}  {entry.state} since {cell(entry.since)}",
        f"    {entry.reason}: {entry.detail}{waits}",
        f"    {payload[:SHOWN]}{rest}",
    ):
        out.print(line, markup=False)
    return entry


@app.command()
def decided(organisation: OfOrganisation = None, limit: Limit = None, json_: Json = False) -> None:
    """List the events that were released or discarded: who decided it, when, and why."""
    with acting("decided") as do:
        wanted = PageAsked()
        found = items(do, *_asked(do, acts.decided, acts.decided_anywhere, wanted, organisation), most=limit)
        if json_:
            documents(found)
            return
        tables(
            ["event", "type", "organisation", "state", "reason", "by", "at", "why"],
            ([e.id, e.type, e.organisation, e.state, e.reason, e.by, e.at, e.why] for e in found),
            "Nothing was released or discarded.",
        )


def _asked(
    do: Doer, ours: Act[Any, Answer], anybodys: Act[Any, Answer], wanted: Any, named: str | None
) -> tuple[Act[Any, Answer], Any, str | None]:
    """What is asked of an organisation; or of everybody, or of a name that nobody knows, which is an operator's."""
    if named is not None:
        with suppress(NotFound):
            do(acts.quarantined, acts.UnresolvedFilter(limit=1), named)
            return ours, wanted, named
    said = {field.name: getattr(wanted, field.name) for field in fields(wanted)}
    return anybodys, anybodys.takes(**said, organisation=named), None


Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="The ids of the events, as `quarantined` lists them.")]
ByNumber = Annotated[bool, typer.Option("--number", help="The ids are numbers, as `quarantined` lists them.")]
OfSource = Annotated[str | None, typer.Option("--source", help="The source they came from.")]


@app.command(name="release")
def release_(
    ids: Ids,
    why: Annotated[str, typer.Option("--why", help="The reason, kept with the event.")] = "released by hand",
    by: By = None,
    organisation: OfOrganisation = None,
    source: OfSource = None,
    number: ByNumber = False,
    json_: Json = False,
) -> None:
    """Take events as valid, because a person says so: a start by an inactive learner then counts, and is charged."""
    with acting("release", by=by) as do:
        wanted = acts.Decisions(ids, why, source, number)
        decided = do(*_asked(do, acts.release_many, acts.release_anywhere, wanted, organisation))
    say(decided, *map(_decision, decided), json_=json_)


@app.command(name="discard")
def discard_(
    ids: Ids,
    why: Annotated[str, typer.Option("--why", help="The reason, kept with the event.")],
    by: By = None,
    organisation: OfOrganisation = None,
    source: OfSource = None,
    number: ByNumber = False,
    json_: Json = False,
) -> None:
    """Give events up, for good; that they came is kept, with who decided and why."""
    with acting("discard", by=by) as do:
        wanted = acts.Decisions(ids, why, source, number)
        decided = do(*_asked(do, acts.discard_many, acts.discard_anywhere, wanted, organisation))
    say(decided, *map(_decision, decided), json_=json_)


def _decision(one: acts.EventDecision) -> str:
    return f"{one.id} is {one.state}."
