"""`rollcall learners import`: learners from a previous LMS."""

import os
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import OperationalError

from config.database import is_connection_problem
from config.errors import Invalid
from config.phrases import typed
from config.words import counted
from tasks import imports
from workers.commands.common import (
    Json,
    Org,
    Refused,
    acting,
    at_a_terminal,
    document,
    done,
    is_remote,
    out,
    progress_bar,
    readable,
)

if TYPE_CHECKING:
    from tasks.acts import imports as acts

#: Seconds between two looks at how far a worker is.
LOOK_SECONDS = 0.3


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE.csv|-", help="What the other system exported; - for stdin.")],
    organisation: Org,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do all of it, say what would change, and undo it.")
    ] = False,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="The column that holds a field, or says who is inactive: status (in words), active (yes is active),"
            " inactive (yes is inactive) or ended (a date); may be repeated.",
        ),
    ] = None,
    map_status: Annotated[
        list[str] | None,
        typer.Option("--map-status", metavar="STATUS=active|inactive", help="What a status means; may be repeated."),
    ] = None,
    status: Annotated[
        imports.StatusOfAll | None,
        typer.Option(
            help="The status of all of whom the file says none; keep leaves it as it is, newcomers are active."
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column that is not to be used; may be repeated.")
    ] = None,
    keep_empty: Annotated[
        bool, typer.Option("--keep-empty", help="An empty cell leaves what is known alone; it empties it otherwise.")
    ] = False,
    encoding: Annotated[str | None, typer.Option(help="Such as cp1252; found out otherwise.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="One character, or tab; found out otherwise.")] = None,
    notices: Annotated[
        bool, typer.Option("--notices/--no-notices", help="Whether newcomers are told what the rules enrol them in.")
    ] = True,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=f"Do not ask before more than {imports.UNASKED} notices are sent.")
    ] = False,
    refused: Annotated[
        Path | None, typer.Option(help="Where refused lines are listed; FILE.refused.csv unless named.")
    ] = None,
    json_: Json = False,
) -> None:
    """Import learners from a previous LMS; exit 1 where a line is refused, all others are taken.

    Suspended and Long Term Leave become inactive. The same file again changes nothing.
    """
    from tasks.acts import imports as acts

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with readable(file) as source, progress_bar(*columns, quiet=json_) as progress:
        wanted = acts.ImportRun(
            file=source,
            dry_run=dry_run,
            map=map_ or [],
            map_status=map_status or [],
            status=status,
            ignore=ignore or [],
            keep_empty=keep_empty,
            encoding=encoding,
            delimiter=delimiter,
            notices=notices,
            yes=yes,
        )
        listed = refused or Path(file if Path(file).is_file() else "stdin").with_suffix(".refused.csv")
        if file != "-" and listed.exists() and listed.samefile(file):
            raise typer.BadParameter(f"--refused {listed} is the file itself")
        reading, slices = progress.add_task("reading", total=_size(source)), progress.add_task("taking", total=None)
        here = acts.here(
            listed,
            approve=lambda result: None if yes else _approve(result, progress, ask=file != "-"),
            on_batch=lambda: progress.update(reading, completed=source.tell()),
            on_slice=lambda done, of: progress.update(slices, completed=done, total=of),
        )
        try:
            acts.check(wanted)
            result = _far_away(wanted, organisation, listed) if is_remote() else done(here, wanted, organisation)
        except Invalid as problem:
            raise typer.BadParameter(typed(str(problem))) from None
        except imports.NotReadable as problem:
            raise Refused(f"Nothing was imported from {file}. {typed(str(problem))}") from None
        except OSError as problem:
            raise Refused(f"Nothing was imported: {problem.filename or file}: {problem.strerror}.") from None
        except OperationalError as problem:
            if not is_connection_problem(problem):
                raise
            raise Refused(f"The database was lost on the way: import {file} again, it goes on where it was.") from None
    if json_:
        document(result)
    else:
        _say(result)
    if result.refused:
        n = sum(result.refused.values())
        raise Refused(f"{counted(n, 'line was', 'lines were')} refused: {listed} says which and why.")


def _far_away(wanted: "acts.ImportRun", organisation: str, listed: Path) -> "imports.Imported":
    """Send the file to the server, look on until a worker has imported it, and fetch the lines that were refused."""
    from tasks.acts import imports as acts

    with acting("import") as do:
        location = do(acts.run, wanted, organisation).location
        one, pause = acts.OneImport(int(location.rpartition("/")[2])), threading.Event()
        while (found := do(acts.show, one, organisation)).state == "running":
            pause.wait(LOOK_SECONDS)
        if found.result is None:
            raise imports.NotReadable(found.problem or "It failed.")
        if found.result.refused:
            with listed.open("wb") as file:
                file.writelines(do(acts.refused, one, organisation).blocks)
            found.result.refused_file = str(listed)
        return found.result


def _approve(result: "imports.Imported", progress: Progress, *, ask: bool) -> None:
    """Ask a person before many are mailed; where there is none, refuse."""
    if result.notices <= imports.UNASKED:
        return
    progress.stop()
    what = f"{counted(result.notices, 'learner')} would be told by mail of their courses"
    if not (ask and at_a_terminal()):
        raise Refused(f"Nothing was imported: {what}. Say --yes if they are to be, or --no-notices.")
    if not typer.confirm(f"{what}. Import the file?", err=True):
        raise Refused("Nothing was imported.")


def _size(source: IO[bytes]) -> int:
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    return size


def _say(result: "imports.Imported") -> None:
    would = result.dry_run
    refused = sum(result.refused.values())
    out.print(f"{counted(result.read, 'line')} read: {result.read - refused} taken, {refused} refused.")
    out.print(
        f"{counted(result.new, 'learner is', 'learners are')} new, {result.changed} changed,"
        f" {result.unchanged} as they were."
    )
    out.print(
        f"{counted(result.inactive, 'has', 'have')} a status that means inactive;"
        f" {counted(result.activated, 'known learner was', 'known learners were')} activated,"
        f" {result.deactivated} made inactive."
    )
    if result.deactivated_by_refused:
        out.print(
            f"{result.deactivated_by_refused} of these only because a line that is refused calls them inactive.",
            style="yellow",
        )
    if result.known_unread:
        out.print(
            f"{counted(result.known_unread, 'known learner has', 'known learners have')} a line that cannot be"
            f" read, and {'stays' if result.known_unread == 1 else 'stay'} active: look at them"
            " in the refused lines.",
            style="yellow",
        )
    told = ("learner would be", "learners would be") if would else ("learner is", "learners are")
    out.print(f"{counted(result.notices, *told)} told by mail of their courses.")
    assumed = "which is a guess: --encoding says it" if result.encoding_guessed else ""
    names = f"; names are read as {', '.join(result.sample)}" if result.sample else ""
    out.print(f"Read as {result.encoding}{f', {assumed}' if assumed else ''}{names}.", markup=False)
    said = ", ".join(result.status_columns) or "no column"
    out.print(f"Who is inactive is said by: {said}.", markup=False)
    if result.unused:
        out.print(f"Not used: {', '.join(result.unused)}.", markup=False, style="yellow")
    for what, counts in (
        ("Invisible characters were taken off", result.cleaned),
        (f"Empty cells {'would empty' if would else 'emptied'} what was known (--keep-empty keeps it)", result.emptied),
        ("Not a time zone, not taken", result.unknown_time_zones),
    ):
        if counts:
            listed = ", ".join(f"{n} {name}" for name, n in counts.items())
            out.print(f"{what}: {listed}.", markup=False, style="yellow")
    for reason, n in result.refused.items():
        out.print(f"refused: {n} {reason}", style="yellow")
    if would:
        out.print("This was a dry run: nothing was changed.", style="bold")
