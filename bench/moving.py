"""A large organisation moves from one cell to another: for how long it is frozen, beside a plain COPY of its rows."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from bench.fanout import through_the_queue
from bench.figures import Ratio
from bench.system import INGRESS, NUMBER, ORGANISATION, RELAY, TASKS, Database, System
from bench.system import system as another_system
from migrations import carrying

_COLUMNS = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = CAST('organisations' AS regclass) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


@dataclass(frozen=True, slots=True)
class Size:
    """Learners, each with an enrolment and a notice, and rounds."""

    learners: int
    rounds: int


def measure(system: System, size: Size) -> list[Ratio]:
    """The seconds in which nothing can be done with it, and those of the same rows copied and neither digested nor
    verified."""
    frozen, copied, rows = [], [], 0
    with another_system() as other:
        for turn in range(size.rounds):
            with system.database(f"moving-{turn}", size.learners) as home, other.empty(f"north-{turn}") as url:
                other.bring_up_to_date(f"north-{turn}")
                known = {"north": {"database": url, "redis": other.redis_url}}
                settings = {"ROLLCALL_CELLS": json.dumps(known)}
                with system.processes(home, INGRESS | RELAY | TASKS, settings):
                    through_the_queue(system, home, "course")
                    _rollcall(system, home, settings, "add", "north")
                    moved = _rollcall(system, home, settings, "move", ORGANISATION, "north")
                frozen.append(float(moved["frozen_seconds"]))
                rows = int(moved["rows"])
                with other.empty(f"copied-{turn}") as beside, psycopg.connect(url) as source:
                    other.bring_up_to_date(f"copied-{turn}")
                    copied.append(_copied(source, beside))
    return [Ratio(f"moving {size.learners:,} learners, {rows:,} rows", "COPY of these rows", "s", frozen, copied, 1)]


def _rollcall(system: System, home: Database, settings: Mapping[str, str], *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", "cells", *words, "--json"],
        env=system.environment(home, settings),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{words}: {done.stderr.decode()[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _copied(source: psycopg.Connection[tuple[object, ...]], url: str) -> float:
    """Seconds to copy what belongs to the organisation into a database that has nothing."""
    with psycopg.connect(url) as target:
        begun = time.perf_counter()
        columns = [str(row[0]) for row in source.execute(_COLUMNS)]
        for name, whose in [("organisations", columns), *((one.name, one.columns) for one in carrying.tables(source))]:
            named = sql.SQL(", ").join(map(sql.Identifier, whose))
            out = sql.SQL("COPY (SELECT {} FROM {} WHERE CAST(organisation AS text) IN ({}, {})) TO STDOUT").format(
                named, sql.Identifier(name), str(NUMBER), ORGANISATION
            )
            into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(name), named)
            with source.cursor().copy(out) as leaving, target.cursor().copy(into) as arriving:
                for block in leaving:
                    arriving.write(block)
        target.commit()
        return time.perf_counter() - begun
