"""`rollcall courses`: what would come of a change, before anybody makes it."""

from typing import Annotated

import typer

from config.words import counted
from tasks.acts.course_previews import CourseChange, CoursePreview, EnrolmentMethod, EnrolmentTab, preview
from workers.commands.common import Json, Org, document, done, out
from workers.commands.learners import IdFile, ids_named

app = typer.Typer(help="Courses: what would come of new rules, or of a request.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep the name of the only command."""


@app.command("preview")
def preview_(
    course: Annotated[str, typer.Argument(metavar="COURSE", help="The platform's id of the course.")],
    organisation: Org,
    method: Annotated[EnrolmentMethod | None, typer.Option(help="The course's enrolment method from then on.")] = None,
    segment: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="A segment: linked, with --method segments; else whose members are enrolled."),
    ] = None,
    learner: Annotated[list[str] | None, typer.Option(metavar="ID", help="A learner who is enrolled.")] = None,
    file: IdFile = None,
    tab: Annotated[
        EnrolmentTab, typer.Option(help="In which tab the learners are ticked: all enrols the inactive, too.")
    ] = EnrolmentTab.ACTIVE,
    cycle: Annotated[int, typer.Option(min=1, help="1, or that of a refresher.")] = 1,
    notify: Annotated[bool, typer.Option("--notify/--no-notify", help="Whether they are to be told.")] = True,
    json_: Json = False,
) -> None:
    """Say what would come of an enrolment method, or of enrolling learners or a segment. Nothing is changed."""
    ids = ids_named(learner, file)
    named = segment or []
    if len(named) > 1 and method is None:
        raise typer.BadParameter("one --segment at a time is enrolled; --method segments links several")
    change = CourseChange(
        course=course,
        method=method,
        segments=named if method else None,
        learners=ids if learner or file is not None else None,
        tab=tab if learner or file is not None else None,
        segment=None if method or not named else named[0],
        cycle=cycle,
        notify=notify,
    )
    found = done(preview, change, organisation)
    if json_:
        document(found)
    else:
        _print(found)


def _print(found: CoursePreview) -> None:
    if found.selected is not None:
        out.print(f"{counted(found.selected, 'learner')} selected.")
    out.print(f"{found.enrolled} would be enrolled, and {found.silent} silently, being inactive.")
    _each("not eligible", found.not_eligible)
    if found.already:
        out.print(f"{found.already} {'is' if found.already == 1 else 'are'} enrolled already.")
    if found.withdrawn:
        out.print(f"{found.withdrawn} would be withdrawn.")
    out.print(f"{counted(found.notices, 'notice')} would be sent.")
    _each("would not be told", found.not_told)
    starts = found.starts
    out.print(
        f"If all of them start it, {counted(starts.amount, starts.unit)} would be used, for"
        f" {counted(starts.learners, 'learner')}. Enrolling uses none."
    )


def _each(what: str, reasons: dict[str, int]) -> None:
    for reason, n in sorted(reasons.items()):
        out.print(f"{n} {what}: {reason}.", markup=False)
