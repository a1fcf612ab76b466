"""A mail worker that is told to stop: what it has begun is finished, and nothing else is begun. R18, R19, R20."""

import signal
import threading

import pytest

from tests.workers.deployment import Deployment, until
from tests.world import World

LEARNERS = 40


@pytest.mark.slow
def test_r19_a_worker_that_is_stopped_finishes_the_messages_it_has_begun(
    platform: World, deployment: Deployment
) -> None:
    asked, free = threading.Event(), threading.Event()

    def keep_back(_address: str) -> None:
        asked.set()
        free.wait(20)

    platform.mail.before_answer = keep_back
    platform.has_learners(*(f"L{n}" for n in range(LEARNERS)))
    platform.announces()
    deployment.start("relay", "tasks", "bulk")
    until(asked.is_set, "a message that the server has and does not answer")

    worker = deployment.processes.pop("bulk")
    worker.send_signal(signal.SIGTERM)
    until(lambda: "pool.stopping" in deployment.log("bulk"), "the worker to be told")
    assert worker.poll() is None, "it waits for the answer"
    free.set()

    assert worker.wait(20) == 0
    begun = len(platform.mail.taken)
    assert 0 < begun < LEARNERS
    counts = platform.progress("news")
    assert (counts.accepted, counts.uncertain, counts.pending) == (begun, 0, LEARNERS - begun)

    deployment.start("bulk")
    until(lambda: platform.progress("news").state == "finished", "the rest")
    assert len(set(platform.mail.recipients)) == len(platform.mail.recipients) == LEARNERS
