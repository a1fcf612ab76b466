"""`GET access` at the door of every course: answered by the short way as by the long one."""

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

import psutil
import pytest

from config.lookups import Lookups
from config.runtime import Runtime
from config.words import as_json
from tasks.accounts import Role
from tasks.acts import access
from tasks.acts import accounts as token_acts
from tasks.acts.access import PairsAsked
from tasks.acts.acting import perform
from tests.api.conftest import ROOT, Client, Served
from tests.mailserver import free_port
from tests.workers.deployment import until
from tests.workers.serving import answers
from tests.world import World
from workers.web import app
from workers.web.connections import Conversation


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each question that went the short way."""
    asked: list[int] = []
    ask = Lookups.ask

    def noted(self: Lookups, *about: object) -> None:
        asked.append(1)
        ask(self, *about)  # type: ignore[arg-type]

    monkeypatch.setattr(Lookups, "ask", noted)
    return asked


def make(api: Served) -> str:
    """An organisation with a course that A may open and B may not; the token of a reader."""
    api.world.has_learners("A", "B", "a b/ü")
    api.world.has_course("safety", "everyone")
    api.world.becomes("inactive", "B")
    token = api.client(Role.READER).token
    assert token is not None
    return token


def said(port: int, *pieces: bytes) -> bytes:
    """All that is answered on one connection to what is sent, each piece once the one before is answered; without the
    dates."""
    found = b""
    with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        for piece in pieces:
            line.sendall(piece)
            found += one_answer(line, body=not piece.startswith(b"HEAD"))
    return re.sub(rb"date: [^\r]*\r\n", b"", found)


def one_answer(line: socket.socket, *, body: bool = True) -> bytes:
    """The next answer, to its end; or what comes before the end of the connection."""
    found = b""
    while b"\r\n\r\n" not in found and (block := line.recv(1)):
        found += block
    if b"connection: close" in found.lower() and body:
        return found + b"".join(iter(lambda: line.recv(65_536), b""))
    length = re.search(rb"content-length: (\d+)", found.lower())
    left = int(length[1]) if length and body else 0
    while left and (block := line.recv(left)):
        found, left = found + block, left - len(block)
    return found


def request(query: str, *lines: str, method: str = "GET", org: str = "acme", version: str = "1.1") -> bytes:
    """A request for access."""
    head = [f"{method} /api/v1/organisations/{org}/access?{query} HTTP/{version}", *lines]
    return "".join(f"{line}\r\n" for line in [*head, ""]).encode("latin-1")


def warm(api: Served, short: list[int]) -> int:
    """Ask until the short way is open; the port."""
    reader = api.client(Role.READER)
    until(lambda: reader.get("access", learner="A", course="safety").status == 200 and bool(short), "the short way")
    return urlsplit(api.public_url).port or 0


LAST = b"GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

#: What is asked, and more headers: of what goes the short way, and of what does not.
PLAIN = {
    "yes": ("learner=A&course=safety",),
    "no": ("learner=B&course=safety",),
    "turned": ("course=safety&learner=A",),
    "escaped": ("learner=a%20b%2F%C3%BC&course=s%61fety",),
    "plus": ("learner=a+b/%c3%bc&course=safety",),
    "nobody": ("learner=x&course=safety",),
    "nothing": ("learner=A&course=x%27%22%0a",),
    "keep-alive": ("learner=A&course=safety", "Connection: keep-alive", "Accept: */*"),
}
OTHER = {
    "twice": ("learner=A&learner=A&course=safety",),
    "more": ("learner=A&course=safety&x=1",),
    "less": ("learner=A",),
    "empty": ("learner=&course=safety",),
    "nul": ("learner=%00&course=safety",),
    "no utf-8": ("learner=%ff&course=safety",),
    "if-match": ("learner=A&course=safety", 'If-Match: "x"'),
    "expecting": ("learner=A&course=safety", "Expect: 100-continue"),
    "two hosts": ("learner=A&course=safety", "Host: y"),
    "two tokens": ("learner=A&course=safety", "Authorization: Bearer x"),
    "control": ("learner=A&course=safety", "X: a\x01b"),
    "folded": ("learner=A&course=safety", "X: a", " b"),
    "body": ("learner=A&course=safety", "Content-Length: 0"),
    "chunks": ("learner=A&course=safety", "Transfer-Encoding: chunked"),
}


def both_ways(port: int, monkeypatch: pytest.MonkeyPatch, *pieces: bytes) -> tuple[bytes, bytes]:
    """The answers by the way that is open, and by the long one."""
    found = sure(said(port, *pieces))
    with monkeypatch.context() as patch:
        patch.setattr(Conversation, "_is_between_requests", lambda _: False)
        return found, sure(said(port, *pieces))


def sure(answer: bytes) -> bytes:
    """What of an answer surely arrives: if what was sent is not read to its end, the connection is reset, and with it
    may go what follows the head of the refusal."""
    return answer.partition(b"\r\n\r\n")[0] if answer.startswith(b"HTTP/1.1 400 ") else answer


def test_r03_the_short_way_answers_as_the_long_one(
    api: Served, short: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = make(api)
    port = warm(api, short)
    usual = ("Host: x", f"Authorization: Bearer {token}")

    for name, (query, *lines) in {**PLAIN, **OTHER}.items():
        before = len(short)
        found, expected = both_ways(port, monkeypatch, request(query, *usual, *lines), LAST)
        assert found == expected, name
        assert (len(short) > before) == (name in PLAIN), name


def test_r03_many_pairs_are_answered_by_a_token_as_by_the_act(api: Served) -> None:
    token = make(api)
    api.world.has_course("held", "everyone", on_hold=True)
    asked = PairsAsked(["B", "A", "nobody", "a b/ü", "A"], ["held", "safety", "x", "held"])
    body = {"learners": asked.learners, "courses": asked.courses}
    reader = api.client(Role.READER)

    for pairs, sent in ((asked, body), (PairsAsked([], ["safety"]), {"learners": [], "courses": ["safety"]})):
        expected = as_json(perform(api.world.runtime, ROOT, access.ask_many, pairs, "acme"))
        answer = reader.post("access", sent)
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, "application/json", expected)
    unknown = replace(api.client(Role.OPERATOR), organisation="nowhere").post("access", body)
    perform(api.world.runtime, ROOT, token_acts.revoke_token, token_acts.OneToken(f"{Role.READER}-"))
    revoked = Client(api.public_url, token).post("access", body)

    assert (unknown.status, unknown.json["detail"]) == (404, "There is no organisation 'nowhere'.")
    assert revoked.status == 401


def test_r31_the_short_way_knows_no_other_organisation(
    api: Served, short: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = make(api)
    api.world.has_organisation("globex")
    port = warm(api, short)

    for org, status in {"globex": b"404", "nowhere": b"404", "%00": b"422", "%ff": b"404"}.items():
        asked = request("learner=A&course=safety", "Host: x", f"Authorization: bearer  {token}", org=org)
        found, expected = both_ways(port, monkeypatch, asked, LAST)
        assert found == expected
        assert found.split(maxsplit=2)[1] == status


def test_what_is_no_plain_request_goes_the_long_way(
    api: Served, short: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = make(api)
    port = warm(api, short)
    usual, query = ("Host: x", f"Authorization: Bearer {token}"), "learner=A&course=safety"
    whole = request(query, *usual)
    before = len(short)

    for pieces in (
        (request(query, *usual, "Connection: close"),),
        (request(query, *usual, version="1.0"),),
        (request(query, *usual, method="HEAD"), LAST),
        (request(query, *usual[1:]), LAST),
        (request(query, *usual[:1]), LAST),
        (request(query, *usual, *(f"X-{n}: {n}" for n in range(60))), LAST),
        (whole + LAST,),
        (whole.replace(b"/api", b"http://x/api", 1), LAST),
    ):
        found, expected = both_ways(port, monkeypatch, *pieces)
        assert found == expected, pieces
    assert said(port, request(query, *usual, "X: " + "x" * 16_384)).startswith(b"HTTP/1.1 400 ")
    assert len(short) == before


def test_requests_that_follow_a_short_one_at_once_are_answered_in_order(api: Served, short: list[int]) -> None:
    token = make(api)
    port = warm(api, short)
    asked = [request(f"learner={who}&course=safety", "Host: x", f"Authorization: Bearer {token}") for who in "ABA"]

    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        for one in asked:
            line.sendall(one)
        found = [b'"access":true' in one_answer(line) for _ in asked]

    assert found == [True, False, True]


def test_a_revoked_token_opens_nothing_from_then_on(api: Served, short: list[int]) -> None:
    make(api)
    warm(api, short)
    reader = api.client(Role.READER)
    assert reader.get("access", learner="A", course="safety").status == 200

    perform(api.world.runtime, ROOT, token_acts.revoke_token, token_acts.OneToken(f"{Role.READER}-"))

    assert reader.get("access", learner="A", course="safety").status == 401


def test_a_revoked_token_opens_nothing_by_the_long_way_either(api: Served) -> None:
    make(api)
    reader = api.client(Role.READER)
    assert reader.get("access", learner="A", course="safety").status == 200

    perform(api.world.runtime, ROOT, token_acts.revoke_token, token_acts.OneToken(f"{Role.READER}-"))

    assert reader.get("access", learner="A", course="safety", more="").status == 422, "it is remembered for a second"
    assert reader.get("access", learner="A", course="safety").status == 401


def test_what_a_token_may_ask_is_bounded_by_the_short_way_too(serve: Callable[..., Served], short: list[int]) -> None:
    api = serve(rollcall_api_rate=5)
    make(api)
    reader = api.client(Role.READER)

    found = [reader.get("access", learner="A", course="safety").status for _ in range(40)]

    assert {*found} == {200, 429}
    assert short


def test_a_lost_connection_is_no_ones_trouble(api: Served, short: list[int]) -> None:
    make(api)
    warm(api, short)
    reader = api.client(Role.READER)

    api.world.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'rollcall web access' AND datname = current_database()"
    )
    asked = [reader.get("access", learner="A", course="safety").status for _ in range(5)]
    before = len(short)
    until(lambda: reader.get("access", learner="A", course="safety").status == 200 and len(short) > before, "again")

    assert asked == [200] * 5


def test_a_statement_that_stands_is_answered_by_a_refusal_in_time(api: Served, short: list[int]) -> None:
    make(api)
    warm(api, short)
    reader = api.client(Role.READER)

    with api.world.runtime.engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE courses IN ACCESS EXCLUSIVE MODE")
        refused = reader.get("access", learner="A", course="safety")

    assert (refused.status, refused.headers["retry-after"]) == (503, "2")
    assert reader.get("access", learner="A", course="safety").status == 200


def test_what_was_asked_is_answered_before_the_end(api: Served, short: list[int]) -> None:
    token = make(api)
    port = warm(api, short)
    before = len(short)

    with (
        api.world.runtime.engine.begin() as connection,
        socket.create_connection(("127.0.0.1", port), timeout=30) as line,
    ):
        connection.exec_driver_sql("LOCK TABLE courses IN ACCESS EXCLUSIVE MODE")
        line.sendall(request("learner=A&course=safety", "Host: x", f"Authorization: Bearer {token}"))
        until(lambda: len(short) > before, "it is being asked")
        api.world.runtime.stopping.set()
        found, rest = one_answer(line), line.recv(1)

    assert found.startswith(b"HTTP/1.1 503 ")
    assert rest == b"", "it is the last one"


def test_several_processes_may_share_a_port(world: World) -> None:
    port = free_port()
    settings = world.runtime.settings.model_copy(update={"rollcall_web_port": port, "rollcall_web_shared": True})
    runtimes = [Runtime(settings, world.runtime.endpoints, world.runtime.engine) for _ in range(2)]
    servers = [threading.Thread(target=app.run, args=(one,)) for one in runtimes]
    for server in servers:
        server.start()
    try:
        until(lambda: listeners(port) == 2, "both listen")
        assert all(server.is_alive() for server in servers)
        assert b"/api" in said(port, LAST) or answers(port)
    finally:
        for one, server in zip(runtimes, servers, strict=True):
            one.stopping.set()
            server.join(10)


def listeners(port: int) -> int:
    """How many sockets listen at a port of this process."""
    found = psutil.Process().net_connections("tcp")
    return sum(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)
