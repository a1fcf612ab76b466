"""`rollcall work`: work that was set aside because whoever tried it never came back."""

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.table import Table

from config import services
from config.database import transaction
from tasks import work
from workers.commands.common import Json, Refused, document, opened, out

app = typer.Typer(
    help="Work that was set aside: the processes that tried it alone ended, several times in a row.",
    no_args_is_help=True,
)


@dataclass(frozen=True, slots=True)
class Retried:
    """A piece that is tried again."""

    number: int


@app.command()
def failing(json_: Json = False) -> None:
    """List it: whose it is and what was to be done. The log of the pool says when each was set aside."""
    with opened("work", services.DATABASE) as runtime, transaction(runtime.engine) as connection:
        found = work.failing(connection)
    if json_:
        document(found)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("number", "organisation", "queue", "actor", "subject"):
        table.add_column(column)
    for piece in found:
        table.add_row(str(piece.number), piece.organisation, piece.queue, piece.actor, str(piece.subject))
    out.print(table if found else "Nothing is set aside.")


@app.command()
def retry(
    numbers: Annotated[list[int], typer.Argument(metavar="NUMBER…", help="As `rollcall work failing` lists them.")],
    json_: Json = False,
) -> None:
    """Try it again, from the beginning of its patience."""
    with opened("work", services.DATABASE) as runtime, transaction(runtime.engine) as connection:
        for number in numbers:
            if not work.retry(connection, number):
                raise Refused(f"No piece of work {number} is set aside: nothing was changed.")
    if json_:
        document([Retried(number) for number in numbers])
    else:
        out.print(f"Tried again: {', '.join(map(str, numbers))}.")
