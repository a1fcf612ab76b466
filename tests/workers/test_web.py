"""/livez, /readyz, /healthz and /metrics, while something is wrong too."""

import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from contextlib import closing
from dataclasses import replace
from urllib.parse import urlsplit

from config.runtime import Runtime
from tests.mailserver import free_port
from tests.workers.deployment import Valkey, until
from tests.workers.serving import served
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
        assert _health(port, "readyz") == (503, {"ready": False, "why": ["Redis cannot be used."]})
        assert _health(port, "livez") == (200, {"live": True})
    finally:
        runtime.stopping.set()
        server.join(10)
    assert not server.is_alive()


def test_readyz_says_what_this_process_is_not_fit_for(world: World) -> None:
    with served(world.runtime) as runtime:
        port = urlsplit(runtime.endpoints.public_url).port or 0
        assert _health(port, "readyz") == (200, {"ready": True})

        world.execute("UPDATE alembic_version SET version_num = '9999', oldest = '9999'")
        until(lambda: _health(port, "readyz")[0] == 503, "the schema of a newer version is noticed")
        assert "install the newer one" in str(_health(port, "readyz")[1])
        assert _health(port, "livez") == (200, {"live": True})


def test_the_bare_address_sends_a_browser_on_to_the_console_and_is_nothing_to_others(world: World) -> None:
    behind = replace(world.runtime.endpoints, public_url="http://127.0.0.1/learning/rollcall")
    with served(replace(world.runtime, endpoints=behind), public=True) as runtime:
        port = runtime.settings.rollcall_web_port
        fronts = ("/", "/learning/rollcall", "/learning/rollcall/")
        for path, console in zip(fronts, ("console", "rollcall/console", "console"), strict=True):
            assert _front(port, path, "text/html,application/xhtml+xml,*/*;q=0.8") == (303, console)
            assert _front(port, path, "*/*") == (404, None)
        assert _front(port, "/learning/else", "text/html") == (404, None)


def _front(port: int, path: str, accept: str) -> tuple[int, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={"Accept": accept})
    with closing(connection), connection.getresponse() as answer:
        return answer.status, answer.getheader("Location")


def test_metrics_are_served_apart_from_the_pages_and_never_where_those_are_public(world: World) -> None:
    metrics = free_port()
    settings = world.runtime.settings.model_copy(update={"rollcall_metrics_port": metrics})
    with served(replace(world.runtime, settings=settings)) as runtime:
        here = urlsplit(runtime.endpoints.public_url).port or 0
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=20) as page:
            assert b"rollcall_up{" in page.read()
        assert _status(metrics, "healthz") == 404
        assert _status(here, "metrics") == 200, "that is this machine's"

    public = replace(runtime.endpoints, public_url="https://rollcall.acme.example")
    with served(replace(world.runtime, endpoints=public), public=True) as runtime:
        port = runtime.settings.rollcall_web_port
        assert (_status(port, "metrics"), _status(port, "livez")) == (404, 200)


def test_the_pages_are_served_even_if_the_address_of_the_metrics_is_taken(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = world.runtime.settings.model_copy(update={"rollcall_metrics_port": taken.getsockname()[1]})
        with served(replace(world.runtime, settings=settings)) as runtime:
            assert _status(runtime.settings.rollcall_web_port, "livez") == 200


def _status(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=20) as page:
            return int(page.status)
    except urllib.error.HTTPError as problem:
        return problem.code


def _health(port: int, path: str = "healthz") -> tuple[int, object]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=20) as page:
            return page.status, json.loads(page.read())
    except urllib.error.HTTPError as problem:
        return problem.code, json.loads(problem.read())
    except OSError:
        return 0, None
