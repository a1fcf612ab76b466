"""Two cells: the one of every test, which is home, and `north`, with a database and a Redis of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from config.cells import Cells, CellServers
from config.embedded import Embedded
from config.engine import make_engine
from config.streams import make_redis
from tests.conftest import WORKER
from tests.databases import Databases, database_named
from tests.world import World
from workers import moving


@dataclass
class TwoCells:
    """Home, whose doors know the way to `north`, and `north` by itself."""

    home: World
    north: World

    def where(self, organisation: str) -> list[str]:
        """The cells in which there is this organisation."""
        asked = "SELECT count(*) FROM organisations WHERE id = :id"
        return [name for name in ("home", "north") if getattr(self, name).ask(asked, id=organisation)]


@pytest.fixture
def used_before() -> bool:
    """The numbers of a cell come from other ranges than a copy's."""
    return False


@pytest.fixture
def two_cells(world: World, servers: Embedded, _databases: Databases) -> Iterator[TwoCells]:
    """Both, with nothing in `north`."""
    redis_url = f"{(servers.redis_url or '').partition('?')[0]}?db={8 + int(WORKER.removeprefix('gw'))}"
    with _databases.fresh() as name, make_redis(redis_url) as client:
        client.flushdb()
        url = database_named(servers, name)
        cells = Cells({"north": CellServers(url, redis_url)}, lambda url: make_engine(url, role="test"))
        here = replace(world.runtime, cells=cells)
        there = cells.at(here, "north")
        north = World(there, client, world.mail)
        with there.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE mail_control SET installation = gen_random_uuid()")
        moving.add(here, "north")
        world.runtime = here
        yield TwoCells(world, north)
        cells.close()
