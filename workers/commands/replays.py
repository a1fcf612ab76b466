"""`rollcall events replay`: what went out is published once more, because a person says so."""

import re
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from config.database import transaction
from config.runtime import Runtime
from config.words import counted
from tasks import events, organisations
from tasks.events import TYPES_OUT
from workers.commands.common import Json, Refused, document, err, opened, out, past, serving

#: Seconds between two looks at how far publishing has come, and without any progress until it is left to itself.
LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 10.0

_READS = "a time with an offset (2026-11-24T03:00:00Z), how long ago (90m, 2h, 3d), or the position of an event (1234)"


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many events are published once more, or would be; and how many of all such are not on the stream yet."""

    replayed: int
    dry_run: bool
    left: int


def replay(
    since: Annotated[str, typer.Option("--since", metavar="TIME|POSITION", help=f"From here on: {_READS}.")],
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME|POSITION", help="Up to here; to the last one otherwise.")
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Of this type only, such as seat.consumed; may be repeated."),
    ] = None,
    organisation: Annotated[
        str | None, typer.Option("--organisation", "-o", metavar="ORG", help="Of this organisation only.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many there are, and publish nothing.")] = False,
    json_: Json = False,
) -> None:
    """Publish what went out once more, at the end of rollcall:out, in the order it had.

    Each event keeps its id, source and time and carries `replayed: true`: a consumer that had it knows it by its id,
    and one that lost it takes it. The relay publishes them, between what is new; all of them are in line, or none. The
    position of an event is the first half of its entry id.
    """
    now = datetime.now(UTC)
    wanted = events.ReplayRequest(
        since=_moment(since, "--since"),
        until=None if until is None else _moment(until, "--until"),
        types=tuple(f"rollcall.{one.removeprefix('rollcall.')}" for one in types or []),
    )
    if unknown := [one for one in wanted.types if one not in TYPES_OUT]:
        raise typer.BadParameter(f"--type {unknown[0]} is none of {', '.join(TYPES_OUT)}")
    if isinstance(wanted.since, datetime) and wanted.since > now:
        raise Refused(f"--since {since} is in the future: nothing was published then.")
    if type(wanted.since) is type(wanted.until) and wanted.until < wanted.since:  # type: ignore[operator]
        raise Refused(f"--until {until} is before --since {since}.")
    with opened("replay") as runtime, _progress(json_) as progress:
        found = _put_in_line(runtime, wanted, organisation, _bar(progress, "looked through"), dry=dry_run)
        left = (
            _follow(runtime, _bar(progress, "published"))
            if found and not dry_run
            else events.ReplayLeft(0, relay=False)
        )
    if json_:
        document(Replayed(found, dry_run, left.waiting))
    elif dry_run:
        out.print(f"{counted(found, 'event')} would be published once more.")
    elif left.waiting:
        why = "the relay is at it" if left.relay else "no relay runs; the next one that does publishes them"
        out.print(
            f"{counted(found, 'event is', 'events are')} to be published once more, {left.waiting} in line: {why}."
        )
    else:
        out.print(f"{counted(found, 'event was', 'events were')} published once more.")


def _moment(text: str, option: str) -> datetime | int:
    """What is meant by a time, a span until now, or a position."""
    if position := re.fullmatch(r"(\d{1,18})(-0)?", text):
        return int(position[1])
    return past(text, option, _READS)


def _progress(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal)


def _bar(progress: Progress, what: str) -> Callable[[int, int], None]:
    bar = progress.add_task(what, total=None)
    return lambda done, total: progress.update(bar, completed=done, total=total)


def _put_in_line(
    runtime: Runtime,
    wanted: events.ReplayRequest,
    organisation: str | None,
    looked_at: Callable[[int, int], None],
    *,
    dry: bool,
) -> int:
    """Put what is meant in line, in one transaction; for an organisation with the rights of its people (R31)."""
    with transaction(runtime.engine) as connection:
        through = events.replay_published(connection)
        rights: AbstractContextManager[None] = nullcontext()
        if organisation is not None:
            known = organisations.find(connection, [organisation]).get(organisation)
            if known is None:
                raise Refused(f"There is no organisation {organisation!r}.")
            wanted = events.ReplayRequest(wanted.since, wanted.until, wanted.types, known.organisation)
            rights = serving(connection, known)
        with rights:
            return events.replay(connection, wanted, through, looked_at=looked_at, dry=dry)


def _follow(runtime: Runtime, published: Callable[[int, int], None]) -> events.ReplayLeft:
    """Look on until nothing is in line, or nobody works on it, or Ctrl-C; what is left then."""
    from workers.relay.leader import LEADER_LOCK

    most, moved, before = 0, time.monotonic(), -1
    pause = threading.Event()
    while True:
        with transaction(runtime.engine) as connection:
            left = events.replay_left(connection, LEADER_LOCK)
        most = max(most, left.waiting)
        published(most - left.waiting, most)
        if left.waiting != before:
            moved, before = time.monotonic(), left.waiting
        if not left.waiting or not left.relay or time.monotonic() - moved > PATIENCE_SECONDS:
            return left
        try:
            pause.wait(LOOK_SECONDS)
        except KeyboardInterrupt:
            return left
