"""What every statement costs: how often it runs, the pages that it touches and the rows that it looks at."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event

from config.pipeline import pipeline_of

#: What is explained; what else there is (SET, NOTIFY, a savepoint) has no plan.
_PLANNED = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b")


@dataclass
class Cost:
    """Of all runs of one statement together. `rows`: those that its plan's nodes gave or threw away."""

    runs: int = 0
    pages: int = 0
    rows: int = 0
    plan: str = field(default="", repr=False)


@contextmanager
def counted(engine: Engine) -> Iterator[dict[str, Cost]]:
    """Count the runs of each statement within the block."""
    costs: dict[str, Cost] = {}

    def count(_connection: Connection, _cursor: Any, statement: str, *_: object) -> None:
        costs.setdefault(statement, Cost()).runs += 1

    event.listen(engine, "before_cursor_execute", count)
    try:
        yield costs
    finally:
        event.remove(engine, "before_cursor_execute", count)


@contextmanager
def explained(engine: Engine | type[Engine]) -> Iterator[dict[str, Cost]]:
    """Explain each statement within the block, right before it is run: what it changes is taken back in between.
    `Engine` itself: of every engine of this process."""
    costs: dict[str, Cost] = {}

    def explain(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if not _PLANNED.match(statement):
            return
        driver: Any = connection.connection.driver_connection
        pipeline = pipeline_of(connection)
        alone = driver.autocommit and pipeline is None  # a transaction of its own
        raw = connection.connection.cursor()

        raw.execute("BEGIN" if alone else "SAVEPOINT explained")
        raw.execute("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + statement, parameters)
        if pipeline is not None:
            pipeline.wait()  # psycopg by itself may wait for the answer to what it has not sent in full
        [[[said]]] = raw.fetchall()
        plan = said["Plan"]
        raw.execute("ROLLBACK" if alone else "ROLLBACK TO SAVEPOINT explained")
        if not alone:
            raw.execute("RELEASE SAVEPOINT explained")
        cost = costs.setdefault(statement, Cost())
        pages, rows = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], _rows(plan)
        if pages + rows > cost.pages + cost.rows:
            cost.plan = json.dumps(plan)
        cost.runs += 1
        cost.pages += pages
        cost.rows += rows

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield costs
    finally:
        event.remove(engine, "before_cursor_execute", explain)


def _rows(plan: dict[str, Any]) -> int:
    """Rows that the nodes of a plan gave or threw away, in all their loops."""
    seen = sum(plan.get(name, 0) for name in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter"))
    return int(seen * plan["Actual Loops"]) + sum(map(_rows, plan.get("Plans", [])))


def outline(plan: dict[str, Any], depth: int = 0) -> str:
    """A plan as a person reads it."""
    names = " ".join(
        f"{name}={plan[name]}"
        for name in ("Relation Name", "Alias", "Index Name", "Index Cond", "Filter", "Join Filter", "Hash Cond",
                     "Plan Rows", "Actual Rows", "Actual Loops", "Rows Removed by Filter",
                     "Rows Removed by Join Filter", "Shared Hit Blocks")
        if name in plan
    )  # fmt: skip
    return "\n".join(
        ["  " * depth + f"{plan['Node Type']} {names}"[:400], *(outline(p, depth + 1) for p in plan.get("Plans", []))]
    )
