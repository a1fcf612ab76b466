"""`rollcall reports`: what an organisation can count, and take away."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import FileSizeColumn, Progress, SpinnerColumn, TimeElapsedColumn, TransferSpeedColumn

from tasks.acts import reports as acts
from tasks.acts.acting import Act, Asked
from tasks.acts.paging import Stream
from tasks.reports import Format, Tab
from workers.commands.common import Json, Lines, Org, Written, acting, done, err, say_table, write_blocks

app = typer.Typer(
    help="Reports by organisation: analytics of the active, and exports, streamed however large they are.",
    no_args_is_help=True,
)

Which = Annotated[Tab, typer.Option(help="The learners active now, or those who are not.")]


@app.command()
def training(organisation: Org, tab: Which = Tab.ACTIVE, format_: Written = Format.CSV, json_: Lines = False) -> None:
    """Export one row for each enrolment: how it came about, how far it came, and who has access.

    Withdrawn enrolments and earlier cycles are rows too.
    In csv, what a spreadsheet might take for a formula has an apostrophe before it.
    """
    _export(acts.training, acts.TrainingExport(tab, Format.JSONL if json_ else format_), organisation)


@app.command()
def history(organisation: Org, tab: Which = Tab.ARCHIVED, format_: Written = Format.CSV, json_: Lines = False) -> None:
    """Export one row for each change of status: when each learner became active or inactive, and because of what."""
    _export(acts.history, acts.HistoryExport(tab, Format.JSONL if json_ else format_), organisation)


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
    courses = done(acts.summary, acts.SummaryOf(course), organisation)
    say_table(
        courses,
        ["course", "title", "enrolled", "started", "completed", "not started", "withdrawn"],
        [[c.course, c.title, c.enrolled, c.started, c.completed, c.not_started, c.withdrawn] for c in courses],
        "There are no courses.",
        json_=json_,
    )


def _export(act: Act[Asked, Stream], wanted: Asked, organisation: str) -> None:
    with acting("reports") as do, _progress() as advance:
        write_blocks(do(act, wanted, organisation).blocks, advance)


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """What to call with the bytes written: it tells a person who waits, unless they watch the report itself."""
    columns = (SpinnerColumn(), FileSizeColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    watched = sys.stderr.isatty() and not sys.stdout.isatty()
    with Progress(*columns, console=err, transient=True, disable=not watched, redirect_stdout=False) as progress:
        written = progress.add_task("", total=None)
        yield lambda count: progress.advance(written, count)
