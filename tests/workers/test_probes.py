"""Whoever probes a process that answers nothing else hears whether it goes on and whether it can work."""

import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tasks import fleet
from tests.mailserver import free_port
from tests.workers.deployment import Deployment, Valkey, until
from tests.world import World
from workers import probes, readiness
from workers.presence import SILENT_SECONDS, Presence


def ask(port: int, path: str) -> tuple[int, list[str]]:
    """The answer to a probe, and why."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=20) as page:
            return page.status, json.loads(page.read()).get("why", [])
    except urllib.error.HTTPError as problem:
        return problem.code, json.loads(problem.read()).get("why", [])


def test_a_pool_answers_probes(platform: World, valkey: Valkey) -> None:
    now, port = [0.0], free_port()
    settings = platform.runtime.settings.model_copy(update={"rollcall_probe_port": port})
    runtime = replace(platform.runtime, settings=settings)
    presence = Presence(runtime, fleet.ProcessRole.POOL, ["mail"], clock=lambda: now[0])
    with probes.answering(runtime, presence, needs_redis=True):
        assert ask(port, "livez") == ask(port, "readyz") == (200, [])
        assert ask(port, "elsewhere") == (404, [])
        now[0] += SILENT_SECONDS
        assert ask(port, "livez") == (503, ["It has done nothing for 120 s."])
        presence.lives()
        assert ask(port, "livez") == (200, [])
        valkey.stop()
        assert ask(port, "readyz") == (503, ["Redis cannot be used."])
        platform.execute("UPDATE alembic_version SET version_num = '9999', oldest = '9999'")
        assert "install the newer one" in ask(port, "readyz")[1][0]
        assert ask(port, "livez") == (200, [])
    until(lambda: _refused(port), "nobody answers any more")


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False


def test_a_port_that_is_taken_ends_the_process_with_one_line(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = world.runtime.settings.model_copy(update={"rollcall_probe_port": taken.getsockname()[1]})
        runtime = replace(world.runtime, settings=settings)
        presence = Presence(runtime, fleet.ProcessRole.POOL)
        with (
            pytest.raises(SystemExit, match="Probes cannot be answered"),
            probes.answering(runtime, presence, needs_redis=False),
        ):
            pass


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What listens as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


@pytest.mark.serves
def test_systemd_is_told_that_a_process_is_ready_and_that_it_goes_on(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_told", -readiness.TELL_SECONDS)
    readiness.alive()
    readiness.report()
    assert systemd.recv(64) == b"READY=1", "it is not told of what it does not ask for"
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    readiness.alive()
    readiness.alive()
    assert systemd.recv(64) == b"WATCHDOG=1"
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(64)
    assert {*readiness.OF_SYSTEMD} >= {name for name in os.environ if name in {"NOTIFY_SOCKET", "WATCHDOG_USEC"}}


def test_every_process_tells_systemd_that_it_is_ready_and_goes_on(deployment: Deployment, tmp_path: Path) -> None:
    names = ["ingress", "relay", "tasks", "webhooks", "web", "bounces"]
    with ExitStack() as stack:
        listening = {name: stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) for name in names}
        for name, systemd in listening.items():
            systemd.bind(str(tmp_path / name))
            systemd.settimeout(60)
            deployment.env |= {"NOTIFY_SOCKET": str(tmp_path / name), "WATCHDOG_USEC": "150000000"}
            deployment.env |= {"ROLLCALL_WEB_PORT": str(free_port()), "ROLLCALL_BOUNCES_PORT": str(free_port())}
            deployment.start(name)

        said = {name: {systemd.recv(64), systemd.recv(64)} for name, systemd in listening.items()}

    assert said == {name: {b"READY=1", b"WATCHDOG=1"} for name in names}
