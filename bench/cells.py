"""Two cells beside one: starts and mails a second, the processor that each takes, and what is reckoned from that.

All share the cores of this machine, so two at once do no more in a second than one. What each needs is measured while
the other has nothing to do, as they would be with cores of their own: the second with its events through the doors of
the first. From that it is reckoned what both do where each has as many cores as this machine.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.figures import Goal, Ratio
from bench.mail.rollcall import mail_settings, rollcall, senders
from bench.mail.sink import recording
from bench.mail.usage import usage
from bench.starts import PIPE, PREPARE
from bench.system import NOTHING, ORGANISATION, RELAY, Commands, Database, Process, System, event, id_of, wait_until
from bench.system import system as another_system
from config.streams import OUT

#: The organisation of the second cell, and what runs there: what comes in is taken by the doors of the first.
NORTH = "borealis"
BEHIND: Commands = {"tasks of north": ("pool", "tasks"), **{f"{name} of north": words for name, words in RELAY.items()}}

#: Starts of a round that are not counted.
_WARM = 1_000

#: Events that the platform puts on the stream in one round trip.
_TOGETHER = 500


@dataclass(frozen=True, slots=True)
class Size:
    """Starts and mails in each cell, and rounds."""

    starts: int
    mails: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Did:
    """So many in so many seconds, and the processor time of all processes and servers."""

    n: int
    seconds: float
    processor: float

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.n / self.seconds

    @property
    def microseconds(self) -> float:
        """Of a processor, for each."""
        return self.processor / self.n * 1e6


@dataclass(frozen=True)
class Cell:
    """A cell with a database of this measurement."""

    system: System
    database: Database
    organisation: str


def measure(system: System, size: Size) -> list[Ratio]:
    """Starts and mails of one cell and of two, in alternating rounds."""
    starts: list[list[Did]] = []
    mails: list[list[Did]] = []
    with another_system() as other:
        for turn in range(size.rounds):
            with _cells(system, other, f"starts-{turn}", _WARM + size.starts) as (home, north):
                known = {"north": {"database": north.database.url, "redis": other.redis_url}}
                with (
                    system.processes(home.database, PIPE, {"ROLLCALL_CELLS": json.dumps(known)}) as here,
                    other.processes(north.database, BEHIND) as there,
                ):
                    ends = [_WARM + size.starts * part // 3 for part in range(4)]
                    _start([home, north], range(1, _WARM + 1))
                    every = [*here, *there]
                    starts.append(
                        [
                            _started(home.system, cells, every, range(first + 1, last + 1))
                            for cells, first, last in zip(
                                ([home], [north], [home, north]), ends[:-1], ends[1:], strict=True
                            )
                        ]
                    )
            with _cells(system, other, f"mails-{turn}", size.mails) as (home, north):
                mails.append([_mailed([home], "one"), _mailed([north], "other"), _mailed([home, north], "both")])
    return [*_told("course.started", starts), *_told("mail", mails)]


def _told(what: str, rounds: Sequence[Sequence[Did]]) -> list[Ratio]:
    ones, others, both = ([measured[place] for measured in rounds] for place in range(3))
    cores = os.cpu_count() or 1
    return [
        Ratio(
            f"{what} in two cells at once on these {cores} cores, {ones[0].n:,} in each",
            "in one",
            "/s",
            [two.rate for two in both],
            [one.rate for one in ones],
        ),
        Ratio(
            f"processor of all for each {what} in the second cell, the first at rest",
            "in the first, the second at rest",
            "µs",
            [other.microseconds for other in others],
            [one.microseconds for one in ones],
        ),
        Ratio(
            f"reckoned from that, not run: {what} in two cells of {cores} cores each, all of them busy",
            f"in one of {cores}",
            "/s",
            [
                4 * cores * 1e6 / (one.microseconds + other.microseconds)
                for one, other in zip(ones, others, strict=True)
            ],
            [cores * 1e6 / one.microseconds for one in ones],
            goal=Goal(1.7),
        ),
    ]


@contextmanager
def _cells(system: System, other: System, name: str, learners: int) -> Iterator[tuple[Cell, Cell]]:
    with system.database(name, learners) as here, other.database(name, learners) as there:
        for database in (here, there):
            database.execute(PREPARE)
        there.execute(f"UPDATE organisations SET id = '{NORTH}'")
        here.execute(f"INSERT INTO directory (id, cell) VALUES ('{NORTH}', 'north')")
        for database in (here, there):
            database.execute("VACUUM ANALYZE")
            database.execute("CHECKPOINT")
        yield Cell(system, here, ORGANISATION), Cell(other, there, NORTH)


def _started(doors: System, cells: Sequence[Cell], processes: Sequence[Process], learners: range) -> Did:
    """Starts of so many learners in each cell, from the first XADD until every consumption can be read."""
    pids = {process.name: process.popen.pid for process in processes}
    systems = {id(one): one for one in (doors, *(cell.system for cell in cells))}
    pids |= {f"{name} {n}": pid for n, one in systems.items() for name, pid in one.pids.items()}
    before, begun = usage(pids), time.perf_counter()
    _start(cells, learners, doors)
    seconds = time.perf_counter() - begun
    return Did(len(learners) * len(cells), seconds, sum(usage(pids).since(before).cpu.values()))


def _start(cells: Sequence[Cell], learners: range, doors: System | None = None) -> None:
    """Everything comes to the doors of the first cell."""
    before = [cell.system.redis.xlen(OUT) for cell in cells]
    bodies = [
        event("course.started", {"learner": id_of(number), "course": "course"}, cell.organisation)
        for number in learners
        for cell in cells
    ]
    (doors or cells[0].system).publish(bodies, _TOGETHER)
    for cell, had in zip(cells, before, strict=True):
        wait_until(lambda: cell.system.redis.xlen(OUT) == had + len(learners), "every start to be told")  # noqa: B023


def _mailed(cells: Sequence[Cell], id_: str) -> Did:
    """An announcement to everyone in each cell at once, from the first launch until the last is finished."""
    with ExitStack() as stack:
        ours = []
        for cell in cells:
            sink = stack.enter_context(recording(cell.system.home))
            settings: Mapping[str, str] = NOTHING
            sending = stack.enter_context(
                rollcall(cell.system, cell.database, sink.port, senders(1, 1), {**mail_settings(sink.port), **settings})
            )
            ours.append((cell, sending))
        before = [sending.usage() for _, sending in ours]
        begun = time.perf_counter()
        for cell, sending in ours:
            sending.announce(id_, organisation=cell.organisation)
        for _, sending in ours:
            sending.finish(id_)
        seconds = time.perf_counter() - begun
        used = [sending.usage().since(then) for (_, sending), then in zip(ours, before, strict=True)]
        accepted = [int(cell.database.value(_ACCEPTED.format(id_))) for cell, _ in ours]
    return Did(sum(accepted), seconds, sum(sum(one.cpu.values()) for one in used))


_ACCEPTED = """
    SELECT count(*) FROM deliveries JOIN mailings USING (organisation, mailing)
    WHERE id = '{}' AND deliveries.state = 'accepted'
"""
