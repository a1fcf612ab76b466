"""`rollcall work`: work that was set aside because whoever tried it never came back, or that is not to be begun."""

from typing import Annotated

import typer
from rich.table import Table

from tasks.acts import system as acts
from workers.commands.common import By, Json, acting, document, done, items, out

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


Kind = Annotated[str | None, typer.Argument(metavar="[KIND]", help="As `rollcall work failing` names it: an actor.")]
Whose = Annotated[
    str | None,
    typer.Option("--organisation", "-o", metavar="ORG", help="Only of this organisation; of all unless named."),
]


@app.command()
def pause(
    why: Annotated[str, typer.Option("--why", help="The reason, which `rollcall status` shows.")],
    kind: Kind = None,
    whose: Whose = None,
    by: By = None,
    json_: Json = False,
) -> None:
    """Let no work of a kind, of an organisation, or both be begun until it is resumed; what is begun is finished."""
    _say(done(acts.halt, acts.WorkPause(kind, whose, why), by=by), json_=json_)


@app.command()
def resume(kind: Kind = None, whose: Whose = None, by: By = None, json_: Json = False) -> None:
    """Let it be begun again, whether somebody paused it or its fuse opened."""
    _say(done(acts.unhalt, acts.WorkResumption(kind, whose), by=by), json_=json_)


def _say(state: acts.HaltState, *, json_: bool) -> None:
    if json_:
        document(state)
        return
    of = "" if state.organisation is None else f" of {state.organisation!r}"
    what = f"Work of the kind {state.kind}{of}" if state.kind else f"All work{of}"
    already = "" if state.changed else " already: nothing to do"
    out.print(f"{what} is {'paused' if state.halted else 'begun again'}{already}.", markup=False)


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
