"""`rollcall announcements`, the part that shows: who would get one, what they read, and how it stands."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy import Connection

from config.database import transaction
from config.runtime import Runtime
from config.services import DATABASE, REDIS
from config.words import counted
from tasks import announcements, bounces, mail, organisations
from tasks.announcements import Announcement
from tasks.mail import MOVES, Delivery, MailOutage, MailResult, paused
from tasks.reports import Format
from workers.commands.common import Json, Org, Refused, asked, document, opened, out, table, write_blocks
from workers.commands.progress import watch

if TYPE_CHECKING:
    from tasks.announcements import Preview

Id = Annotated[str, typer.Argument(metavar="ID", help="The announcement's id.")]
Reader = Annotated[
    str | None, typer.Option(metavar="ID", help="As this learner reads it; the first who would get it otherwise.")
]

#: Lines of a sample that are shown to a person.
LINES = 40

#: The counts of an announcement: the first is the sum of the others.
COUNTS = ["selected", "accepted", "skipped", "failed", "cancelled", "uncertain", "pending"]

#: What came back, in words.
_CAME_BACK = {
    bounces.BounceKind.BLOCKED: "blocked",
    bounces.BounceKind.SOFT: "bounced for now",
    bounces.BounceKind.HARD: "bounced for good",
    bounces.BounceKind.COMPLAINT: "complained",
}

#: The states an announcement can be in.
State = StrEnum("State", {s: s for moves in MOVES.values() for pair in moves.items() for s in pair})  # type: ignore[misc]


def found_by(connection: Connection, org: organisations.Organisation, announcement: str) -> Announcement:
    """The announcement with this id, or a refusal."""
    found = announcements.find(connection, org.organisation, announcement)
    if found is None:
        raise Refused(f"There is no announcement {announcement!r} in the organisation {org.id!r}.")
    return found


def preview_(announcement: Id, organisation: Org, learner: Reader = None, json_: Json = False) -> None:
    """Say who would get it were it launched now, who is left out and why, and what they would read."""
    from tasks.announcements import preview

    with opened("announcements") as runtime, asked(runtime, organisation) as (connection, org):
        seen = preview(connection, runtime, org.organisation, found_by(connection, org, announcement), learner)
    if json_:
        document(seen)
    else:
        _print_preview(seen)


def _print_preview(seen: "Preview") -> None:
    out.print(f"{seen.will_receive} of {seen.selected} will receive {seen.announcement}.", markup=False)
    for reason, n in seen.left_out.items():
        out.print(f"  {n} will not: {reason}", markup=False)
    for mistake in seen.mistakes:
        out.print(
            f"  {mistake.without_value} of {mistake.of} have no {mistake.field}: write"
            f' {{{{ {mistake.field} | default: "…" }}}}',
            style="yellow",
            markup=False,
        )
    if seen.sample is None:
        return
    lines = seen.sample.text.splitlines()
    for line in ("", f"As {seen.sample.learner} reads it:", "", f"  {seen.sample.subject}", ""):
        out.print(line, markup=False)
    for line in lines[:LINES]:
        out.print(f"  {line}", markup=False)
    if len(lines) > LINES:
        out.print(f"  … {counted(len(lines) - LINES, 'line')} more", style="dim")


def try_out(
    announcement: Id,
    organisation: Org,
    to: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to send it.")],
    learner: Reader = None,
    json_: Json = False,
) -> None:
    """Send it to one address, marked as a test, and say what the mail server answered.

    It counts nowhere. It does not go to an address of an inactive learner, nor to one that is suppressed.
    """
    from tasks.announcements import send_trial, trial

    with opened("announcements", DATABASE | {"smtp"}) as runtime:
        with transaction(runtime.engine) as connection:
            stopped = paused(connection)
        if stopped is not None:
            raise Refused(f"Nothing was sent. {stopped.in_words}")
        with asked(runtime, organisation) as (connection, org):
            found = found_by(connection, org, announcement)
            ready = trial(connection, runtime, org.organisation, found, to=to, learner=learner)
        sent = send_trial(runtime, ready)
    said = " ".join(str(part) for part in (sent.code, sent.reply) if part is not None) or "nothing"
    if sent.answer != MailResult.ACCEPTED:
        raise Refused(f"The test to {to} was not accepted ({sent.answer}); the mail server said: {said}")
    if json_:
        document(sent)
    else:
        out.print(f"{sent.subject!r} went to {to}; the mail server said: {said}", markup=False)


def show(
    announcement: Id,
    organisation: Org,
    history: Annotated[bool, typer.Option("--history", help="Show what was done with it, when, and by whom.")] = False,
    watch_: Annotated[
        bool, typer.Option("--watch", help="Follow it until nothing is left to send; Ctrl-C ends the watching alone.")
    ] = False,
    json_: Json = False,
) -> None:
    """Show how it stands: selected = accepted + skipped + failed + cancelled + uncertain + pending.

    With --json and --history, the document is the list of what was done with it.
    """
    with opened("announcements", DATABASE | REDIS) as runtime:
        found, counts = _fetch(runtime, organisation, announcement)
        if watch_:
            watch(lambda: _fetch(runtime, organisation, announcement)[1], quiet=json_)
            found, counts = _fetch(runtime, organisation, announcement)
        changes: list[mail.MailingChange] = []
        if history:
            with asked(runtime, organisation) as (connection, org):
                changes = mail.history(connection, org.organisation, found.mailing)
        stopped, why = _stopped(runtime, counts), _why(runtime, organisation, found)
        with asked(runtime, organisation) as (connection, org):
            returned = bounces.came_back(connection, org.organisation, found.mailing)
    if json_:
        more = AnnouncementDetails(**asdict(counts), stopped=stopped, why=why, came_back=returned)
        document(changes if history else more if stopped or why or returned else counts)
        return
    _print_counts(found, counts)
    if returned:
        kinds = ", ".join(f"{n} {_CAME_BACK[bounces.BounceKind(kind)]}" for kind, n in returned.items())
        out.print(f"Of these, {sum(returned.values())} came back: {kinds}.", style="yellow", markup=False)
    for told in (*(one.in_words for one in stopped), *([why] if why else [])):
        out.print(told, style="bold red", markup=False)
    if history:
        table(
            ["when", "what", "from", "to", "by"],
            [[change.at, change.move, change.before, change.after, change.by] for change in changes],
            "Nothing was kept of it.",
        )


@dataclass(frozen=True, slots=True)
class AnnouncementDetails(announcements.Progress):
    """How an announcement stands; besides, where no mail goes if it has mail to send, why it, or all mail, is paused,
    and how many came back after the server had accepted them, by kind. None of these is there if there is nothing to
    say."""

    stopped: list[MailOutage] = field(default_factory=list)
    why: str | None = None
    came_back: dict[str, int] = field(default_factory=dict)


def _stopped(runtime: Runtime, counts: announcements.Progress) -> list[MailOutage]:
    if counts.state != "sending" or not counts.pending:
        return []
    from redis.exceptions import RedisError

    from config.streams import make_redis
    from tasks.mail import current_outages

    try:
        with make_redis(runtime.endpoints.redis_url) as client:
            return current_outages(client, runtime.endpoints.mail_from)
    except RedisError:
        return []


def _why(runtime: Runtime, organisation: str, found: Announcement) -> str | None:
    if found.state == "sending":
        with transaction(runtime.engine) as connection:
            stopped = paused(connection)
        return None if stopped is None else stopped.in_words
    if found.state != "paused":
        return None
    with asked(runtime, organisation) as (connection, org):
        return mail.why_paused(connection, org.organisation, found.mailing)


def _fetch(runtime: Runtime, organisation: str, announcement: str) -> tuple[Announcement, announcements.Progress]:
    with asked(runtime, organisation) as (connection, org):
        found = found_by(connection, org, announcement)
        tally = mail.tally(connection, org.organisation, found.mailing)
    return found, announcements.progress(announcement, found.state, tally)


def _print_counts(found: Announcement, counts: announcements.Progress) -> None:
    out.print(f"{counts.announcement}: {counts.state}", markup=False)
    out.print(f"“{found.subject}”", markup=False)
    times = [("to be sent at", found.send_at), ("launched at", found.launched_at), ("ended at", found.finished_at)]
    for what, moment in times:
        if moment is not None:
            out.print(f"{what} {announcements.local_time(moment, found.time_zone)}", markup=False)
    skipped = ", ".join(f"{n} {reason}" for reason, n in counts.skipped.items()) or "0"
    table(COUNTS, [[skipped if name == "skipped" else getattr(counts, name) for name in COUNTS]], "")


@dataclass(frozen=True, slots=True)
class Listed:
    """An announcement in a list, with its counts, which add up as those of `show` do."""

    announcement: str
    state: str
    subject: str
    send_at: datetime | None
    time_zone: str | None
    selected: int
    accepted: int
    skipped: dict[str, int]
    failed: int
    cancelled: int
    uncertain: int
    pending: int


def list_(
    organisation: Org,
    state: Annotated[State | None, typer.Option(help="Those in this state alone.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many at most; all unless given.")] = None,
    json_: Json = False,
) -> None:
    """List the announcements of an organisation, newest first."""
    with opened("announcements") as runtime, asked(runtime, organisation) as (connection, org):
        those = announcements.listed(connection, org.organisation, state=state, limit=limit)
        stand = mail.tallies(connection, org.organisation, [one.mailing for one in those])
        found = [
            Listed(
                subject=one.subject,
                send_at=one.send_at,
                time_zone=one.time_zone,
                **asdict(announcements.progress(one.announcement, one.state, stand[one.mailing])),
            )
            for one in those
        ]
    if json_:
        document(found)
        return
    columns = ["announcement", "state", "subject", *COUNTS]
    table(
        columns,
        [[sum(a.skipped.values()) if name == "skipped" else getattr(a, name) for name in columns] for a in found],
        "None.",
    )


def recipients_(
    announcement: Id,
    organisation: Org,
    state: Annotated[Delivery | None, typer.Option(help="Those who stand so alone.")] = None,
    reason: Annotated[str | None, typer.Option(help="Those of whom this is the reason alone.")] = None,
    format_: Annotated[
        Format,
        typer.Option("--format", help="csv is safe to open in a spreadsheet; jsonl is one JSON document a line."),
    ] = Format.CSV,
    json_: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
) -> None:
    """Export one row for each recipient: how they stand, why, what their server said, and every attempt."""
    from tasks.announcements import recipients

    with opened("announcements") as runtime, asked(runtime, organisation) as (connection, org):
        found = found_by(connection, org, announcement)
        written = Format.JSONL if json_ else format_
        write_blocks(recipients(connection, org.organisation, found.mailing, written, state=state, reason=reason))
