"""The pages while the database is busy, full or silent: whoever asks is told so soon, and when to come again. R33."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from config.database import execute, transaction, value
from config.runtime import Runtime
from tasks.mail.composing.links import Links
from tests.workers.posting import Answer, Platform
from tests.workers.serving import served
from tests.world import World
from workers.web.asking import Bulkhead

#: Seconds in which an answer is there, however slow the machine: a statement without a bound would wait for ever.
SOON = 20


class Wire:
    """A connection to PostgreSQL that can be made silent: nothing is closed, and nothing comes through."""

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        self._server = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://postgres@127.0.0.1:{self._listening.getsockname()[1]}{parts.path}"
        self._open = threading.Event()
        self._ends: list[socket.socket] = []
        self._open.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """Let nothing through from now on."""
        self._open.clear()

    def close(self) -> None:
        """Close every connection."""
        self._open.set()
        for end in (self._listening, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._listening.accept()
                theirs = socket.socket(socket.AF_UNIX)
                theirs.connect(self._server)
                self._ends += [ours, theirs]
                for source, sink in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while octets := source.recv(65536):
                self._open.wait()
                sink.sendall(octets)
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def over(world: World, url: str) -> Iterator[Runtime]:
    """The pages of a world, over another way to its database."""
    with served(replace(world.runtime, endpoints=replace(world.runtime.endpoints, database_url=url))) as runtime:
        yield runtime


def ask(runtime: Runtime, world: World, path: str) -> Answer:
    """Ask a page; `/events` is posted to."""
    client = Platform(runtime.endpoints.public_url)
    if path == "/events":
        answer = client.post(world.event("learner.saved", world.learner("A")))
    else:
        answer = client.send(None, {}, method="GET", path=path)
    client.close()
    return answer


def link(runtime: Runtime, world: World) -> str:
    found = world.rows("SELECT organisation, learner FROM learners")[0]
    links = Links(runtime.endpoints.public_url, [runtime.endpoints.secret_key])
    return urlsplit(links.base + links.token(*found)).path


def test_r33_what_waits_for_a_lock_is_told_to_come_again_however_many_ask(world: World) -> None:
    world.has_learners("A")
    with served(world.runtime) as runtime, ThreadPoolExecutor(40) as threads:
        paths = [link(runtime, world)] * 30 + ["/events"] * 10
        with transaction(world.runtime.engine) as connection:
            execute(connection, "LOCK TABLE learners, inbox, organisations IN ACCESS EXCLUSIVE MODE")
            found = list(threads.map(lambda path: ask(runtime, world, path), paths, timeout=SOON))
            healthy = ask(runtime, world, "/healthz")
        after = [ask(runtime, world, path) for path in ("/events", link(runtime, world))]

    assert {(answer.status, answer.headers["retry-after"]) for answer in found} == {(503, "2")}
    assert healthy.status == 200
    assert [answer.status for answer in after] == [202, 200]
    assert world.quarantine() == {}, "an event that waited for a lock is not at fault"


@pytest.mark.parametrize("silent_from_the_start", [True, False])
def test_r33_a_database_that_is_silent_is_waited_for_no_longer_than_a_person_waits(
    world: World, silent_from_the_start: bool
) -> None:
    world.has_learners("A")
    wire = Wire(world.runtime.endpoints.database_url)
    with over(world, wire.url) as runtime, ThreadPoolExecutor(20) as threads:
        paths = ["/events", "/healthz", "/metrics", link(runtime, world)]
        try:
            before = [] if silent_from_the_start else [ask(runtime, world, path).status for path in paths]
            wire.silence()
            found = list(threads.map(lambda path: ask(runtime, world, path), paths * 3, timeout=SOON))
        finally:
            wire.close()

    assert before in ([], [202, 200, 200, 200])
    statuses = {path: {found[at].status for at in range(n, 12, 4)} for n, path in enumerate(paths)}
    assert statuses.pop("/metrics") == {200}, "what does not need the database is told all the same"
    assert statuses == {path: {503} for path in statuses}


def test_r33_every_page_has_connections_of_its_own_on_which_statements_and_locks_have_bounds(world: World) -> None:
    bulkhead = Bulkhead(world.runtime, "test bulkhead", at_once=1, wait=1, seconds=1, statement=2.5)
    with transaction(bulkhead.runtime.engine) as connection:
        bounds = {name: value(connection, f"SHOW {name}") for name in ("statement_timeout", "lock_timeout")}
    bulkhead.runtime.engine.dispose()
    with served(world.runtime) as runtime:
        world.has_learners("A")
        for path in ("/events", "/healthz", "/metrics", link(runtime, world)):
            ask(runtime, world, path)
        names = world.list(
            "SELECT application_name FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'rollcall web%'"
        )

    assert bounds == {"statement_timeout": "2500ms", "lock_timeout": "1s"}
    assert sorted(names) == [f"rollcall web {page}" for page in ("healthz", "links", "metrics", "posts")]
