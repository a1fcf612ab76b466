"""`rollcall work`: work that was set aside because whoever tried it never came back, or that is not to be begun."""

from typing import Annotated

import typer

from tasks.acts import system as acts
from workers.commands.common import By, Json, done, say, say_table, walked

app = typer.Typer(
    help="Work that was set aside: the processes that tried it alone ended, several times in a row.",
    no_args_is_help=True,
)

Numbers = Annotated[list[int], typer.Argument(metavar="NUMBER…", help="As `rollcall work failing` lists them.")]


@app.command()
def failing(json_: Json = False) -> None:
    """List it: whose it is and what was to be done. The log of the pool says when each was set aside."""
    found = [*walked(acts.failing, acts.WorkFilter())]
    columns = ["number", "organisation", "queue", "actor", "subject"]
    lines = [[one.number, one.organisation, one.queue, one.actor, one.subject] for one in found]
    say_table(found, columns, lines, "Nothing is set aside.", json_=json_)


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
    of = "" if state.organisation is None else f" of {state.organisation!r}"
    what = f"Work of the kind {state.kind}{of}" if state.kind else f"All work{of}"
    already = "" if state.changed else " already: nothing to do"
    say(state, f"{what} is {'paused' if state.halted else 'begun again'}{already}.", json_=json_)


@app.command()
def retry(numbers: Numbers, json_: Json = False) -> None:
    """Try it again, from the beginning of its patience."""
    said = f"Tried again: {', '.join(map(str, numbers))}."
    say(done(acts.retry_many, acts.Pieces(numbers)), said, json_=json_)


@app.command()
def discard(numbers: Numbers, json_: Json = False) -> None:
    """Give it up, for good: what it was to do is not done."""
    said = f"Given up: {', '.join(map(str, numbers))}."
    say(done(acts.discard_many, acts.Pieces(numbers)), said, json_=json_)
