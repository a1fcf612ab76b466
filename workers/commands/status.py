"""`rollcall status`: how everything stands, once or as a live view, from this machine or far away."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Annotated

import redis
import typer
from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import OperationalError

from config import clock, services
from config.errors import UserError
from config.outages import why
from config.words import counted
from tasks.acts import system as acts
from tasks.acts.acting import Nothing
from tasks.fleet import Process
from tasks.webhooks import Health
from workers.commands.common import Json, acting, cell, document, out

#: Seconds between two looks of a live view, and over which it shows how fast things go: processes store what they
#: counted every ten.
WATCH_SECONDS = 1.0
RATE_SECONDS = 60.0

READ_STATUS = services.DATABASE | services.REDIS


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew each second, until Ctrl-C.")] = False,
    json_: Json = False,
) -> None:
    """Show what runs, what is due, what is on its way, and what could not be taken."""
    with acting("status", READ_STATUS) as do:
        if json_:
            document(do(acts.show, Nothing()))
        elif not watch:
            out.print(_shown(do(acts.show, Nothing())))
        else:
            _watch(lambda: do(acts.show, Nothing()))


class GrowthRates:
    """How fast what is counted grows, over the last minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, dict[str, float]]] = deque()

    def see(self, at: float, totals: dict[str, float]) -> dict[str, float]:
        """Note the totals at a moment (seconds of a monotonic clock); each a second since the first that counts."""
        self._seen.append((at, totals))
        while len(self._seen) > 2 and at - self._seen[1][0] >= RATE_SECONDS:
            self._seen.popleft()
        began, before = self._seen[0]
        return {name: (n - before.get(name, n)) / (at - began) if at > began else 0.0 for name, n in totals.items()}


def _watch(ask: Callable[[], acts.SystemStatus]) -> None:
    """Show it until Ctrl-C, whatever is away meanwhile; where nobody sees a screen, what changes."""
    rates, resting = GrowthRates(), threading.Event()
    with Live(console=out, auto_refresh=False, screen=out.is_terminal, vertical_overflow="crop") as live:
        try:
            while True:
                live.update(_screen(ask, rates), refresh=True)
                resting.wait(WATCH_SECONDS)
        except KeyboardInterrupt:
            return


def _screen(ask: Callable[[], acts.SystemStatus], rates: GrowthRates) -> RenderableType:
    now = f"{clock.now():%Y-%m-%d %H:%M:%S} UTC"
    try:
        standing = ask()
    except (OperationalError, redis.RedisError, UserError) as problem:
        says = str(problem) if isinstance(problem, UserError) else f"It cannot be asked: {why(problem)}."
        return Group(Text(f"{now} · Ctrl-C ends", style="dim"), "", Text(says, "red"))
    fast = rates.see(time.monotonic(), standing.totals)
    line = " · ".join(f"{fast[name]:.1f} {name}/s" for name in standing.totals)
    return Group(Text(f"{now} · {line} · Ctrl-C ends", style="dim"), "", _shown(standing))


def _shown(standing: acts.SystemStatus) -> Group:
    grid = _table("queue", "due", "oldest due", "in flight", "at rest", "failing", "processes", "")
    loads = {load.queue: load for load in standing.queues}
    for queue in (*loads, *(name for name in standing.unserved if name not in loads)):
        load, served = loads.get(queue), sum(queue in one.queues for one in standing.fleet)
        if load is None:
            grid.add_row(queue, "0", "–", "0", "0", "0", "0", "nobody works on it")
            continue
        age = "–" if load.oldest_due_seconds is None else f"{load.oldest_due_seconds:.1f} s"
        counts = (load.in_flight, load.resting, load.failing, served)
        idle = "stalled: nobody begins any" if load.stalled else "nobody is woken" if load.unoffered else ""
        grid.add_row(
            load.queue, cell(load.due), age, *map(cell, counts), idle or ("" if served else "nobody works on it")
        )
    grid.caption_justify = "left"
    grid.caption = (
        f"{counted(len(standing.fleet), 'process', 'processes')} on"
        f" {counted(len({one.host for one in standing.fleet}), 'host')} ·"
        f" {counted(standing.mailings_sending - standing.notices_sending, 'announcement')} and"
        f" {counted(standing.notices_sending, 'notice')} being sent ·"
        f" {counted(standing.fanouts_running, 'fan-out')} running · {counted(standing.unread, 'event')} unread ·"
        f" {standing.unpublished} unpublished · {standing.quarantine['waiting']} waiting ·"
        f" {standing.quarantine['turn']} waiting for their turn ·"
        f" {standing.quarantine['quarantined']} quarantined{_webhooks(standing.webhooks)}"
    )
    ill = [f"{name} does not run, and something has waited for it for ten seconds." for name in standing.stalled]
    paused = [] if standing.mail_paused is None else [standing.mail_paused.in_words]
    pools = [one.in_words for one in standing.pools_paused]
    halts = [one.in_words for one in standing.halts]
    said = (*paused, *pools, *halts, *ill, *(one.in_words for one in standing.mail_stopped))
    lines = [line for told in said for line in (Text(told, style="bold red"), "")]
    fleet: list[RenderableType] = ["", _fleet(standing.fleet)] if standing.fleet else []
    return Group(*lines, grid, "", _readers(standing), *fleet)


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def _fleet(running: list[Process]) -> Table:
    """Every process, on every host."""
    grid = _table("process", "host", "pid", "version", "since", "said so", "does")
    for one in running:
        does = "leads" if one.leads else "stands by" if one.role == "relay" else one.busy_with or ""
        name = " ".join((one.role, *one.queues))
        ago = f"{one.silent_seconds:.0f} s ago"
        grid.add_row(*map(escape, (name, cell(one.host), str(one.pid), one.release, cell(one.since), ago, does)))
    return grid


def _readers(standing: acts.SystemStatus) -> Table:
    """The streams, with who reads them."""
    grid = _table("stream", "length", "memory", "group", "consumers", "unread", "pending", "oldest", "")
    for stream in standing.streams:
        memory = "–" if stream.bytes is None else decimal(stream.bytes)
        first = [stream.stream, cell(stream.length), memory]
        if not stream.groups:
            grid.add_row(*first, "–", "0", "–", "–", "–", "no group: not trimmed" if stream.length else "")
        for group in stream.groups:
            age = "–" if group.oldest_seconds is None else f"{group.oldest_seconds:.1f} s"
            counts = (cell(group.consumers), cell(group.unread), cell(group.pending), age)
            grid.add_row(*first, escape(cell(group.name)), *counts, "keeps the stream" if group.pins else "")
            first = ["", "", ""]
    return grid


def _webhooks(found: Health) -> str:
    """How the webhooks stand, where there are any."""
    if not found.enabled + found.disabled:
        return ""
    lag = "nothing waits" if found.lag_seconds is None else f"the oldest event waits {found.lag_seconds:.0f} s"
    return f" · {counted(found.enabled, 'webhook')}, {found.failing} failing, {found.disabled} disabled, {lag}"
