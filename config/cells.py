"""The other cells: each is a Rollcall with servers of its own, beside the one that a process is of."""

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from config.errors import Unavailable
from config.urls import check_redis, verified_postgresql

if TYPE_CHECKING:
    from config.runtime import Runtime

#: What the cell of a process itself is called, where it is one that serves people.
HOME = "home"

#: What another may be called.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,29}")

#: Bits of the number of an organisation that are below those of the cell which gave it.
CELL_BITS = 24

#: Seconds for which it is remembered where an organisation lives, and how many are. Who comes to the wrong cell is told
#: so there, so that this is about speed alone.
REMEMBERED_SECONDS, MOST_REMEMBERED = 60.0, 100_000

#: Seconds for which a cell that was away is asked nothing by what can wait.
AWAY_SECONDS = 10.0


@dataclass(frozen=True, slots=True, repr=False)
class CellServers:
    """The servers of a cell. They are not written out as other values are: their URLs have passwords."""

    database_url: str
    redis_url: str


def read_cells(text: str) -> dict[str, CellServers]:
    """The cells that `ROLLCALL_CELLS` names, as JSON or in a file of it. Raises ValueError, which quotes nothing."""
    if not text.lstrip().startswith("{"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise ValueError("is neither a JSON object nor a file that can be read") from None
    try:
        said = json.loads(text)
        named = {name: (urls["database"], urls["redis"]) for name, urls in said.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError('is not as {"north": {"database": "postgresql://…", "redis": "redis://…"}}') from None
    for name in named:
        if name == HOME or not _NAME.fullmatch(name):
            raise ValueError(f"names a cell {name!r}: up to 30 of a-z, 0-9 and -, from a letter on, and not {HOME}")
    return {name: _checked(name, *urls) for name, urls in named.items()}


def _checked(name: str, database_url: object, redis_url: object) -> CellServers:
    if not isinstance(database_url, str) or not isinstance(redis_url, str):
        raise ValueError(f"gives the cell {name} no URLs")  # noqa: TRY004 - it is what pydantic understands
    try:
        check_redis(redis_url)
        return CellServers(verified_postgresql(database_url), redis_url)
    except ValueError as problem:
        raise ValueError(f"of the cell {name}: {problem}") from None


class Cells:
    """The other cells that a process may go to; `connect` makes the engine of one when it is first asked for."""

    def __init__(self, servers: Mapping[str, CellServers], connect: Callable[[str], Engine]) -> None:
        self.servers = servers
        self._connect = connect
        self._open: dict[str, Runtime] = {}
        self._opening = Lock()
        self._places: dict[object, tuple[str, float]] = {}
        self._away_until: dict[str, float] = {}

    def like(self, connect: Callable[[str], Engine]) -> "Cells":
        """The same, by other connections."""
        return Cells(self.servers, connect)

    def at(self, here: "Runtime", name: str) -> "Runtime":
        """What works in a cell. Raises `Unavailable` where this process does not know it."""
        if name == HOME:
            return here
        if name not in self.servers:
            raise Unavailable(f"This process does not know the cell {name!r}: add it to its ROLLCALL_CELLS.")
        with self._opening:
            if name not in self._open:
                servers = self.servers[name]
                there = replace(
                    here.endpoints, database_url=servers.database_url, redis_url=servers.redis_url, pooler_url=""
                )
                engine = self._connect(servers.database_url)
                self._open[name] = replace(here, endpoints=there, engine=engine, cells=None)
        return self._open[name]

    def remembered(self, organisations: Iterable[object]) -> dict[object, str]:
        """Where these live, as far as that is remembered; by id or number."""
        now = time.monotonic()
        found = {one: self._places.get(one, ("", 0.0)) for one in organisations}
        return {one: cell for one, (cell, until) in found.items() if until > now}

    def remember(self, places: Mapping[object, str]) -> None:
        """Remember where these live."""
        if len(self._places) + len(places) > MOST_REMEMBERED:
            self._places.clear()
        until = time.monotonic() + REMEMBERED_SECONDS
        self._places.update({one: (cell, until) for one, cell in places.items()})

    def is_away(self, name: str) -> bool:
        """Whether a cell was away a moment ago."""
        return self._away_until.get(name, 0.0) > time.monotonic()

    def went_away(self, name: str) -> None:
        """Ask nothing of a cell for a while that can wait."""
        self._away_until[name] = time.monotonic() + AWAY_SECONDS

    def close(self) -> None:
        """Close the connections."""
        for there in self._open.values():
            there.engine.dispose()
