"""The ingress beside a test: R32, R33."""

import itertools
import threading

import pytest

from config.settings import Settings
from config.streams import GROUP, IN
from tests.workers.deployment import until
from tests.world import World
from workers import ingress


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Whoever is silent for long is dead."""
    return settings.model_copy(update={"rollcall_lease_seconds": 0.3})


def test_r33_what_a_dead_reader_left_is_taken_over_though_the_stream_is_never_quiet(platform: World) -> None:
    ingress.ensure_group(platform.redis)
    left = platform.event("learner.saved", platform.learner("left-behind"))
    platform.redis.xadd(IN, {"event": left})
    assert platform.redis.xreadgroup(GROUP, "dead", {IN: ">"})
    stop = platform.runtime.stopping

    def keep_busy() -> None:
        for n in itertools.count():
            platform.redis.xadd(IN, {"event": platform.event("learner.saved", platform.learner(f"L{n}"))})
            if stop.wait(0.01):
                return

    threads = [threading.Thread(target=keep_busy), threading.Thread(target=ingress.run, args=(platform.runtime,))]
    for thread in threads:
        thread.start()
    try:
        until(
            lambda: bool(platform.list("SELECT 1 FROM learners WHERE id = 'left-behind'")),
            "the event of the dead reader",
            seconds=10,
        )
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert platform.ask("SELECT count(*) FROM learners") > 1, "the stream was busy meanwhile"
