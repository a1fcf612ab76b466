"""/healthz and /metrics while something is wrong."""

import json
import threading
import urllib.error
import urllib.request
from dataclasses import replace

from config.runtime import Runtime
from tests.mailserver import free_port
from tests.workers.deployment import Valkey, until
from tests.world import World
from workers.web import app


def test_healthz_says_what_is_away(platform: World, valkey: Valkey) -> None:
    port = free_port()
    settings = platform.runtime.settings.model_copy(update={"rollcall_web_port": port})
    runtime: Runtime = replace(platform.runtime, settings=settings)
    server = threading.Thread(target=app.run, args=(runtime,))
    server.start()
    try:
        until(lambda: _health(port) == (200, {"database": True, "redis": True}), "a healthy answer")
        valkey.stop()
        assert _health(port) == (503, {"database": True, "redis": False})
    finally:
        runtime.stopping.set()
        server.join(10)
    assert not server.is_alive()


def _health(port: int) -> tuple[int, object]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20) as page:
            return page.status, json.loads(page.read())
    except urllib.error.HTTPError as problem:
        return problem.code, json.loads(problem.read())
    except OSError:
        return 0, None
