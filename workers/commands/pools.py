"""`rollcall pools`: the pools of workers, each of which can be paused."""

from typing import Annotated

import typer
from typer import Argument, Option

from tasks.acts import system as acts
from tasks.acts import underway
from tasks.work import Pool
from workers.commands.common import By, Json, done, out, say, say_table

app = typer.Typer(
    help="The pools of workers: tasks, mail and bulk. One that is paused begins nothing.", no_args_is_help=True
)

OnePool = Annotated[Pool, Argument(metavar="POOL", help="Its name: tasks, mail or bulk.")]


@app.command()
def advise(
    hours: Annotated[int, Option("--hours", min=1, max=48, help="From what came in these hours, until now.")] = 24,
    target: Annotated[
        float | None,
        Option(
            "--target",
            min=1,
            max=86_400,
            metavar="SECONDS",
            help="How late the oldest due work may be; else 60 of tasks and mail, 900 of bulk.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        Option("--threads", min=1, max=64, help="Threads of each process; else 2 of tasks and mail, 1 of bulk."),
    ] = None,
    json_: Json = False,
) -> None:
    """Say how many processes each pool needs so that no work is late, from what came and how long it took."""
    found = done(underway.advise, underway.AdviceTerms(hours, target, threads))
    lines = [
        (
            one.pool,
            one.running,
            one.processes,
            f"{one.target_seconds:g} s",
            "–" if one.oldest_seconds is None else f"{one.oldest_seconds:.1f} s",
            one.busiest_minute,
            "–" if one.seconds_a_piece is None else f"{one.seconds_a_piece:.3f} s",
        )
        for one in found
    ]
    columns = ("pool", "running", "needed", "target", "latest", "busiest minute", "a piece takes")
    say_table(found, columns, lines, "", json_=json_)
    if not json_ and all(one.seconds_a_piece is None for one in found):
        out.print("Nothing was worked on in this time, so this is the least that each pool needs.")


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
    already = "" if state.changed else " already: nothing to do"
    say(state, f"The pool {state.pool} {'is paused' if state.paused else 'works'}{already}.", json_=json_)
