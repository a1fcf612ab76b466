"""`rollcall events replay`: what went out is published once more, because a person says so."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from config import clock
from config.words import counted
from tasks import events
from tasks.acts import events as acts
from tasks.acts.acting import Nothing
from tasks.events import TYPES_OUT
from workers.commands.common import Json, Refused, acting, document, out, past, progress_bar

#: Seconds between two looks at how far publishing has come, and without any progress until it is left to itself.
LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 10.0

_READS = "a time with an offset (2026-11-24T03:00:00Z), how long ago (90m, 2h, 3d), or the position of an event (1234)"


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
    now = clock.now()
    wanted = acts.Replaying(
        since=_moment(since, "--since"),
        until=None if until is None else _moment(until, "--until"),
        types=[f"rollcall.{one.removeprefix('rollcall.')}" for one in types or []],
        dry_run=dry_run,
    )
    if unknown := [one for one in wanted.types if one not in TYPES_OUT]:
        raise typer.BadParameter(f"--type {unknown[0]} is none of {', '.join(TYPES_OUT)}")
    if isinstance(wanted.since, datetime) and wanted.since > now:
        raise Refused(f"--since {since} is in the future: nothing was published then.")
    if type(wanted.since) is type(wanted.until) and wanted.until < wanted.since:  # type: ignore[operator]
        raise Refused(f"--until {until} is before --since {since}.")
    act = acts.replay if organisation is not None else acts.replay_all
    looks = acts.replays if organisation is not None else acts.replays_of_all
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with acting("replay") as do, progress_bar(*columns, quiet=json_) as progress:
        progress.add_task("looking through", total=None)
        replayed = do(act, wanted, organisation)
        found, left = replayed.replayed, events.ReplayLeft(replayed.left, relay=False)
        if left.waiting:
            left = _follow(lambda: do(looks, Nothing(), organisation), progress)
    if json_:
        document(replace(replayed, left=left.waiting))
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


def _follow(look: Callable[[], events.ReplayLeft], progress: Progress) -> events.ReplayLeft:
    """Look on until nothing is in line, or nobody works on it, or Ctrl-C; what is left then."""
    bar = progress.add_task("published", total=None)
    most, moved, before = 0, time.monotonic(), -1
    pause = threading.Event()
    while True:
        left = look()
        most = max(most, left.waiting)
        progress.update(bar, completed=most - left.waiting, total=most)
        if left.waiting != before:
            moved, before = time.monotonic(), left.waiting
        if not left.waiting or not left.relay or time.monotonic() - moved > PATIENCE_SECONDS:
            return left
        try:
            pause.wait(LOOK_SECONDS)
        except KeyboardInterrupt:
            return left
