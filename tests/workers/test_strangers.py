"""What anybody on the network can send to the pages: it wears nothing out, and whoever is known is served. R31."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import uvicorn
from starlette.responses import Response

from config.settings import Settings
from tasks.mail.composing.links import Links
from tests.mailserver import free_port
from tests.workers.deployment import Deployment, until
from tests.workers.posting import EVENT, Platform, signed
from tests.workers.serving import answers, served
from tests.world import World
from workers.web import connections
from workers.web.connections import Gatekeeper

#: Files that the pages may have open here, fewer than there are strangers.
FILES = 256

#: Strangers who say nothing, and strangers who begin to say something.
STRANGERS, DRIBBLING = 260, 210


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A connection to the pages, from an address of this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))


def said(line: socket.socket) -> bytes:
    """All that is answered, until the other side hangs up."""
    try:
        return b"".join(iter(lambda: line.recv(65536), b""))
    except ConnectionResetError:
        return b""


def head(*headers: str, request: str = "POST /events HTTP/1.1") -> bytes:
    """The head of a request."""
    return "\r\n".join([request, "Host: x", *headers, "", ""]).encode()


def forged(length: int = 1000) -> bytes:
    """The head of a post with a signature that looks like one, so that it is known only by the body."""
    names = {"Content-Type": EVENT, "Content-Length": str(length), **signed(b"", b"a guess")}
    return head(*(f"{name}: {text}" for name, text in names.items()))


def test_r31_strangers_who_say_nothing_and_strangers_who_dribble_keep_nobody_out(
    platform: World, tmp_path: Path
) -> None:
    port = free_port()
    endpoints = replace(platform.runtime.endpoints, public_url=f"http://127.0.0.1:{port}")
    deployment = Deployment(replace(platform.runtime, endpoints=endpoints), tmp_path, web_port=port)
    platform.has_learners("A")
    links = Links(endpoints.public_url, [endpoints.secret_key])
    found = platform.rows("SELECT organisation, learner FROM learners")[0]
    link = urlsplit(links.base + links.token(*found)).path
    unsigned = head(f"Content-Type: {EVENT}", "Content-Length: 9")
    everywhere = [f"127.0.{n % 5}.{n % 250 + 1}" for n in range(STRANGERS)]

    def known(n: int) -> list[int]:
        client = Platform(endpoints.public_url)
        body = platform.event("learner.saved", platform.learner(f"L{n}"))
        asked = [client.post(body), *(client.send(None, {}, method="GET", path=path) for path in ("/healthz", link))]
        client.close()
        return [answer.status for answer in asked]

    try:
        deployment.start("web", files=FILES)
        until(lambda: answers(port), "the pages are served")
        web = psutil.Process(deployment.processes["web"].pid)
        seen = []
        for n, (first, sources) in enumerate(
            [
                (b"", ["127.0.0.1"] * STRANGERS),
                (b"", everywhere),
                (b"POST /events HT", everywhere[:DRIBBLING]),
                (unsigned + b"x", ["127.0.0.1"] * DRIBBLING),
                (forged() + b"x", ["127.0.0.1"] * DRIBBLING),
                (forged() + b"x", everywhere[:DRIBBLING]),
                (head("Content-Length: 90", request=f"POST {link} HTTP/1.1") + b"x", everywhere[:DRIBBLING]),
            ]
        ):
            with ExitStack() as open_:
                for source in sources:
                    line = open_.enter_context(connect(port, source))
                    with suppress(OSError):  # it was closed, which is as well
                        line.sendall(first)
                seen.append(known(n))
                assert web.num_fds() <= FILES - 32
        assert seen == [[202, 200, 200]] * len(seen)
        assert web.is_running()
    finally:
        deployment.stop()
    assert "out of system resource" not in deployment.log("web")


#: Requests that one reader takes to end where another goes on, and others that are none.
AMBIGUOUS = [
    head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    head("Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n",
    head("Content-Length: 5", "Content-Length: 5") + b"12345",
    head("Content-Length: 5", "Content-Length: 6") + b"12345",
    head("Content-Length: 5, 5") + b"12345",
    head("Content-Length: +5") + b"12345",
    head("Content-Length: 0x5") + b"12345",
    head("Content-Length: ") + b"12345",
    head("Content-Length: " + "9" * 30) + b"12345",
    head("Content-Length : 5") + b"12345",
    head("Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    head("Transfer-Encoding: identity") + b"0\r\n\r\n",
    head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    head("Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    head("Transfer-Encoding:\x0bchunked") + b"0\r\n\r\n",
    head("Transfer-Encoding: chunked", request="POST /events HTTP/1.0") + b"0\r\n\r\n",
    head("X: y", " Content-Length: 5") + b"12345",
    head("X: y", "\tz: 5"),
    head("X: a\0b"),
    head("X: a\rb"),
    head("Bad Name: b"),
    head(": b"),
    head("Host: y"),
    head("Transfer-Encoding: chunked").replace(b"\r\n", b"\n") + b"0\n\n",
    head("X: y").replace(b"X: y\r\n", b"X: y\n"),
    head(*(f"X{n}: y" for n in range(connections.MOST_HEADERS))),
    head("X: " + "y" * connections.LONGEST_HEADERS),
    head(request="POST  /events HTTP/1.1"),
    head(request="POST /events HTTP/2.0"),
    head(request="POST /events"),
    b"GET /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
]

#: Bodies in chunks that are no chunks, or of which reading costs more than sending.
CRUMBS = [
    b"1\r\nx\r\n" * 3000,
    b"5;a=b\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloXX0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"5" * 40 + b"\r\nhello\r\n",
    b"1;" + b"x" * 70_000,
    b"0\r\n" + b"X: y\r\n" * 9000,
]


class TestOverAWire:
    """One connection at a time."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"rollcall_events_bytes": 200_000, "rollcall_events_seconds": 0.4})

    @pytest.fixture
    def port(self, world: World) -> Iterator[int]:
        with served(world.runtime) as runtime:
            port = urlsplit(runtime.endpoints.public_url).port
            assert port
            yield port

    def test_a_request_that_could_be_read_in_two_ways_is_refused_and_what_follows_it_is_not_read(
        self, port: int
    ) -> None:
        for octets in AMBIGUOUS:
            with connect(port) as line:
                line.sendall(octets + head(request="GET /healthz HTTP/1.1"))
                answer = said(line)

            assert answer.startswith(b"HTTP/1.1 400 "), octets
            assert b"\r\nconnection: close\r\n" in answer.lower()
            assert answer.count(b"HTTP/1.1 ") == 1, octets

    def test_a_body_whose_chunks_are_no_chunks_or_crumbs_is_refused(self, port: int) -> None:
        known = "".join(f"{name}: {text}\r\n" for name, text in signed(b"", b"a guess").items())
        for body in CRUMBS:
            with connect(port) as line:
                line.sendall(head("Transfer-Encoding: chunked", f"Content-Type: {EVENT}", known.rstrip()))
                with suppress(OSError):
                    line.sendall(body)
                answer = said(line)

            assert answer == b"" or answer.startswith(b"HTTP/1.1 400 "), body[:20]

    def test_requests_that_follow_each_other_at_once_are_answered_in_order(self, port: int) -> None:
        with connect(port) as line:
            paths = ("/healthz", "/nothing", "/healthz")
            last = head("Connection: close", request="GET /metrics HTTP/1.1")
            line.sendall(b"".join(head(request=f"GET {path} HTTP/1.1") for path in paths) + last)
            answer = said(line)

        statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"404", b"200", b"200"]

    def test_a_target_may_be_absolute(self, port: int) -> None:
        targets = (
            "http://x/healthz",
            "HTTP://x:80/healthz?all",
            "http://x",
            "http://x/http://y/healthz",
            "ftp://x/healthz",
        )
        with connect(port) as line:
            last = head("Connection: close", request="GET https://[::1]:8/metrics HTTP/1.1")
            line.sendall(b"".join(head(request=f"GET {target} HTTP/1.1") for target in targets) + last)
            answer = said(line)

        statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"200", b"404", b"404", b"404", b"200"]

    def test_whoever_is_not_signed_is_told_before_the_body_is_waited_for(self, port: int) -> None:
        with connect(port) as line:
            line.sendall(head(f"Content-Type: {EVENT}", "Content-Length: 150000", "Expect: 100-continue"))
            assert line.recv(65536).startswith(b"HTTP/1.1 401 ")

    @pytest.mark.parametrize(
        ("constant", "octets", "answer"),
        [
            ("HEAD", b"", b""),
            ("HEAD", b"POST /events HT", b"HTTP/1.1 408 "),
            ("REQUEST", head(request="GET /nothing HTTP/1.1"), b"HTTP/1.1 404 "),
            ("REST", head("Content-Length: 9") + b"x", b"HTTP/1.1 415 "),
            ("REST", head("Content-Length: 9", request="GET /healthz HTTP/1.1") + b"x", b"HTTP/1.1 200 "),
        ],
    )
    def test_whoever_owes_something_is_waited_for_and_then_hung_up_on(
        self, port: int, constant: str, octets: bytes, answer: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        owed = connections._Owed[constant]
        with monkeypatch.context() as soon:
            soon.setitem(connections._SECONDS, owed, 0.05)
            with connect(port) as line:
                line.sendall(octets)
                found = said(line)

        assert found.startswith(answer)
        assert (found == b"") == (answer == b"")


@pytest.mark.serves
def test_whoever_reads_no_answers_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_SECONDS", 0.05)
    port, door = free_port(), Gatekeeper(10)

    async def page(scope: Any, _receive: Any, send: Any) -> None:
        await Response(b"x" * 20_000_000)(scope, _receive, send)

    http: Any = door.protocol
    server = uvicorn.Server(uvicorn.Config(page, port=port, http=http, ws="none", lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: answers(port), "the page is served")
        with connect(port) as line:
            until(lambda: len(door.inside) == 1, "the connection is the only one")
            line.sendall(head(request="GET / HTTP/1.1"))
            until(lambda: not door.inside, "the connection is closed")
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def behind_a_proxy(world: World, proxies: str | None) -> Iterator[int]:
    settings = world.runtime.settings.model_copy(update={"rollcall_web_proxies": proxies})
    with served(replace(world.runtime, settings=settings)) as runtime:
        port = urlsplit(runtime.endpoints.public_url).port
        assert port
        yield port


@pytest.mark.parametrize(("proxies", "gave_way"), [("127.0.0.0/8", "stranger"), (None, "platform")])
def test_whom_a_proxy_speaks_for_is_believed_of_named_proxies_alone(
    world: World, proxies: str | None, gave_way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.web.bodies.MOST", 4)  # of which one address may have two

    with behind_a_proxy(world, proxies) as port, ExitStack() as open_:
        lines = {}
        for name, address in (("platform", "192.0.2.7"), ("stranger", "198.51.100.1"), ("another", "198.51.100.1")):
            lines[name] = open_.enter_context(waited_for(port, f"203.0.113.9, {address}"))
        open_.enter_context(waited_for(port, "198.51.100.1"))

        assert said(lines.pop(gave_way)).startswith(b"HTTP/1.1 503 ")
        if "platform" in lines:
            lines["platform"].setblocking(False)
            with pytest.raises(BlockingIOError):
                lines["platform"].recv(1)


def waited_for(port: int, forwarded: str) -> socket.socket:
    """A post of which the pages wait for the body."""
    line = connect(port)
    line.sendall(forged()[:-2] + f"X-Forwarded-For: {forwarded}\r\nExpect: 100-continue\r\n\r\n".encode())
    assert line.recv(65536).startswith(b"HTTP/1.1 100 ")
    return line
