"""`rollcall learners`: learners as an admin or an operator needs to see them, and what is changed by hand."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from config.runtime import Runtime
from config.words import as_json, counted
from tasks import enrolments, imports, learners, mail, seats
from workers.commands.common import Json, Org, Refused, asked, cell, document, opened, out, readable, table
from workers.commands.imports import import_

app = typer.Typer(help="Learners: status, history, access.", no_args_is_help=True)
app.command("import")(import_)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="The platform's ids of the learners.")]
IdFile = Annotated[
    str | None, typer.Option("--file", metavar="FILE|-", help="Their ids, one a line, or the first column of a CSV.")
]

#: Learners whose status is changed in one transaction.
SLICE = 5000

#: Learners named in an error, at most.
FEW = 5


@dataclass(frozen=True, slots=True)
class LearnerDetails:
    """A learner, whole."""

    learner: str
    organisation: str
    status: str
    username: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    locale: str | None
    time_zone: str | None
    segments: list[str]
    history: list[learners.HistoryEntry]
    explained: enrolments.Explained | None
    enrolments: list[enrolments.Enrolment]
    seats: list[seats.Entry]
    mail: list[mail.ReceivedMail]
    unsubscribed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Toggled:
    """What became of a change of status made by hand."""

    learner: str
    status: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Whether a learner gets announcements."""

    learner: str
    subscribed: bool


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The platform's id of the learner.")],
    organisation: Org,
    course: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Say of this course why the learner has access, or what is missing."),
    ] = None,
    json_: Json = False,
) -> None:
    """Show a learner: status and history, enrolments and what stands between them and access, seats, mail."""
    with opened("learners") as runtime, asked(runtime, organisation) as (connection, org):
        profile = learners.profile(connection, org.organisation, id_)
        if profile is None:
            raise Refused(f"There is no learner {id_!r} in the organisation {organisation!r}.")
        subscribed = mail.subscription(connection, org.organisation, profile.learner)
        explained = None
        if course is not None:
            explained = enrolments.explain(connection, org.organisation, profile.learner, course)
            if explained is None:
                raise Refused(f"There is no course {course!r} in the organisation {organisation!r}.")
        shown = LearnerDetails(
            learner=profile.id,
            organisation=org.id,
            status=profile.standing,
            username=profile.username,
            email=profile.email,
            first_name=profile.first_name,
            last_name=profile.last_name,
            locale=profile.locale,
            time_zone=profile.time_zone,
            segments=learners.segments_of(connection, org.organisation, profile.learner),
            history=learners.history(connection, org.organisation, profile.learner),
            enrolments=enrolments.enrolments_of(connection, org.organisation, profile.learner),
            seats=seats.ledger(connection, org.organisation, seats.LedgerFilter(profile.id)),
            mail=mail.received_by(connection, org.organisation, profile.learner),
            unsubscribed_at=subscribed.unsubscribed_at if subscribed else None,
            explained=explained,
        )
    if json_:
        document(shown)
    else:
        _print(shown)


def _print(shown: LearnerDetails) -> None:
    name = f"{shown.first_name or ''} {shown.last_name or ''}".strip() or shown.username or shown.learner
    out.print(f"{shown.learner} ", style="bold", markup=False, end="")
    by = f"signs in by username {shown.username}" if shown.username else "has neither e-mail address nor username"
    out.print(f"{name}, {shown.status}, {shown.email or by}", markup=False)
    if shown.segments:
        out.print("in " + ", ".join(shown.segments), markup=False)
    if shown.unsubscribed_at:
        out.print(f"no announcements: unsubscribed since {cell(shown.unsubscribed_at)}", markup=False)
    if shown.explained:
        why = "yes" if shown.explained.access else f"no: it is missing {', '.join(shown.explained.missing)}"
        out.print(f"access to {shown.explained.course}: {why}", markup=False)
    out.print()
    out.print("[bold]Status[/]")
    table(["since", "status", "because of"], [[h.occurred_at, h.status, h.cause] for h in shown.history], "active")
    out.print()
    out.print("[bold]Enrolments[/]")
    table(
        ["course", "cycle", "because of", "enrolled", "silent", "started", "completed", "access"],
        [
            [
                e.course,
                e.cycle,
                e.sources,
                e.enrolled_at,
                e.silent,
                e.started_at,
                e.completed_at,
                "yes" if e.access else f"no: it is missing {', '.join(e.missing)}",
            ]
            for e in shown.enrolments
        ],
        "none",
    )
    out.print()
    out.print("[bold]Seats and credits[/]")
    table(
        ["when", "course", "amount", "unit"], [[s.occurred_at, s.course, s.amount, s.unit] for s in shown.seats], "none"
    )
    out.print()
    out.print("[bold]Mail[/]")
    table(
        ["kind", "mailing", "state", "reason", "when", "came back"],
        [[m.kind, m.mailing, m.state, m.reason, m.at, _came_back(m)] for m in shown.mail],
        "none",
    )


def _came_back(one: mail.ReceivedMail) -> str | None:
    return one.bounced and f"{one.bounced} {one.bounce_status or ''}".strip()


@app.command()
def activate(organisation: Org, ids: Ids = None, file: IdFile = None, json_: Json = False) -> None:
    """Make learners active: full access at once to all they are enrolled in."""
    _toggle(ids or [], file, organisation, "active", json_=json_)


@app.command()
def deactivate(organisation: Org, ids: Ids = None, file: IdFile = None, json_: Json = False) -> None:
    """Make learners inactive: no access, no mail; nothing is given back, nothing is lost."""
    _toggle(ids or [], file, organisation, "inactive", json_=json_)


@app.command()
def unsubscribe(
    organisation: Org, ids: Annotated[list[str], typer.Argument(metavar="ID…")], json_: Json = False
) -> None:
    """Send learners no announcements any more, as the link in each does; notices still come."""
    _subscribe(ids, organisation, wanted=False, json_=json_)


@app.command()
def resubscribe(
    organisation: Org, ids: Annotated[list[str], typer.Argument(metavar="ID…")], json_: Json = False
) -> None:
    """Send learners announcements again who had unsubscribed: at their own wish alone."""
    _subscribe(ids, organisation, wanted=True, json_=json_)


def _subscribe(ids: list[str], organisation: str, *, wanted: bool, json_: bool) -> None:
    with opened("learners") as runtime:
        found = _found(runtime, organisation, ids)
        numbers = [learner.learner for learner in found.values()]
        with asked(runtime, organisation) as (connection, org):
            change = mail.resubscribe if wanted else mail.unsubscribe
            change(connection, org.organisation, numbers)
    results = [Subscribed(id_, wanted) for id_ in dict.fromkeys(ids)]
    if json_:
        document(results)
    for result in results if not json_ else []:
        out.print(f"{result.learner} gets {'' if wanted else 'no '}announcements.", markup=False)


def _toggle(ids: list[str], file: str | None, organisation: str, status: str, *, json_: bool) -> None:
    wanted = list(dict.fromkeys([*ids, *(ids_in(file) if file is not None else [])]))
    if not wanted:
        raise typer.BadParameter("name learners, or a --file of them")
    from tasks.intake import process_batch

    with opened("learners") as runtime:
        before = _found(runtime, organisation, wanted)
        now = datetime.now(UTC)
        for low in range(0, len(wanted), SLICE):
            moments = _moments(runtime, organisation, [before[id_] for id_ in wanted[low : low + SLICE]], now)
            events = [_status_event(organisation, id_, status, moment) for id_, moment in moments.items()]
            process_batch(runtime.engine, runtime.settings, events, at_once=True)
        after = _found(runtime, organisation, wanted)
    ahead = [id_ for id_ in wanted if after[id_].standing != status]
    if ahead:
        raise Refused(f"A change dated in the future keeps {some_of(ahead)} from being {status}.")
    results = [Toggled(id_, status, before[id_].standing != status) for id_ in wanted]
    if json_:
        document(results)
    elif file is None:
        for result in results:
            already = "" if result.changed else " already: nothing to do"
            out.print(f"{result.learner} is {result.status}{already}.", markup=False)
    else:
        changed = sum(result.changed for result in results)
        out.print(
            f"{counted(len(results), 'learner is', 'learners are')} {status}: {changed} by this,"
            f" {len(results) - changed} already {'was' if len(results) - changed == 1 else 'were'}."
        )


def ids_in(file: str) -> list[str]:
    """The ids in a file, one a line or the first column of a CSV, as they stand there; - for stdin."""
    try:
        with readable(file) as source:
            return list(imports.first_cells(source))
    except imports.NotReadable as problem:
        raise Refused(f"{file}: {problem}") from None


def _moments(runtime: Runtime, organisation: str, slice_: list[learners.Learner], now: datetime) -> dict[str, datetime]:
    """Now, or just after the newest change known: what a person does holds, though a clock elsewhere is ahead (S1)."""
    with asked(runtime, organisation) as (connection, org):
        newest = learners.newest_changes(connection, org.organisation, [learner.learner for learner in slice_])
    just_after = {learner: moment + timedelta(microseconds=1) for learner, moment in newest.items()}
    return {learner.id: max(now, just_after.get(learner.learner, now)) for learner in slice_}


def _found(runtime: Runtime, organisation: str, ids: list[str]) -> dict[str, learners.Learner]:
    """These learners as they are, or a refusal that names those who are not known."""
    with asked(runtime, organisation) as (connection, org):
        found = learners.find(connection, org.organisation, ids)
    known = {learners.Standing.ACTIVE, learners.Standing.INACTIVE}
    unknown = [id_ for id_ in ids if id_ not in found or found[id_].standing not in known]
    if unknown:
        raise Refused(f"Nothing was changed: {organisation!r} has no learner {some_of(unknown)}.")
    return found


def some_of(ids: list[str]) -> str:
    """A few of these ids, and how many there are besides."""
    more = f" and {len(ids) - FEW} more" if len(ids) > FEW else ""
    return ", ".join(map(repr, ids[:FEW])) + more


def _status_event(organisation: str, learner: str, status: str, now: datetime) -> bytes:
    """A change by hand is an event like any other, without a version (S1)."""
    return as_json(
        {
            "specversion": "1.0",
            "id": f"by-hand-{uuid.uuid4()}",
            "source": "rollcall:cli",
            "type": "platform.learner.status_changed",
            "time": now,
            "organisation": organisation,
            "data": {"learner": learner, "status": status},
        }
    )
