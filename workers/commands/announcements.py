"""`rollcall announcements`: an admin's mailing, from draft to finished."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from sqlalchemy import Connection

from config.database import lock_organisations
from tasks import announcements, learners, mail, organisations, work
from workers.commands.common import Json, Org, Refused, asked, document, opened, out, table, written

app = typer.Typer(help="An admin's mailing, from draft to finished.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="The announcement's id.")]


@dataclass(frozen=True, slots=True)
class Draft:
    """What was kept."""

    announcement: str
    state: str


@app.command()
def create(
    organisation: Org,
    subject: Annotated[str, typer.Option(help="May contain merge fields, such as {{ first_name }}.")],
    body: Annotated[str, typer.Option(help="Markdown with merge fields; @FILE reads it from a file, - from stdin.")],
    announcement: Annotated[str | None, typer.Option("--id", help="Your own id; one is made up otherwise.")] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="For every learner.")] = False,
    segment: Annotated[list[str] | None, typer.Option(help="For a segment's members; may be repeated.")] = None,
    learner: Annotated[list[str] | None, typer.Option(help="For this learner; may be repeated.")] = None,
    send_at: Annotated[str | None, typer.Option(help="When to send it, as 2026-12-01T09:00.")] = None,
    time_zone: Annotated[str, typer.Option(help="The IANA time zone of --send-at.")] = "UTC",
    policy: Annotated[str, typer.Option(help="What to do where sending is uncertain: hold or resend.")] = "hold",
    json_: Json = False,
) -> None:
    """Keep a draft. Nothing is sent before it is launched."""
    audience = _audience(everyone=everyone, segments=segment or [], learners_=learner or [])
    if policy not in {"hold", "resend"}:
        raise typer.BadParameter("--policy is hold or resend")
    text = written(body)
    moment = _moment(send_at, time_zone)
    id_ = announcement or str(uuid.uuid4())
    with opened("announcements") as runtime, asked(runtime, organisation) as (connection, org):
        _check(connection, org, subject, text, segment or [])
        created = announcements.create(
            connection,
            org.organisation,
            announcement=id_,
            subject=subject,
            body=text,
            audience=audience,
            policy=policy,
            send_at=moment,
            time_zone=time_zone,
        )
    if created is None:
        raise Refused(f"There is an announcement {id_!r} already.")
    if json_:
        document(Draft(id_, "draft"))
    else:
        out.print(f"Kept as a draft: {id_}. Send it with: rollcall announcements launch {id_} -o {organisation}")


def _audience(*, everyone: bool, segments: list[str], learners_: list[str]) -> dict[str, object]:
    if sum((everyone, bool(segments), bool(learners_))) != 1:
        raise typer.BadParameter("say whom it is for: --everyone, or --segment, or --learner")
    if everyone:
        return {"everyone": True}
    return {"segments": segments} if segments else {"learners": learners_}


def _moment(send_at: str | None, time_zone: str) -> datetime | None:
    if send_at is None:
        return None
    try:
        moment = datetime.fromisoformat(send_at)
        zone = ZoneInfo(time_zone)
    except ValueError:
        raise typer.BadParameter(f"{send_at!r} is not a time like 2026-12-01T09:00") from None
    except (ZoneInfoNotFoundError, OSError):
        raise typer.BadParameter(f"there is no time zone {time_zone!r}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _check(
    connection: Connection, org: organisations.Organisation, subject: str, body: str, segments: list[str]
) -> None:
    try:
        mail.check_template(subject, body, org.name)
    except mail.MergeError as problem:
        raise Refused(str(problem)) from None
    for segment in segments:
        if learners.saved_segment(connection, org.organisation, segment) is None:
            raise Refused(f"There is no segment {segment!r} in the organisation {org.id!r}.")


@app.command()
def launch(announcement: Id, organisation: Org, json_: Json = False) -> None:
    """Send it now, or at its time. Launched twice, it launches once."""
    with opened("announcements") as runtime, asked(runtime, organisation) as (connection, org):
        lock_organisations(connection, [org.organisation])
        found = _found(connection, org, announcement)
        if found.state == "draft" and found.send_at is not None and found.send_at > datetime.now(UTC):
            announcements.move(connection, org.organisation, found, "schedule")
            work.add(
                connection,
                org.organisation,
                "tasks",
                "announcements.launch",
                found.mailing,
                scheduled_for=found.send_at,
            )
        else:
            current = organisations.numbered(connection, org.organisation)
            announcements.launch(connection, runtime.settings, current, found)
        state = _found(connection, org, announcement).state
    _say(Draft(announcement, state), json_=json_)


@app.command()
def pause(announcement: Id, organisation: Org, json_: Json = False) -> None:
    """Stop sending within a second; what is under way is finished."""
    _move(announcement, organisation, "pause", json_=json_)


@app.command()
def resume(announcement: Id, organisation: Org, json_: Json = False) -> None:
    """Go on with what was paused."""
    _move(announcement, organisation, "resume", json_=json_)


@app.command()
def cancel(announcement: Id, organisation: Org, json_: Json = False) -> None:
    """Send no more of it, for good."""
    _move(announcement, organisation, "cancel", json_=json_)


def _move(announcement: str, organisation: str, by: str, *, json_: bool) -> None:
    with opened("announcements") as runtime, asked(runtime, organisation) as (connection, org):
        found = _found(connection, org, announcement)
        state = announcements.move(connection, org.organisation, found, by)
        if by == "pause":
            announcements.hold_work(connection, org.organisation, found.mailing)
        else:  # a cancelled mailing's deliveries are cancelled by the gate, piece by piece
            announcements.resume_work(connection, org.organisation, found.mailing)
    _say(Draft(announcement, state), json_=json_)


def _say(draft: Draft, *, json_: bool) -> None:
    if json_:
        document(draft)
    else:
        out.print(f"{draft.announcement} is {draft.state}.", markup=False)


def _found(connection: Connection, org: organisations.Organisation, announcement: str) -> announcements.Announcement:
    found = announcements.find(connection, org.organisation, announcement)
    if found is None:
        raise Refused(f"There is no announcement {announcement!r} in the organisation {org.id!r}.")
    return found


@app.command()
def show(announcement: Id, organisation: Org, json_: Json = False) -> None:
    """Show how it stands: selected = accepted + skipped + failed + cancelled + uncertain + pending."""
    with opened("announcements") as runtime, asked(runtime, organisation) as (connection, org):
        found = _found(connection, org, announcement)
        counts = announcements.progress(
            announcement, found.state, mail.tally(connection, org.organisation, found.mailing)
        )
    if json_:
        document(counts)
        return
    out.print(f"{counts.announcement}: {counts.state}", markup=False)
    skipped = ", ".join(f"{n} {reason}" for reason, n in counts.skipped.items()) or "0"
    table(
        ["selected", "accepted", "skipped", "failed", "cancelled", "uncertain", "pending"],
        [
            [
                counts.selected,
                counts.accepted,
                skipped,
                counts.failed,
                counts.cancelled,
                counts.uncertain,
                counts.pending,
            ]
        ],
        "",
    )


@app.command("list")
def list_(organisation: Org, json_: Json = False) -> None:
    """List the announcements of an organisation, newest first."""
    with opened("announcements") as runtime, asked(runtime, organisation) as (connection, org):
        found = announcements.listed(connection, org.organisation)
    if json_:
        document([Draft(one.announcement, one.state) for one in found])
        return
    table(["announcement", "state", "subject"], [[a.announcement, a.state, a.subject] for a in found], "None yet.")
