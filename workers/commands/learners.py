"""`rollcall learners`: learners as an admin or an operator needs to see them, and what is changed by hand."""

from typing import Annotated

import typer

from config.phrases import typed
from config.words import counted
from tasks import imports, mail
from tasks.acts import learners as acts
from workers.commands.common import (
    Json,
    Org,
    Refused,
    acting,
    cell,
    document,
    done,
    out,
    readable,
    say,
    table,
    write_blocks,
)
from workers.commands.imports import import_

app = typer.Typer(help="Learners: status, history, access.", no_args_is_help=True)
app.command("import")(import_)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="The platform's ids of the learners.")]
IdFile = Annotated[
    str | None, typer.Option("--file", metavar="FILE|-", help="Their ids, one a line, or the first column of a CSV.")
]


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
    shown = done(acts.show, acts.OneLearner(id_, course), organisation)
    if json_:
        document(shown)
    else:
        _print(shown)


@app.command()
def export(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The platform's id of the learner.")],
    organisation: Org,
    json_: Annotated[bool, typer.Option("--json", help="It is JSON, with or without this.")] = False,  # noqa: ARG001
) -> None:
    """Write everything that is kept of a learner, from every table, as one JSON document.

    It is for a person who asks what is kept of them. That it was made is written into the audit log.
    """
    with acting("learners") as do:
        write_blocks(do(acts.export, acts.LearnerToggle(id_), organisation).blocks)


def _print(shown: acts.LearnerDetails) -> None:
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
    results = done(acts.subscribe, acts.SubscriptionChange(ids, wanted), organisation)
    said = (f"{result.learner} gets {'' if wanted else 'no '}announcements." for result in results)
    say(results, *said, json_=json_)


def _toggle(ids: list[str], file: str | None, organisation: str, status: acts.Wanted, *, json_: bool) -> None:
    wanted = list(dict.fromkeys(ids_named(ids, file)))
    if not wanted:
        raise typer.BadParameter("name learners, or a --file of them")
    results = done(acts.set_status, acts.LearnersStatus(wanted, status), organisation)
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


def ids_named(ids: list[str] | None, file: str | None) -> list[str]:
    """These ids and those in a file, one a line or the first column of a CSV, as they stand there; - for stdin."""
    if file is None:
        return ids or []
    try:
        with readable(file) as source:
            return [*(ids or []), *imports.first_cells(source)]
    except imports.NotReadable as problem:
        raise Refused(f"{file}: {typed(str(problem))}") from None
