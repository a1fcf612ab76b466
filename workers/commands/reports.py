"""`rollcall reports`: what an organisation can count, and take away."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import FileSizeColumn, Progress, SpinnerColumn, TimeElapsedColumn, TransferSpeedColumn

from tasks.reports import HISTORY, TRAINING, Format, Report, Tab, stream
from tasks.reports import summary as summarised
from workers.commands.common import Json, Org, Refused, asked, document, err, opened, table, write_blocks

app = typer.Typer(
    help="Reports by organisation: analytics of the active, and exports, streamed however large they are.",
    no_args_is_help=True,
)

Which = Annotated[Tab, typer.Option(help="The learners active now, or those who are not.")]
Written = Annotated[
    Format, typer.Option("--format", help="csv is safe to open in a spreadsheet; jsonl is one JSON document a line.")
]
Lines = Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")]


@app.command()
def training(organisation: Org, tab: Which = Tab.ACTIVE, format_: Written = Format.CSV, json_: Lines = False) -> None:
    """Export one row for each enrolment: how it came about, how far it came, and who has access.

    Withdrawn enrolments and earlier cycles are rows too.
    In csv, what a spreadsheet might take for a formula has an apostrophe before it.
    """
    _export(TRAINING, organisation, tab, Format.JSONL if json_ else format_)


@app.command()
def history(organisation: Org, tab: Which = Tab.ARCHIVED, format_: Written = Format.CSV, json_: Lines = False) -> None:
    """Export one row for each change of status: when each learner became active or inactive, and because of what."""
    _export(HISTORY, organisation, tab, Format.JSONL if json_ else format_)


@app.command()
def summary(
    organisation: Org,
    course: Annotated[str | None, typer.Option(metavar="ID", help="One course alone.")] = None,
    json_: Json = False,
) -> None:
    """Count, for each course, the enrolments of learners who are active now.

    Enrolled = started + not started; a withdrawn enrolment is withdrawn and nothing else.
    These are the rows of `training --tab active`, added up: each cycle counts.
    """
    with opened("reports") as runtime, asked(runtime, organisation) as (connection, org):
        courses = summarised(connection, org.organisation, course)
    if course is not None and not courses:
        raise Refused(f"There is no course {course!r} in the organisation {organisation!r}.")
    if json_:
        document(courses)
        return
    table(
        ["course", "title", "enrolled", "started", "completed", "not started", "withdrawn"],
        [[c.course, c.title, c.enrolled, c.started, c.completed, c.not_started, c.withdrawn] for c in courses],
        "There are no courses.",
    )


def _export(report: Report, organisation: str, tab: Tab, format_: Format) -> None:
    with opened("reports") as runtime, asked(runtime, organisation) as (connection, org), _progress() as advance:
        write_blocks(stream(connection, report, org.organisation, tab, format_), advance)


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """What to call with the bytes written: it tells a person who waits, unless they watch the report itself."""
    columns = (SpinnerColumn(), FileSizeColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    watched = sys.stderr.isatty() and not sys.stdout.isatty()
    with Progress(*columns, console=err, transient=True, disable=not watched, redirect_stdout=False) as progress:
        written = progress.add_task("", total=None)
        yield lambda count: progress.advance(written, count)
