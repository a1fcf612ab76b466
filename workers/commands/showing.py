"""`rollcall announcements`, the part that shows: who would get one, what they read, and how it stands."""

from typing import TYPE_CHECKING, Annotated

import typer

from config.services import DATABASE, REDIS
from config.words import counted
from tasks import bounces
from tasks.acts import announcements as acts
from tasks.announcements import Progress, local_time
from tasks.mail import Delivery, MailResult
from tasks.reports import Format
from workers.commands.common import (
    Json,
    Lines,
    Org,
    Refused,
    Written,
    acting,
    document,
    done,
    items,
    only,
    out,
    say,
    say_table,
    table,
    write_blocks,
)
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


def preview_(announcement: Id, organisation: Org, learner: Reader = None, json_: Json = False) -> None:
    """Say who would get it were it launched now, who is left out and why, and what they would read."""
    from tasks.acts import previews

    seen = done(previews.preview, previews.PreviewOf(announcement, learner), organisation)
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
    from tasks.acts import previews

    with acting("announcements", DATABASE | {"smtp"}) as do:
        sent = do(previews.test, previews.TrialOf(announcement, to, learner), organisation)
    said = " ".join(str(part) for part in (sent.code, sent.reply) if part is not None) or "nothing"
    if sent.answer != MailResult.ACCEPTED:
        raise Refused(f"The test to {to} was not accepted ({sent.answer}); the mail server said: {said}")
    say(sent, f"{sent.subject!r} went to {to}; the mail server said: {said}", json_=json_)


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
    wanted = acts.OneAnnouncement(announcement)
    with acting("announcements", DATABASE | REDIS) as do:
        found = do(acts.show, wanted, organisation)
        if watch_:
            watch(lambda: do(acts.show, wanted, organisation), quiet=json_)
            found = do(acts.show, wanted, organisation)
    if json_:
        details = only(acts.AnnouncementDetails, found)
        said = found.stopped or found.why or found.came_back
        document(found.history if history else details if said else only(Progress, found))
        return
    _print_counts(found)
    if found.came_back:
        kinds = ", ".join(f"{n} {_CAME_BACK[bounces.BounceKind(kind)]}" for kind, n in found.came_back.items())
        out.print(f"Of these, {sum(found.came_back.values())} came back: {kinds}.", style="yellow", markup=False)
    for told in (*(one.in_words for one in found.stopped), *([found.why] if found.why else [])):
        out.print(told, style="bold red", markup=False)
    if history:
        table(
            ["when", "what", "from", "to", "by"],
            [[change.at, change.move, change.before, change.after, change.by] for change in found.history],
            "Nothing was kept of it.",
        )


def _print_counts(found: acts.WholeAnnouncement) -> None:
    out.print(f"{found.announcement}: {found.state}", markup=False)
    out.print(f"“{found.subject}”", markup=False)
    times = [("to be sent at", found.send_at), ("launched at", found.launched_at), ("ended at", found.finished_at)]
    for what, moment in times:
        if moment is not None:
            out.print(f"{what} {local_time(moment, found.time_zone)}", markup=False)
    skipped = ", ".join(f"{n} {reason}" for reason, n in found.skipped.items()) or "0"
    table(COUNTS, [[skipped if name == "skipped" else getattr(found, name) for name in COUNTS]], "")
    if not found.recipients_kept:
        out.print("It is no longer kept who got it, and what became of each mail.", style="dim")


def list_(
    organisation: Org,
    state: Annotated[acts.State | None, typer.Option(help="Those in this state alone.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many at most; all unless given.")] = None,
    json_: Json = False,
) -> None:
    """List the announcements of an organisation, newest first."""
    with acting("announcements") as do:
        found = [*items(do, acts.list_, acts.AnnouncementsPage(state), organisation, limit)]
    columns = ["announcement", "state", "subject", *COUNTS]
    lines = [[sum(a.skipped.values()) if name == "skipped" else getattr(a, name) for name in columns] for a in found]
    say_table(found, columns, lines, "None.", json_=json_)


def recipients_(
    announcement: Id,
    organisation: Org,
    state: Annotated[Delivery | None, typer.Option(help="Those who stand so alone.")] = None,
    reason: Annotated[str | None, typer.Option(help="Those of whom this is the reason alone.")] = None,
    format_: Written = Format.CSV,
    json_: Lines = False,
) -> None:
    """Export one row for each recipient: how they stand, why, what their server said, and every attempt."""
    written = Format.JSONL if json_ else format_
    with acting("announcements") as do:
        write_blocks(do(acts.export, acts.RecipientsExport(announcement, state, reason, written), organisation).blocks)
