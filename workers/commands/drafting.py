"""What the commands that write an announcement share: their options, and how these are read."""

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from tasks import announcements
from tasks.events import Audience, clock_time
from workers.commands.common import Refused
from workers.commands.learners import ids_named

Body = Annotated[str, typer.Option(help="Markdown with merge fields; @FILE reads it from a file, - from stdin.")]
Everyone = Annotated[bool, typer.Option("--everyone", help="For every learner.")]
Segments = Annotated[list[str] | None, typer.Option("--segment", help="For a segment's members; may be repeated.")]
Learners = Annotated[list[str] | None, typer.Option("--learner", help="For this learner; may be repeated.")]
LearnersFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="For the learners whose ids it holds, one a line, or the first column of a CSV."),
]
SendAt = Annotated[str | None, typer.Option(help="When to send it, as 2026-12-01T09:00.")]
TimeZone = Annotated[str | None, typer.Option(help="The IANA time zone of --send-at; UTC unless given.")]


def audience(
    *, everyone: bool, segments: list[str] | None, learners: list[str] | None, learners_file: str | None
) -> Audience | None:
    """Whom an announcement is for, or None where nobody said; an empty file is nobody (R13)."""
    by_name = learners is not None or learners_file is not None
    if sum((everyone, segments is not None, by_name)) > 1:
        raise typer.BadParameter("it is for everyone, or for segments, or for learners")
    if everyone:
        return Audience(everyone=True)
    if segments is not None:
        return Audience(segments=list(dict.fromkeys(segments)))
    if not by_name:
        return None
    named = ids_named(learners, learners_file)
    return Audience(learners=list(dict.fromkeys(named)))


def text_of(body: str) -> str:
    """A body as it was given, or what the file holds that it names."""
    try:
        if body == "-":
            return sys.stdin.read()
        if not body.startswith("@"):
            return body
        path = Path(body[1:])
        with path.open("rb") as file:  # which may be a pipe, as `<(...)` is
            content = file.read(2 * announcements.LARGEST_BODY + 1)
        if len(content) > 2 * announcements.LARGEST_BODY:
            size = max(path.stat().st_size, len(content))
            raise Refused(f"{path} is {size} bytes large; a body may be {announcements.LARGEST_BODY}.")
        return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()  # line ends as in any text
    except OSError:
        raise Refused(f"There is no file {path} to be read.") from None
    except UnicodeDecodeError:
        raise Refused("The body is not text in UTF-8.") from None


def clock(send_at: str | None) -> str | None:
    """A time as it was written, if it is one."""
    try:
        if send_at is not None:
            clock_time(send_at)
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None
    return send_at
