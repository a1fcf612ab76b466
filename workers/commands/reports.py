"""`rollcall reports`: what an organisation can take away."""

import os
import sys
from typing import Annotated

import typer

from tasks.reports import Format, Tab, stream
from workers.commands.common import Org, asked, opened

app = typer.Typer(help="Reports, streamed however large they are.", no_args_is_help=True)


@app.callback()
def _reports() -> None:
    """Keeps `training` a command of its own, though it is the only one."""


@app.command()
def training(
    organisation: Org,
    tab: Annotated[Tab, typer.Option(help="The learners active now, or those who are not.")] = Tab.ACTIVE,
    format_: Annotated[Format, typer.Option("--format", help="csv is safe to open in a spreadsheet.")] = Format.CSV,
    json_: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
) -> None:
    """Print one row for each enrolment."""
    chosen = Format.JSONL if json_ else format_
    with opened("reports") as runtime, asked(runtime, organisation) as (connection, org):
        try:
            for piece in stream(connection, org.organisation, tab, chosen):
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # whoever read has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
