"""Malformed and hostile inputs over both ways in: each answered or quarantined, none with an effect. R6, R31, R32.

`make chaos` has a hundred thousand of them, and looks at the memory of real processes.
"""

import threading
from dataclasses import replace
from itertools import islice

from config.streams import GROUP, IN
from tests.events.hostile import inputs
from tests.workers.deployment import until
from tests.workers.hostility import fits, furnish, kept, known_things, post
from tests.workers.posting import Platform
from tests.workers.serving import served
from tests.world import World
from workers import ingress


def test_r32_hostile_inputs_are_answered_or_quarantined_and_have_no_effect(world: World) -> None:
    furnish(world)
    before = known_things(world)
    streamed = list(islice(inputs(1, posted=False), 1000))
    posted = list(islice(inputs(2, posted=True), 500))
    reader = replace(world.runtime, stopping=threading.Event())
    with world.redis.pipeline(transaction=False) as pipe:
        for one in streamed:
            pipe.xadd(IN, {"event": one.body})
        pipe.execute()

    reading = threading.Thread(target=ingress.run, args=(reader,))
    with served(world.runtime) as runtime:
        reading.start()
        platform = Platform(runtime.endpoints.public_url)
        answers = [post(platform, one) for one in posted]
        platform.close()
        until(lambda: not world.redis.xpending(IN, GROUP)["pending"] and read(world) == 1000, "the stream is read")
        reader.stopping.set()
        reading.join(10)

    assert [(one.kind, status) for one, status in zip(posted, answers, strict=True) if not fits(one, status)] == []
    assert world.ask("SELECT count(*) FROM inbox WHERE state IN ('waiting', 'quarantined')") == len(
        kept(streamed, posted)
    )
    world.settle()
    assert known_things(world) == before
    assert max(len(str(event)) for event in world.out()) < 8000


def read(world: World) -> int:
    """How many entries of the stream were read."""
    (group,) = world.redis.xinfo_groups(IN)
    return int(group["entries-read"])
