"""`rollcall announcements`: an admin's mailing, from draft to finished."""

from typing import Annotated

import typer
from msgspec import UNSET

from config.words import counted
from tasks.acts import announcements as acts
from tasks.acts import drafts, launching
from tasks.acts.acting import Act
from tasks.announcements import LONGEST_ID
from workers.commands import showing
from workers.commands.common import UNASKED, By, Json, Org, acting, done, err, only, say, say_if_paused
from workers.commands.drafting import (
    Body,
    Everyone,
    Learners,
    LearnersFile,
    Segments,
    SendAt,
    TimeZone,
    audience,
    clock,
    text_of,
)
from workers.commands.launching import approved
from workers.commands.showing import Id

app = typer.Typer(help="An admin's mailing, from draft to finished.", no_args_is_help=True)


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
    policy: Annotated[drafts.Policy, typer.Option(help="What to do where sending is uncertain.")] = drafts.Policy.HOLD,
    by: By = None,
    json_: Json = False,
) -> None:
    """Keep a draft. Nothing is sent before it is launched; `preview` says who would get it."""
    whom = audience(everyone=everyone, segments=segment, learners=learner, learners_file=learners_file)
    if whom is None:
        raise typer.BadParameter("say whom it is for: --everyone, or --segment, or --learner, or --learners-file")
    if announcement is not None and not 0 < len(announcement) <= LONGEST_ID:
        raise typer.BadParameter(f"--id has 1 to {LONGEST_ID} characters")
    draft = drafts.NewDraft(subject, text_of(body), whom, announcement, clock(send_at), time_zone, policy)
    kept = done(drafts.create, draft, organisation, by=by)
    id_ = kept.announcement
    again = f"{id_} -o {organisation}"
    say(
        kept,
        f"Kept as a draft: {id_}. See who gets it with: rollcall announcements preview {again}",
        f"Then send it with: rollcall announcements launch {again}",
        json_=json_,
    )


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
    policy: Annotated[drafts.Policy | None, typer.Option(help="What to do where sending is uncertain.")] = None,
    by: By = None,
    json_: Json = False,
) -> None:
    """Change a draft; what is not named stays. What is scheduled is made a draft again by `unschedule`."""
    if no_send_at and send_at is not None:
        raise typer.BadParameter("--no-send-at and --send-at exclude each other")
    if time_zone is not None and send_at is None:
        raise typer.BadParameter("--time-zone goes with --send-at")
    whom = audience(everyone=everyone, segments=segment, learners=learner, learners_file=learners_file)
    change = drafts.DraftChange(
        announcement,
        subject=UNSET if subject is None else subject,
        body=UNSET if body is None else text_of(body),
        audience=UNSET if whom is None else whom,
        send_at=UNSET if send_at is None and not no_send_at else clock(send_at),
        time_zone=UNSET if send_at is None else time_zone,
        policy=UNSET if policy is None else policy,
    )
    _say(only(acts.AnnouncementState, done(drafts.edit, change, organisation, by=by)), json_=json_)


@app.command()
def delete(announcement: Id, organisation: Org, by: By = None, json_: Json = False) -> None:
    """Delete a draft, as if it had never been. What an event asked for is cancelled instead."""
    gone = done(drafts.delete, drafts.DraftDeletion(announcement), organisation, by=by)
    say(gone, f"{gone.announcement} is deleted.", json_=json_)


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
    with acting("announcements", by=by) as do:
        version = most = None
        if not yes:
            ready = do(launching.ready, launching.ReadinessOf(announcement, now), organisation)
            version, most = ready.version, approved(ready)
        launched = do(launching.launch, launching.Launching(announcement, now, check_, most, version), organisation)
        say_if_paused(do)
    n = launched.will_receive
    _say(
        only(acts.AnnouncementState, launched),
        json_=json_,
        more="" if n is None else f" {counted(n, 'learner gets', 'learners get')} it.",
    )


@app.command()
def unschedule(announcement: Id, organisation: Org, by: By = None, json_: Json = False) -> None:
    """Make what is scheduled, or late, a draft again."""
    _move(launching.unschedule, announcement, organisation, by, json_=json_)


@app.command()
def pause(announcement: Id, organisation: Org, by: By = None, json_: Json = False) -> None:
    """Stop sending within a second; what is under way is finished."""
    _move(launching.pause, announcement, organisation, by, json_=json_)


@app.command()
def resume(announcement: Id, organisation: Org, by: By = None, json_: Json = False) -> None:
    """Go on with what was paused."""
    _move(launching.resume, announcement, organisation, by, json_=json_)


@app.command()
def cancel(announcement: Id, organisation: Org, by: By = None, json_: Json = False) -> None:
    """Send no more of it, for good."""
    _move(launching.cancel, announcement, organisation, by, json_=json_)


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
    with acting("announcements", by=by) as do:
        retried = do(launching.retry, launching.Retry(announcement, uncertain), organisation)
        say_if_paused(do)
    if uncertain:
        err.print("Those who were uncertain may have it already: some of them get it twice.", style="yellow")
    kept = "".join(f", {n} stay as they are: {verdict}" for verdict, n in retried.held_back.items())
    say(retried, f"{announcement} is {retried.state}: {retried.pending} are pending again{kept}.", json_=json_)


def _move(
    act: Act[acts.OneAnnouncement, acts.AnnouncementState],
    announcement: str,
    organisation: str,
    by: str | None,
    *,
    json_: bool,
) -> None:
    """Move an announcement on, and say how it stands then."""
    with acting("announcements", by=by) as do:
        stands = do(act, acts.OneAnnouncement(announcement), organisation)
        if stands.state in {"sending", "scheduled"}:
            say_if_paused(do)
    _say(stands, json_=json_)


def _say(stands: acts.AnnouncementState, *, json_: bool, more: str = "") -> None:
    say(stands, f"{stands.announcement} is {stands.state}.{more}", json_=json_)


app.command()(showing.show)
app.command("list")(showing.list_)
app.command("recipients")(showing.recipients_)
