"""Processes over servers of the test's own."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from config.engine import make_engine
from config.runtime import Runtime
from tests.mailserver import MailServer
from tests.workers.deployment import Deployment, Valkey
from tests.workers.recorder import Recorder, recording
from tests.world import World


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A Valkey that the test may empty, restart and stop."""
    with tempfile.TemporaryDirectory(prefix="rollcall-") as folder:  # a socket's path must be short
        server = Valkey(Path(folder))
        yield server
        server.stop()


@pytest.fixture
def platform(runtime: Runtime, valkey: Valkey, mail_server: MailServer) -> Iterator[World]:
    """A platform with one organisation, over the test's own Valkey."""
    endpoints = replace(runtime.endpoints, redis_url=valkey.url)
    engine = make_engine(endpoints.database_url, role="test")
    deployment_runtime = Runtime(runtime.settings, endpoints, engine)
    client = Deployment(deployment_runtime, runtime.home).redis
    world = World(deployment_runtime, client, mail_server)
    world.has_organisation()
    yield world
    client.close()
    engine.dispose()


@pytest.fixture
def deployment(platform: World, tmp_path: Path) -> Iterator[Deployment]:
    """Rollcall's processes, none of them started; small pieces, so that there are many."""
    found = Deployment(platform.runtime, tmp_path, chunk=20, mail_batch=20, mail_group=10, ingress_batch=5)
    yield found
    found.stop()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A mail server that keeps when each message began."""
    with recording() as server:
        yield server


def crowd(platform: World, learners: int, recorder: Recorder) -> Runtime:
    """The organisation has so many learners; what a process works with that sends to the recorder."""
    platform.execute(
        """
        INSERT INTO learners (organisation, learner, id, standing, version, email)
        SELECT 1, n, 'L' || n, 'active', 0, 'l' || n || '@acme.example' FROM generate_series(1, :n) n
        """,
        n=learners,
    )
    platform.execute("UPDATE organisations SET learners = :n", n=learners)
    endpoints = replace(platform.runtime.endpoints, smtp_url=recorder.url)
    return Runtime(platform.runtime.settings, endpoints, platform.runtime.engine)
