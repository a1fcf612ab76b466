"""`python -m bench`: what Rollcall does, as ratios of what it is measured against on the same machine."""

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.figures import Ratio, spread
from bench.system import System, system

#: Columns a line needs, also where the output is no terminal.
WIDTH = 130


class Later:
    """A benchmark that is imported when it runs: another may need packages that are not installed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, what: str) -> Any:
        """What the module has."""
        return getattr(import_module(f"bench.{self._name}"), what)


(activating, aging, api, backlog, cells, commands, console, events, export, fanout, idle, imports, latency, memory,
 moving, peer, requests, starts, waking) = map(
    Later,
    ("activating", "aging", "api", "backlog", "cells", "commands", "console", "events", "export", "fanout", "idle",
     "imports", "latency", "memory", "moving", "peer", "requests",
     "starts", "waking"),
)  # fmt: skip

out = Console(highlight=False, width=WIDTH)


@dataclass(frozen=True, slots=True)
class Part:
    """One measurement, in full and cut short."""

    what: str
    full: Callable[[System], Sequence[Ratio]]
    quick: Callable[[System], Sequence[Ratio]]


#: Learners and deliveries of the console's organisation, or deliveries that are due and rows of history, if they are
#: said.
_sizes: list[int] = []

PARTS = {
    "aging": Part(
        "A month of deliveries, of attempts and of events is dropped",
        lambda on: aging.measure(on, aging.Size(100_000_000, 100_000_000, 10_000_000, learners=400_000, rounds=1)),
        lambda on: aging.measure(on, aging.Size(200_000, 200_000, 100_000, learners=120_000, rounds=1)),
    ),
    "api": Part(
        "Who may open this course?",
        lambda on: api.measure(on, api.Size(learners=1_000_000, seconds=10, rounds=3)),
        lambda on: api.measure(on, api.Size(learners=20_000, seconds=2, rounds=2)),
    ),
    "backlog": Part(
        "Many deliveries due, and much that happened",
        lambda on: backlog.measure(on, backlog.Size(*(_sizes or (10_000_000, 100_000_000)), mails=30_000, rounds=3)),
        lambda on: backlog.measure(on, backlog.Size(*(_sizes or (40_000, 100_000)), mails=4_000, rounds=1)),
    ),
    "activating": Part(
        "A learner is made active over HTTP",
        lambda on: activating.measure(on, activating.Size(learners=1_000_000, activations=200, rounds=3)),
        lambda on: activating.measure(on, activating.Size(learners=20_000, activations=50, rounds=1)),
    ),
    "cells": Part(
        "Two cells beside one",
        lambda on: cells.measure(on, cells.Size(starts=60_000, mails=10_000, rounds=3)),
        lambda on: cells.measure(on, cells.Size(starts=4_000, mails=1_000, rounds=1)),
    ),
    "moving": Part(
        "A large organisation moves to another cell",
        lambda on: moving.measure(on, moving.Size(learners=1_000_000, rounds=1)),
        lambda on: moving.measure(on, moving.Size(learners=20_000, rounds=1)),
    ),
    "commands": Part(
        "A command, before it does anything",
        lambda on: commands.measure(on, commands.Size(rounds=9)),
        lambda on: commands.measure(on, commands.Size(rounds=3)),
    ),
    "console": Part(
        "Every page of the console, 20 people at once",
        lambda on: console.measure(on, console.Size(*(_sizes or (1_000_000, 10_000_000)), rounds=5)),
        lambda on: console.measure(on, console.Size(*(_sizes or (20_000, 200_000)), rounds=2)),
    ),
    "fanout": Part(
        "A course for everyone",
        lambda on: fanout.measure(on, fanout.Size(learners=1_000_000, rounds=5)),
        lambda on: fanout.measure(on, fanout.Size(learners=20_000, rounds=3)),
    ),
    "imports": Part(
        "Import of learners",
        lambda on: imports.measure(on, imports.Size(learners=1_000_000, rounds=3)),
        lambda on: imports.measure(on, imports.Size(learners=20_000, rounds=1)),
    ),
    "export": Part(
        "Training report",
        lambda on: export.measure(on, export.Size(learners=1_000_000, rounds=3)),
        lambda on: export.measure(on, export.Size(learners=20_000, rounds=1)),
    ),
    "peer": Part(
        "Beside a task for each learner",
        lambda on: peer.measure(on, peer.Size(learners=20_000, rounds=1)),
        lambda on: peer.measure(on, peer.Size(learners=2_000, rounds=1)),
    ),
    "requests": Part(
        "Learners named one by one",
        lambda on: requests.measure(on, requests.Size(learners=100_000, rounds=3)),
        lambda on: requests.measure(on, requests.Size(learners=10_000, rounds=1)),
    ),
    "latency": Part(
        "Reactivation, everybody idle",
        lambda on: latency.measure(on, latency.Size(reactivations=500)),
        lambda on: latency.measure(on, latency.Size(reactivations=100)),
    ),
    "busy": Part(
        "Reactivation, while a fan-out is running",
        lambda on: latency.measure_busy(on, latency.Busy(learners=1_000_000, rounds=3)),
        lambda on: latency.measure_busy(on, latency.Busy(learners=50_000, rounds=1)),
    ),
    "waking": Part(
        "A mail to one person, everybody idle",
        lambda on: waking.measure(on, waking.Size(pieces=500)),
        lambda on: waking.measure(on, waking.Size(pieces=100)),
    ),
    "toggles": Part(
        "Status events of single learners, all at once",
        lambda on: events.measure_toggles(on, events.Size(events=10_000, rounds=5)),
        lambda on: events.measure_toggles(on, events.Size(events=1_000, rounds=2)),
    ),
    "idle": Part(
        "An installation in which nothing happens",
        lambda _: idle.measure(idle.Size(seconds=60)),
        lambda _: idle.measure(idle.Size(seconds=10)),
    ),
    "memory": Part(
        "Memory",
        lambda on: memory.measure(
            on, memory.Size(small=10_000, large=1_000_000, few_mails=1_000, many_mails=10_000, rounds=2)
        ),
        lambda on: memory.measure(
            on, memory.Size(small=5_000, large=50_000, few_mails=500, many_mails=5_000, rounds=1)
        ),
    ),
    "starts": Part(
        "Course starts, from stream to stream",
        lambda on: starts.measure(on, starts.Size(starts=200_000, rounds=3, celery=5_000, paced=30_000)),
        lambda on: starts.measure(on, starts.Size(starts=5_000, rounds=1, celery=500, paced=1_000)),
    ),
    "pace": Part(
        "Course starts, at a steady pace",
        lambda on: starts.measure_pace(on, starts.Size(starts=200_000, rounds=3, celery=5_000, paced=30_000)),
        lambda on: starts.measure_pace(on, starts.Size(starts=5_000, rounds=1, celery=500, paced=1_000)),
    ),
    "events": Part(
        "Events",
        lambda on: events.measure(on, events.Size(events=20_000, rounds=3)),
        lambda on: events.measure(on, events.Size(events=2_000, rounds=2)),
    ),
}


def main() -> None:
    """Measure, print; exit code 1 where a ratio that is asked for is not reached, unless cut short."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", nargs="*", help=f"which of {', '.join(PARTS)}; all unless named")
    parser.add_argument("--quick", action="store_true", help="less of everything: to see that it runs, not for figures")
    parser.add_argument("--sizes", type=int, nargs=2, metavar=("N", "M"), help="of `console` or `backlog`")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the databases there, and use what is there")
    arguments = parser.parse_args()
    _sizes.extend(arguments.sizes or [])
    if unknown := sorted(set(arguments.part) - PARTS.keys()):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(PARTS)}")
    begun = time.monotonic()
    missed = False
    with system(keep=arguments.keep) as servers:
        out.print(_machine(servers))
        if arguments.quick:
            out.print("[bold]Cut short: this shows that it runs; the figures mean little.[/bold]")
        for name in arguments.part or PARTS:
            part = PARTS[name]
            ratios = (part.quick if arguments.quick else part.full)(servers)
            _show(part.what, ratios)
            missed |= any(ratio.goal is not None and not ratio.goal.reached_by(ratio) for ratio in ratios)
    out.print(f"[dim]took {time.monotonic() - begun:.0f} s[/dim]")
    raise SystemExit(1 if missed and not arguments.quick else 0)


def _machine(servers: System) -> str:
    """What all this was measured on."""
    memory_gb = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory_gb:.0f} GB, Python {platform.python_version()}; "
        f"embedded PostgreSQL {servers.setting('server_version')}, {'durable' if servers.durable else 'not durable'}, "
        f"over a socket, and its psql; load {load:.1f} before the start.\n"
        "Medians (least–most) of alternating rounds; × is the first line by the second, in the same round."
    )


def _show(title: str, ratios: Sequence[Ratio]) -> None:
    """A line for each ratio, and under it what it is made of."""
    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column()
    shown.add_column(justify="right")
    shown.add_column()
    for ratio in ratios:
        unit = ratio.unit if ratio.unit.startswith("/") else f" {ratio.unit}"
        shown.add_row(ratio.what, f"{spread(ratio.ours, ratio.digits)}{unit}", "")
        shown.add_row(
            f"  [dim]{ratio.against}[/dim]",
            f"[dim]{spread(ratio.theirs, ratio.digits)}{unit}[/dim]",
            f"[bold]× {spread(ratio.ratios, 2)}[/bold] {_judged(ratio)}",
        )
    out.print(f"\n[bold]{title}[/bold]")
    out.print(shown)


def _judged(ratio: Ratio) -> str:
    if ratio.goal is not None:
        return ratio.goal.text(ratio)
    if ratio.unit == "MB":
        return "flat" if median(ratio.ratios) <= memory.FLAT else "grows"
    return ""


if __name__ == "__main__":
    main()
