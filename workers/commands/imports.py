"""`rollcall learners import`: learners from a previous LMS."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import OperationalError

from config.database import is_connection_problem
from tasks import imports
from workers.commands.common import Json, Org, Refused, asked, document, err, opened, out


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE.csv|-", help="What the other system exported; - for stdin.")],
    organisation: Org,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do all of it, say what would change, and undo it.")
    ] = False,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="The column that holds a field; may be repeated."),
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Such as cp1252; found out otherwise.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="One character, or tab; found out otherwise.")] = None,
    notices: Annotated[
        bool, typer.Option("--notices/--no-notices", help="Whether newcomers are told what the rules enrol them in.")
    ] = True,
    refused: Annotated[
        Path | None, typer.Option(help="Where refused lines are listed; FILE.refused.csv unless named.")
    ] = None,
    json_: Json = False,
) -> None:
    """Import learners from a previous LMS; exit 1 where a line is refused, all others are taken.

    Suspended and Long Term Leave become inactive. The same file again changes nothing.
    """
    chosen = _chosen(map_ or [])
    _check(encoding, delimiter := "\t" if delimiter in {"tab", "\\t"} else delimiter)
    with readable(file) as source, opened("import") as runtime, _progress(quiet=json_) as progress:
        listed = refused or Path(file if Path(file).is_file() else "stdin").with_suffix(".refused.csv")
        if file != "-" and listed.exists() and listed.samefile(file):
            raise typer.BadParameter(f"--refused {listed} is the file itself")
        with asked(runtime, organisation) as (_, org):
            slices = progress.add_task("taking", total=None)
        try:
            layout = imports.layout_of(source, chosen, encoding=encoding, delimiter=delimiter)
            result = imports.take(
                runtime.engine,
                runtime.settings,
                org,
                layout.fields,
                _watched(imports.batches(source, layout), source, progress),
                listed,
                notify=notices,
                dry_run=dry_run,
                on_slice=lambda done, of: progress.update(slices, completed=done, total=of),
            )
        except imports.NotReadable as problem:
            raise Refused(f"Nothing was imported from {file}. {problem}") from None
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
        raise Refused(f"{n} {'line was' if n == 1 else 'lines were'} refused: {listed} says which and why.")


def _chosen(pairs: list[str]) -> dict[imports.Field, str]:
    chosen = {}
    for pair in pairs:
        name, separator, column = pair.partition("=")
        field = imports.field_named(name)
        if not separator or field is None:
            raise typer.BadParameter(f"--map {pair}: it reads FIELD=COLUMN, FIELD one of {', '.join(imports.Field)}")
        chosen[field] = column.strip()
    return chosen


def _check(encoding: str | None, delimiter: str | None) -> None:
    try:
        "".encode(encoding or "utf-8")
    except LookupError:
        raise typer.BadParameter(f"there is no encoding {encoding!r}") from None
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise typer.BadParameter("--delimiter is one character, or tab")


@contextmanager
def readable(file: str) -> Iterator[IO[bytes]]:
    """A file that can be read more than once, or a refusal; what cannot, such as standard input, is kept for that."""
    with ExitStack() as stack:
        try:
            source = sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))
            if file == "-" or not source.seekable():
                kept = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(source, kept)
                source = kept
        except OSError as problem:
            raise Refused(f"{file} cannot be read: {problem.strerror}.") from None
        yield source


def _progress(*, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    )


def _watched(batches: Iterator[imports.Batch], source: IO[bytes], progress: Progress) -> Iterator[imports.Batch]:
    """The same batches, while the bar shows how many bytes were read."""
    begun, size = source.tell(), source.seek(0, os.SEEK_END)
    source.seek(begun)
    bar = progress.add_task("reading", total=size)
    for batch in batches:
        yield batch
        progress.update(bar, completed=source.tell())


def _say(result: imports.Imported) -> None:
    refused = sum(result.refused.values())
    out.print(f"{result.read} lines read: {result.read - refused} taken, {refused} refused.")
    out.print(f"{result.new} learners are new, {result.changed} changed, {result.unchanged} as they were.")
    out.print(
        f"{result.inactive} have a status that means inactive;"
        f" {result.activated} known learners were activated, {result.deactivated} made inactive."
    )
    for reason, n in result.refused.items():
        out.print(f"refused: {n} {reason}", style="yellow")
    if result.dry_run:
        out.print("This was a dry run: nothing was changed.", style="bold")
