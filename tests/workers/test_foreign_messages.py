"""What is in a queue and none of ours: dropped with a line in the log, and never in the way of what is. Part of R31."""

import json
import subprocess
import sys

from structlog.testing import capture_logs

from tests.workers.deployment import Deployment, until
from tests.world import World
from workers import queues

QUEUE = queues.key("mail")


def message(**fields: object) -> bytes:
    """A message as dramatiq writes it, with some fields of the test's own."""
    usual = {
        "queue_name": "mail",
        "actor_name": "mail.deliver",
        "args": [1, 4711],
        "kwargs": {},
        "options": {"redis_message_id": "1"},
        "message_id": "1",
        "message_timestamp": 1,
    }
    return json.dumps(usual | fields).encode()


FOREIGN = {
    "wrong queue": message(queue_name="tasks"),
    "no queue": message(queue_name=None),
    "unknown actor": message(actor_name="mail.nothing"),
    "private actor": message(actor_name="__init__"),
    "garbage": b"\x00\xff\xfe garbage",
    "nothing": b"",
    "no object": b"[1, 2, 3]",
    "too few arguments": message(args=[1]),
    "too many arguments": message(args=[1, 2, 3]),
    "words for arguments": message(args=["one", "two"]),
    "fractions for arguments": message(args=[1.5, 2]),
    "an object for arguments": message(args={"organisation": 1}),
    "numbers no column holds": message(args=[2**31, 2**63]),
    "numbers no machine word holds": message(args=[10**40, 10**4000]),
    "negative numbers": message(args=[-1, -1]),
    "nested deeply": b"[" * 200_000,
    "huge": message(kwargs={"x": "x" * 5_000_000}, queue_name="tasks"),
}

#: Of ours, but for what is not looked at.
ODD = {
    "due in the future": message(options={"eta": 10**15}),
    "a pipe": message(options={"pipe_target": {"queue_name": "tasks"}, "pipe_ignore": 3}),
    "keywords": message(kwargs={"organisation": 2}),
    "a piece that there is not": message(),
}


def test_r31_foreign_messages_are_dropped_and_hold_up_nothing(platform: World, deployment: Deployment) -> None:
    for data in (*FOREIGN.values(), *ODD.values()):
        deployment.redis.rpush(QUEUE, data)
    for number, data in enumerate(FOREIGN.values()):  # as dramatiq's own broker keeps them
        deployment.redis.hset(f"{QUEUE}.msgs", f"id{number}", data)
        deployment.redis.rpush(QUEUE, f"id{number}")
    platform.has_learners("A")

    deployment.start("relay", "tasks", "mail")
    platform.has_course("safety")
    platform.asks_to_enrol("safety", "A")

    until(lambda: len(platform.mail.taken) == 1, "the notice")
    until(lambda: deployment.redis.llen(QUEUE) == 0, "an empty queue")
    assert deployment.processes["mail"].poll() is None, "the same process"
    dropped = [line for line in deployment.log("mail").splitlines() if "queue.message_dropped" in line]
    assert len(dropped) == queues.MOST_TOLD, "a flood does not fill the log"
    assert "Traceback" not in deployment.log("mail")


def test_of_a_flood_the_log_has_some_lines_a_minute_and_a_count() -> None:
    now = 1000.0
    with capture_logs() as said:
        dropped = queues.Dropped("mail", lambda: now)
        for _ in range(5000):
            dropped.add(7)
        assert [line["event"] for line in said] == ["queue.message_dropped"] * queues.MOST_TOLD

        now += 60
        dropped.log_count()
        dropped.log_count()
        dropped.add(7)

    assert said[queues.MOST_TOLD]["more"] == 5000 - queues.MOST_TOLD
    assert [line["event"] for line in said[queues.MOST_TOLD :]] == ["queue.messages_dropped", "queue.message_dropped"]


def test_what_is_no_queue_is_replaced_by_one(platform: World, deployment: Deployment) -> None:
    platform.redis.set(QUEUE, "no list")
    platform.has_learners("A")
    deployment.start("relay", "tasks", "mail")
    platform.has_course("safety")
    platform.asks_to_enrol("safety", "A")

    until(lambda: len(platform.mail.taken) == 1, "the notice")


def test_a_queue_that_nobody_reads_does_not_grow_for_ever(redis_url: str) -> None:
    broker = queues.Broker(redis_url)
    messages = [queues.message_for("bulk", "mail.deliver", 1, n) for n in range(1, queues.MOST + 500)]

    broker.wake("bulk", messages)

    assert broker.client.llen(queues.key("bulk")) == queues.MOST
    broker.client.close()


#: A pool in which the first thread that has done something dies of it.
MORTAL = """
import sys
from workers import cli, queues

def die(self, message):
    raise KeyboardInterrupt("a name that no log may have")

queues.Consumer.ack = queues.Consumer.nack = die
sys.argv = ["rollcall", "run", "pool", "mail"]
cli.main()
"""


def test_a_process_whose_thread_has_died_ends_itself(platform: World, deployment: Deployment) -> None:
    deployment.redis.rpush(QUEUE, message())

    ended = subprocess.run(
        [sys.executable, "-c", MORTAL], env=deployment.env, capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 1
    assert "process.thread_died" in ended.stderr
    assert "a name that no log may have" not in ended.stderr
