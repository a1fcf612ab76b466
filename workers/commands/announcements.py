"""`rollcall announcements`: an admin's mailing, from draft to finished."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer
from sqlalchemy import Connection

from config.database import lock_organisations
from config.words import counted
from tasks import announcements, mail, organisations
from workers.commands import showing
from workers.commands.common import (
    UNASKED,
    By,
    Json,
    Org,
    Refused,
    asked,
    document,
    err,
    opened,
    out,
    say_if_paused,
    who,
)
from workers.commands.drafting import (
    Body,
    Everyone,
    Learners,
    LearnersFile,
    Policy,
    Segments,
    SendAt,
    TimeZone,
    audience,
    check,
    moment,
    text_of,
)
from workers.commands.launching import approve, check_server, readiness
from workers.commands.showing import Id, found_by

app = typer.Typer(help="An admin's mailing, from draft to finished.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class AnnouncementState:
    """How an announcement stands now."""

    announcement: str
    state: str


@app.command()
def create(
    organisation: Org,
    subject: Annotated[str, typer.Option(help="May contain merge fields, such as {{ first_name }}.")],
    body: Body,
    announcement: Annotated[str | None, typer.Option("--id", help="Your own id; one is made up otherwise.")] = None,
    everyone: Everyone = False,
    segment: Segments = None,
    learner: Learners = None,
    learners_file: LearnersFile = None,
    send_at: SendAt = None,
    time_zone: TimeZone = None,
    policy: Annotated[Policy, typer.Option(help="What to do where sending is uncertain.")] = Policy.HOLD,
    by: By = None,
    json_: Json = False,
) -> None:
    """Keep a draft. Nothing is sent before it is launched; `preview` says who would get it."""
    whom = audience(everyone=everyone, segments=segment, learners=learner, learners_file=learners_file)
    if whom is None:
        raise typer.BadParameter("say whom it is for: --everyone, or --segment, or --learner, or --learners-file")
    id_ = announcement if announcement is not None else str(uuid.uuid4())
    if not 0 < len(id_) <= announcements.LONGEST_ID:
        raise typer.BadParameter(f"--id has 1 to {announcements.LONGEST_ID} characters")
    draft = mail.Draft(
        id_, subject, text_of(body), whom, policy.value, moment(send_at, time_zone), time_zone if send_at else None
    )
    with opened("announcements") as runtime, asked(runtime, organisation) as (connection, org):
        check(connection, org, draft)
        if mail.create_draft(connection, org.organisation, draft, by=who(by)) is None:
            raise Refused(f"There is an announcement {id_!r} already.")
    if json_:
        document(AnnouncementState(id_, "draft"))
    else:
        again = f"{id_} -o {organisation}"
        out.print(f"Kept as a draft: {id_}. See who gets it with: rollcall announcements preview {again}", markup=False)
        out.print(f"Then send it with: rollcall announcements launch {again}", markup=False)


@app.command()
def edit(
    announcement: Id,
    organisation: Org,
    subject: Annotated[str | None, typer.Option(help="Another subject.")] = None,
    body: Annotated[str | None, typer.Option(help="Another body, as in create.")] = None,
    everyone: Everyone = False,
    segment: Segments = None,
    learner: Learners = None,
    learners_file: LearnersFile = None,
    send_at: SendAt = None,
    time_zone: TimeZone = None,
    no_send_at: Annotated[bool, typer.Option("--no-send-at", help="Send it when it is launched.")] = False,
    policy: Annotated[Policy | None, typer.Option(help="What to do where sending is uncertain.")] = None,
    by: By = None,
    json_: Json = False,
) -> None:
    """Change a draft; what is not named stays. What is scheduled is made a draft again by `unschedule`."""
    if no_send_at and send_at is not None:
        raise typer.BadParameter("--no-send-at and --send-at exclude each other")
    if time_zone is not None and send_at is None:
        raise typer.BadParameter("--time-zone goes with --send-at")
    whom = audience(everyone=everyone, segments=segment, learners=learner, learners_file=learners_file)
    text = None if body is None else text_of(body)
    at = moment(send_at, time_zone)

    def change(connection: Connection, org: organisations.Organisation, found: announcements.Announcement) -> None:
        announcements.move(connection, org.organisation, found, "edit", by=who(by))
        keeps_time = at is None and not no_send_at
        draft = mail.Draft(
            found.announcement,
            found.subject if subject is None else subject,
            found.body if text is None else text,
            found.audience if whom is None else whom,
            found.policy if policy is None else policy.value,
            found.send_at if keeps_time else at,
            found.time_zone if keeps_time else time_zone,
        )
        check(connection, org, draft)
        mail.rewrite_draft(connection, org.organisation, found.mailing, draft)

    _with(announcement, organisation, change, json_=json_)


app.command("preview")(showing.preview_)
app.command("test")(showing.try_out)


@app.command()
def launch(
    announcement: Id,
    organisation: Org,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for its time, nor mind that it has passed.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=f"Do not ask before more than {UNASKED} learners receive it.")
    ] = False,
    check_: Annotated[
        bool, typer.Option("--check/--no-check", help="Whether to look first if the mail server takes our mail.")
    ] = True,
    by: By = None,
    json_: Json = False,
) -> None:
    """Send it now, or at its time. Launched twice, it launches once.

    Asks where many would receive it. Before the first mail of an organisation it looks whether the mail server takes
    our mail, as `mail check` does.
    """
    with opened("announcements") as runtime:
        with asked(runtime, organisation) as (connection, org):
            ready = readiness(connection, runtime, org, found_by(connection, org, announcement), now=now)
        if ready is not None:
            if not yes:
                approve(ready)
            if check_:
                check_server(runtime, ready)
        with asked(runtime, organisation) as (connection, org):
            lock_organisations(connection, [org.organisation])
            found = found_by(connection, org, announcement)
            if found.state == "draft" and found.send_at is not None and not now and not found.passed:
                announcements.schedule(connection, org, found, by=who(by))
            else:
                current = organisations.numbered(connection, org.organisation)
                announcements.launch(connection, runtime.settings, current, found, by=who(by))
            state = found_by(connection, org, announcement).state
        say_if_paused(runtime)
    _say(
        AnnouncementState(announcement, state),
        json_=json_,
        more="" if ready is None else f" {counted(ready.will_receive, 'learner gets', 'learners get')} it.",
    )


@app.command()
def unschedule(announcement: Id, organisation: Org, by: By = None, json_: Json = False) -> None:
    """Make what is scheduled, or late, a draft again."""
    _with(
        announcement,
        organisation,
        lambda connection, org, found: announcements.move(
            connection, org.organisation, found, "unschedule", by=who(by)
        ),
        json_=json_,
    )


@app.command()
def pause(announcement: Id, organisation: Org, by: By = None, json_: Json = False) -> None:
    """Stop sending within a second; what is under way is finished."""
    _with(
        announcement,
        organisation,
        lambda connection, org, found: announcements.pause(connection, org.organisation, found, by=who(by)),
        json_=json_,
    )


@app.command()
def resume(announcement: Id, organisation: Org, by: By = None, json_: Json = False) -> None:
    """Go on with what was paused."""
    _with(
        announcement,
        organisation,
        lambda connection, org, found: announcements.resume(connection, org.organisation, found, by=who(by)),
        json_=json_,
    )


@app.command()
def cancel(announcement: Id, organisation: Org, by: By = None, json_: Json = False) -> None:
    """Send no more of it, for good."""
    _with(
        announcement,
        organisation,
        lambda connection, org, found: announcements.cancel(connection, org.organisation, found, by=who(by)),
        json_=json_,
    )


@app.command("retry-failed")
def retry_failed(
    announcement: Id,
    organisation: Org,
    uncertain: Annotated[
        bool,
        typer.Option("--uncertain", help="Also those of whom it is uncertain whether they got it: some get it twice."),
    ] = False,
    by: By = None,
    json_: Json = False,
) -> None:
    """Send a finished announcement again to those alone who failed.

    Whom the gate would hold back now, as after a refusal for good, stays failed.
    """
    with opened("announcements") as runtime:
        with asked(runtime, organisation) as (connection, org):
            found = found_by(connection, org, announcement)
            retried = announcements.retry(connection, runtime.settings, org, found, uncertain=uncertain, by=who(by))
        say_if_paused(runtime)
    if uncertain:
        err.print("Those who were uncertain may have it already: some of them get it twice.", style="yellow")
    if json_:
        document(retried)
        return
    kept = "".join(f", {n} stay as they are: {verdict}" for verdict, n in retried.held_back.items())
    out.print(f"{announcement} is {retried.state}: {retried.pending} are pending again{kept}.", markup=False)


def _with(
    announcement: str,
    organisation: str,
    do: Callable[[Connection, organisations.Organisation, announcements.Announcement], object],
    *,
    json_: bool,
) -> None:
    """Do something with an announcement, and say how it stands then."""
    with opened("announcements") as runtime:
        with asked(runtime, organisation) as (connection, org):
            do(connection, org, found_by(connection, org, announcement))
            state = found_by(connection, org, announcement).state
        if state in {"sending", "scheduled"}:
            say_if_paused(runtime)
    _say(AnnouncementState(announcement, state), json_=json_)


def _say(stands: AnnouncementState, *, json_: bool, more: str = "") -> None:
    if json_:
        document(stands)
    else:
        out.print(f"{stands.announcement} is {stands.state}.{more}", markup=False)


app.command()(showing.show)
app.command("list")(showing.list_)
app.command("recipients")(showing.recipients_)
