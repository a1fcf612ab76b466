"""R6, R31, R32: a hundred thousand malformed and hostile inputs over both ways in, to processes as they run: none of
them crashes, nothing has an effect, each is answered or quarantined, and memory stays flat."""

import os
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

import psutil

from bench.system import Process, System, wait_until
from config.engine import make_engine
from config.runtime import Endpoints, Runtime
from config.settings import Settings
from config.streams import GROUP, IN
from tasks.system import unread
from tests import mailserver
from tests.chaos.conftest import say
from tests.events.hostile import Hostile, inputs
from tests.mailserver import free_port
from tests.workers.hostility import fits, furnish, kept, known_things, post
from tests.workers.posting import Platform
from tests.workers.serving import answers
from tests.world import World

#: Inputs in all, and of ten how many are posted; fewer show that it runs.
INPUTS = int(os.environ.get("CHAOS_INPUTS", "100000"))
POSTED_OF_TEN = 3

#: Platforms that post at once.
PLATFORMS = 4

#: How much more memory a process may have at the end than after the first tenth.
FLAT = 1.1

KEY = bytes(range(32))


@contextmanager
def processes(on: System) -> Iterator[tuple[World, dict[str, Process], str]]:
    """A world on durable servers, and the processes of both ways in."""
    server, controller = mailserver.start()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    told = {
        "ROLLCALL_WEB_PORT": str(port),
        "ROLLCALL_EVENTS_KEY": f"whsec_{b64encode(KEY).decode()}",
        "REDIS_URL": on.redis_url,
    }
    on.redis.flushall()
    with on.database("hostile", 100) as database:
        endpoints = Endpoints(database.url, on.redis_url, server.url, "Acme <a@rollcall.example>", url, "a key")
        engine = make_engine(database.url, role="chaos")
        world = World(Runtime(Settings(rollcall_home=on.home), endpoints, engine), on.redis, server)
        furnish(world)
        with (
            on.process(database, "ingress", ("ingress",), told) as ingress,
            on.process(database, "web", ("web",), told) as web,
        ):
            wait_until(lambda: ingress.ready() and answers(port), "both ways in")
            yield world, {"ingress": ingress, "web": web}, url
        engine.dispose()
    controller.stop()


def test_r32_a_hundred_thousand_hostile_inputs_change_nothing_and_nobody(on: System) -> None:
    posted_in_all = INPUTS * POSTED_OF_TEN // 10
    streamed = list(islice(inputs(1, posted=False), INPUTS - posted_in_all))
    posted = list(islice(inputs(2, posted=True), posted_in_all))
    with processes(on) as (world, running, url):
        before = known_things(world)
        pids = {name: process.popen.pid for name, process in running.items()}
        first, then = len(streamed) // 10, len(posted) // 10
        statuses = send(world, url, streamed[:first], posted[:then])
        at_first = {name: resident(pid) for name, pid in pids.items()}
        statuses += send(world, url, streamed[first:], posted[then:])
        at_last = {name: resident(pid) for name, pid in pids.items()}
        world.settle()  # what one way in could not have at once, as the other had its organisation, is left as work

        assert {name: process.popen.poll() for name, process in running.items()} == {"ingress": None, "web": None}
        held = int(world.ask("SELECT count(*) FROM inbox WHERE state IN ('waiting', 'quarantined')"))
        largest = int(world.ask("SELECT max(octet_length(CAST(data AS text))) FROM outbox"))
        after = known_things(world)
    tell(len(streamed), statuses, held, at_first, at_last)

    wrong = [(one.kind, status) for one, status in zip(posted, statuses, strict=True) if not fits(one, status)]
    assert Counter(wrong) == Counter()
    assert held == len(kept(streamed, posted))
    assert after == before
    assert largest < 8000
    assert {name: at_last[name] / at_first[name] for name in pids if at_last[name] > FLAT * at_first[name]} == {}


def send(world: World, url: str, streamed: Sequence[Hostile], posted: Sequence[Hostile]) -> list[int]:
    """Send inputs over both ways at once; what was answered to those that were posted, once all were read."""

    def stream() -> None:
        for first in range(0, len(streamed), 1000):
            with world.redis.pipeline(transaction=False) as pipe:
                for one in streamed[first : first + 1000]:
                    pipe.xadd(IN, {"event": one.body})
                pipe.execute()

    def post_all(part: Sequence[Hostile]) -> list[int]:
        platform = Platform(url)
        try:
            return [post(platform, one, KEY) for one in part]
        finally:
            platform.close()

    streaming = threading.Thread(target=stream)
    streaming.start()
    size = -(-len(posted) // PLATFORMS)
    parts = [posted[first : first + size] for first in range(0, len(posted), size)]
    with ThreadPoolExecutor(PLATFORMS) as threads:
        statuses = [status for part in threads.map(post_all, parts) for status in part]
    streaming.join()
    wait_until(lambda: not unread(world.redis) and not world.redis.xpending(IN, GROUP)["pending"], "all to be read")
    return statuses


def resident(pid: int) -> int:
    """The memory of a process, in octets."""
    return int(psutil.Process(pid).memory_info().rss)


def tell(streamed: int, statuses: list[int], held: int, first: dict[str, int], last: dict[str, int]) -> None:
    """Say what was sent, what came of it and what memory it took."""
    answered = ", ".join(f"{n:,} × {status}" for status, n in sorted(Counter(statuses).items()))
    memory = "; ".join(f"{name} {first[name] / 1e6:.0f} MB, then {last[name] / 1e6:.0f} MB" for name in first)
    say(
        f"hostile inputs: {streamed:,} on the stream, {len(statuses):,} posted ({answered}); {held:,} different ones"
        f" kept; memory after a tenth and at the end: {memory}"
    )
