"""What the commands that write an announcement share: options, and what is refused before anything is kept."""

import io
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection

from config.words import some_of
from tasks import announcements, learners, mail, organisations
from tasks.events import clock_time
from workers.commands.common import Refused
from workers.commands.learners import ids_in

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


class Policy(StrEnum):
    """What becomes of a mail of which it is uncertain whether it went (R19)."""

    HOLD = "hold"
    RESEND = "resend"


def audience(
    *, everyone: bool, segments: list[str] | None, learners: list[str] | None, learners_file: str | None
) -> dict[str, object] | None:
    """Whom an announcement is for, or None where nobody said; an empty file is nobody (R13)."""
    by_name = learners is not None or learners_file is not None
    if sum((everyone, segments is not None, by_name)) > 1:
        raise typer.BadParameter("it is for everyone, or for segments, or for learners")
    if everyone:
        return {"everyone": True}
    if segments is not None:
        return {"segments": list(dict.fromkeys(segments))}
    if not by_name:
        return None
    named = [*(learners or []), *(ids_in(learners_file) if learners_file is not None else [])]
    return {"learners": list(dict.fromkeys(named))}


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


def moment(send_at: str | None, time_zone: str | None) -> datetime | None:
    """When to send an announcement, as an instant that lies ahead."""
    try:
        announcements.zone_named(time_zone or "UTC")
        if send_at is None:
            return None
        wanted = clock_time(send_at)
    except announcements.BadSchedule as problem:
        raise Refused(str(problem)) from None
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None
    try:
        found = announcements.moment_of(wanted, time_zone or "UTC")
    except (announcements.BadSchedule, OverflowError) as problem:
        raise Refused(str(problem)) from None
    if found <= datetime.now(UTC):
        when = announcements.local_time(found, time_zone)
        raise Refused(f"{when} has passed: leave --send-at out to send it when you launch it.")
    return found


def check(connection: Connection, org: organisations.Organisation, draft: mail.Draft) -> None:
    """Refuse a draft with a mistake in it: in its words, or in whom it is for."""
    try:
        announcements.check_message(draft.subject, draft.body, org.name)
    except announcements.BadMessage as problem:
        raise Refused(str(problem)) from None
    segments, named = draft.audience.get("segments", []), draft.audience.get("learners", [])
    assert isinstance(segments, list) and isinstance(named, list)  # noqa: S101, PT018 - as `audience` makes them
    saved = learners.saved_segments(connection, org.organisation, segments)
    for segment in segments:
        if segment not in saved:
            raise Refused(f"There is no segment {segment!r} in the organisation {org.id!r}.")
    if len(named) > announcements.MOST_LEARNERS:
        raise Refused(f"{len(named)} learners are named; make a segment of more than {announcements.MOST_LEARNERS}.")
    unknown = announcements.unknown_learners(connection, org.organisation, named)
    if unknown:
        raise Refused(f"There is no learner {some_of(unknown)} in the organisation {org.id!r}.")
