"""How often the way of one event waits for a server: each wait costs as long as the way there and back takes."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

from config.engine import make_engine
from config.runtime import Runtime
from config.streams import GROUP, IN, make_redis
from tests.scale.wire import Wire, wire
from tests.world import World
from workers import ingress
from workers.relay.publish import Publish

#: Waits of a lone course start, from its reading to its acknowledgement, and until what it consumed is published: fewer
#: than there are if its transaction is not pipelined.
MOST = 18

#: Starts before the one that is counted: by then connections are made and statements prepared.
BEFORE = 12


def _postgresql(url: str) -> Callable[[], socket.socket]:
    said = conninfo_to_dict(url)
    host, port = str(said["host"]), said.get("port") or 5432

    def reach() -> socket.socket:
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        reached = socket.socket(socket.AF_UNIX)
        reached.connect(f"{host}/.s.PGSQL.{port}")
        return reached

    return reach


def _valkey(url: str) -> Callable[[], socket.socket]:
    said = urlsplit(url)

    def reach() -> socket.socket:
        if said.scheme != "unix":
            return socket.create_connection((said.hostname or "127.0.0.1", said.port or 6379))
        reached = socket.socket(socket.AF_UNIX)
        reached.connect(said.path)
        return reached

    return reach


@contextmanager
def on_wires(runtime: Runtime) -> Iterator[tuple[Runtime, list[Wire]]]:
    """The same servers, each behind a wire."""
    database, queue = runtime.endpoints.database_url, runtime.endpoints.redis_url
    said = conninfo_to_dict(database)
    with wire(_postgresql(database)) as first, wire(_valkey(queue)) as second:
        name = said["dbname"]
        database = f"postgresql://{said['user']}@127.0.0.1:{first.port}/{name}?sslmode=disable&gssencmode=disable"
        queue = f"redis://127.0.0.1:{second.port}/0?{urlsplit(queue).query}"
        endpoints = replace(runtime.endpoints, database_url=database, redis_url=queue)
        engine = make_engine(database, role="test")
        yield replace(runtime, endpoints=endpoints, engine=engine), [first, second]
        engine.dispose()


def test_r31_a_lone_start_waits_for_servers_a_few_times_only(world: World) -> None:
    learners = [f"L{n}" for n in range(BEFORE + 1)]
    world.has_learners(*learners)
    world.has_course("safety", "everyone")
    world.settle()
    with on_wires(world.runtime) as (runtime, wires):
        client, publish = make_redis(runtime.endpoints.redis_url), Publish(runtime)
        ingress.ensure_group(client)

        def start(learner: str) -> int:
            said = {"learner": learner, "course": "safety", "cycle": 1}
            world.redis.xadd(IN, {"event": world.event("course.started", said)})
            before = sum(one.waits for one in wires)
            found: Any = client.xreadgroup(GROUP, "reader", {IN: ">"}, count=500)
            ingress._process_entries(runtime, client, found[0][1])
            publish.do()
            return sum(one.waits for one in wires) - before

        waits = [start(learner) for learner in learners]

    assert len(world.out("seat.consumed")) == BEFORE + 1, "every start was counted, and told"
    assert world.quarantine() == {}
    assert waits[-1] <= MOST
