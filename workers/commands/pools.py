"""`rollcall pools`: the pools of workers, each of which can be paused."""

from typing import Annotated

import typer
from typer import Argument, Option

from tasks.acts import system as acts
from tasks.work import Pool
from workers.commands.common import By, Json, document, done, out

app = typer.Typer(
    help="The pools of workers: tasks, mail and bulk. One that is paused begins nothing.", no_args_is_help=True
)

OnePool = Annotated[Pool, Argument(metavar="POOL", help="Its name: tasks, mail or bulk.")]


@app.command()
def pause(
    pool: OnePool,
    why: Annotated[str, Option("--why", help="The reason, which `rollcall status` shows.")],
    by: By = None,
    json_: Json = False,
) -> None:
    """Let a pool begin nothing, until it is resumed; what is begun is finished, or put back within a second or two."""
    _say(done(acts.pause, acts.PoolPause(pool, why), by=by), json_=json_)


@app.command()
def resume(pool: OnePool, by: By = None, json_: Json = False) -> None:
    """Let a pool go on."""
    _say(done(acts.resume, acts.PoolResumption(pool), by=by), json_=json_)


def _say(state: acts.PoolState, *, json_: bool) -> None:
    if json_:
        document(state)
    else:
        already = "" if state.changed else " already: nothing to do"
        out.print(f"The pool {state.pool} {'is paused' if state.paused else 'works'}{already}.")
