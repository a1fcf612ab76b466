"""`rollcall work`: work that was set aside because whoever tried it never came back."""

from typing import Annotated

import typer
from rich.table import Table

from tasks.acts import system as acts
from workers.commands.common import Json, acting, document, done, items, out

app = typer.Typer(
    help="Work that was set aside: the processes that tried it alone ended, several times in a row.",
    no_args_is_help=True,
)

Numbers = Annotated[list[int], typer.Argument(metavar="NUMBER…", help="As `rollcall work failing` lists them.")]


@app.command()
def failing(json_: Json = False) -> None:
    """List it: whose it is and what was to be done. The log of the pool says when each was set aside."""
    with acting("work") as do:
        found = list(items(do, acts.failing, acts.WorkFilter()))
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
def retry(numbers: Numbers, json_: Json = False) -> None:
    """Try it again, from the beginning of its patience."""
    retried = done(acts.retry_many, acts.Pieces(numbers))
    if json_:
        document(retried)
    else:
        out.print(f"Tried again: {', '.join(map(str, numbers))}.")


@app.command()
def discard(numbers: Numbers, json_: Json = False) -> None:
    """Give it up, for good: what it was to do is not done."""
    discarded = done(acts.discard_many, acts.Pieces(numbers))
    if json_:
        document(discarded)
    else:
        out.print(f"Given up: {', '.join(map(str, numbers))}.")
