"""`rollcall learners`: one learner, as an admin or an operator needs to see them."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import typer

from config.runtime import Runtime
from tasks import enrolments, learners, seats
from tasks.intake import take
from tasks.mail.store import Received, received_by
from workers.commands.common import Json, Org, Refused, asked, document, opened, out, table

app = typer.Typer(help="Learners: status, history, access.", no_args_is_help=True)

Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="The platform's ids of the learners.")]


@dataclass(frozen=True, slots=True)
class Shown:
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
    enrolments: list[enrolments.Enrolment]
    seats: list[seats.Entry]
    mail: list[Received]


@dataclass(frozen=True, slots=True)
class Toggled:
    """What became of a change of status made by hand."""

    learner: str
    status: str
    changed: bool


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The platform's id of the learner.")],
    organisation: Org,
    json_: Json = False,
) -> None:
    """Show a learner: status and history, enrolments and what stands between them and access, seats, mail."""
    with opened("learners") as runtime, asked(runtime, organisation) as (connection, org):
        profile = learners.profile(connection, org.organisation, id_)
        if profile is None:
            raise Refused(f"There is no learner {id_!r} in the organisation {organisation!r}.")
        shown = Shown(
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
            seats=seats.entries_of(connection, org.organisation, profile.learner),
            mail=received_by(connection, org.organisation, profile.learner),
        )
    if json_:
        document(shown)
    else:
        _print(shown)


def _print(shown: Shown) -> None:
    name = f"{shown.first_name or ''} {shown.last_name or ''}".strip() or shown.username or shown.learner
    out.print(f"[bold]{shown.learner}[/] ", end="")
    out.print(f"{name}, {shown.status}, {shown.email or 'signs in by username ' + str(shown.username)}", markup=False)
    if shown.segments:
        out.print("in " + ", ".join(shown.segments), markup=False)
    out.print("\n[bold]Status[/]")
    table(["since", "status", "because of"], [[h.occurred_at, h.status, h.cause] for h in shown.history], "active")
    out.print("\n[bold]Enrolments[/]")
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
    out.print("\n[bold]Seats and credits[/]")
    table(
        ["when", "course", "amount", "unit"], [[s.occurred_at, s.course, s.amount, s.unit] for s in shown.seats], "none"
    )
    out.print("\n[bold]Mail[/]")
    table(
        ["kind", "mailing", "state", "reason", "when"],
        [[m.kind, m.mailing, m.state, m.reason, m.at] for m in shown.mail],
        "none",
    )


@app.command()
def activate(ids: Ids, organisation: Org, json_: Json = False) -> None:
    """Make learners active: full access at once to all they are enrolled in."""
    _toggle(ids, organisation, "active", json_=json_)


@app.command()
def deactivate(ids: Ids, organisation: Org, json_: Json = False) -> None:
    """Make learners inactive: no access, no mail; nothing is given back, nothing is lost."""
    _toggle(ids, organisation, "inactive", json_=json_)


def _toggle(ids: list[str], organisation: str, status: str, *, json_: bool) -> None:
    with opened("learners") as runtime:
        before = _standings(runtime, organisation, ids)
        take(
            runtime.engine,
            runtime.settings,
            [_status_event(organisation, id_, status, _moment(runtime, organisation, id_)) for id_ in before],
        )
        after = _standings(runtime, organisation, ids)
    ahead = [id_ for id_, now in after.items() if now != status]
    if ahead:
        raise Refused(f"A change dated in the future keeps {', '.join(map(repr, ahead))} from being {status}.")
    results = [Toggled(id_, after[id_], before[id_] != after[id_]) for id_ in before]
    if json_:
        document(results)
        return
    for result in results:
        out.print(
            f"{result.learner} is {result.status}{'' if result.changed else ' already: nothing to do'}.", markup=False
        )


def _moment(runtime: Runtime, organisation: str, id_: str) -> datetime:
    """Now, or just after the newest change known: what a person does holds, though a clock elsewhere is ahead (S1)."""
    with asked(runtime, organisation) as (connection, org):
        profile = learners.profile(connection, org.organisation, id_)
        history = [] if profile is None else learners.history(connection, org.organisation, profile.learner)
    known = [entry.occurred_at + timedelta(microseconds=1) for entry in history]
    return max([datetime.now(UTC), *known])


def _standings(runtime: Runtime, organisation: str, ids: list[str]) -> dict[str, str]:
    """How each of these stands, or a refusal that names those who are not known."""
    with asked(runtime, organisation) as (connection, org):
        found = learners.find(connection, org.organisation, list(dict.fromkeys(ids)))
    standings = {
        id_: found[id_].standing.value
        for id_ in dict.fromkeys(ids)
        if id_ in found and found[id_].standing in {learners.Standing.ACTIVE, learners.Standing.INACTIVE}
    }
    unknown = [id_ for id_ in ids if id_ not in standings]
    if unknown:
        raise Refused(f"Nothing was changed: {organisation!r} has no learner {', '.join(map(repr, unknown))}.")
    return standings


def _status_event(organisation: str, learner: str, status: str, now: datetime) -> bytes:
    """A change by hand is an event like any other, without a version (S1)."""
    return msgspec.json.encode(
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
