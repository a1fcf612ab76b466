"""HTTP with whoever is at the other end: bounded, verified, and never into a private network."""

import asyncio
import socket
import ssl
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

import h11
import pytest
from anyio.lowlevel import checkpoint

from tasks.webhooks import client
from tasks.webhooks.client import HttpClient
from tasks.webhooks.rules import Answer, Problem, Target, target
from tests.mail.test_tls import certificate, context
from tests.webhooks.receiver import Receiver, Reply, drip, hang_up, receiving, say_nothing, saying

pytestmark = pytest.mark.serves

__all__ = ["certificate", "context"]  # fixtures

#: Seconds that one exchange may take: where it is to be over soon, and where it is to come to an end by itself.
SOON, IN_TIME = 0.3, 5.0


def post(*urls: str, private: bool = True, seconds: float = IN_TIME) -> list[Answer]:
    """Send something to each of these, one after the other."""

    async def sent() -> list[Answer]:
        found = HttpClient(private=private, seconds=seconds)
        answers = [await found.post(target(url), {"webhook-id": "1"}, b"{}") for url in urls]
        found.tidy(all_=True)
        return answers

    return asyncio.run(sent())


def test_no_redirection_is_followed(receiver: Receiver) -> None:
    with receiving() as other:
        receiver.will(saying(307, "", f"location: {other.url}"))

        [answer] = post(receiver.url)

        assert other.requests == []
    assert (answer.status, answer.problem) == (307, Problem.REDIRECTED)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (say_nothing, Problem.TOO_SLOW),
        (drip(b"HTTP/1.1 200 OK\r\n", b"x"), Problem.TOO_SLOW),
        (drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), Problem.TOO_SLOW),
        (drip(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 20_000, b"x"), Problem.NOT_HTTP),
        (drip(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", b"x"), None),
        (drip(b"HTTP/1.1 500 No\r\ncontent-length: 99999999\r\n\r\n", b"x" * 50_000), Problem.REFUSED),
        (b"this is not HTTP\r\n\r\n", Problem.NOT_HTTP),
        (hang_up, Problem.UNREACHABLE),
    ],
)
def test_no_answer_takes_longer_than_agreed_nor_more_memory(
    receiver: Receiver, reply: Reply, problem: Problem | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "BODY_SECONDS", 0.1)
    receiver.will(reply)

    [answer] = post(receiver.url, seconds=SOON if problem == Problem.TOO_SLOW else IN_TIME)

    assert answer.problem == problem
    assert answer.milliseconds < IN_TIME * 1000 / 2
    assert len(answer.said) == (200 if problem == Problem.REFUSED else 0)


def test_nobody_there_and_no_such_name_are_told_apart() -> None:
    with receiving() as gone:
        pass

    nobody, unknown = post(gone.url, "https://nobody.invalid/")

    assert nobody.problem == Problem.UNREACHABLE
    assert unknown.problem in {Problem.UNKNOWN_HOST, Problem.TOO_SLOW}  # too slow: a resolver that is


def test_names_that_nobody_answers_for_hold_up_nobody_else(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up, answered = socket.getaddrinfo, threading.Event()

    def slowly(host: str, *rest: Any, **options: Any) -> Any:
        if host.endswith(".invalid"):
            answered.wait(10)
            raise socket.gaierror
        return look_up(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)

    async def sent() -> Answer:
        found = HttpClient(private=True, seconds=2)
        slow = [asyncio.create_task(found.post(target(f"https://{n}.invalid/"), {}, b"{}")) for n in range(50)]
        answer = await asyncio.create_task(found.post(target(receiver.url), {}, b"{}"))  # begins after all of them
        answered.set()
        await asyncio.gather(*slow)
        found.tidy(all_=True)
        return answer

    assert asyncio.run(sent()).problem is None


def test_a_certificate_that_nobody_vouches_for_is_refused(context: ssl.SSLContext) -> None:
    with receiving(context) as receiver:
        [answer] = post(receiver.url)

        assert receiver.requests == []
    assert answer.problem == Problem.NOT_TRUSTED


def test_a_certificate_that_somebody_vouches_for_is_taken_for_its_name_alone(
    context: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with receiving(context) as receiver:
        for_its_name, for_another = post(receiver.url, receiver.url.replace("127.0.0.1", "localhost"))

    assert (for_its_name.problem, for_another.problem) == (None, Problem.NOT_TRUSTED)
    assert len(receiver.requests) == 1


def test_no_name_leads_into_a_private_network(receiver: Receiver) -> None:
    answers = post(
        f"https://127.0.0.1:{receiver.port}/",
        f"http://localhost:{receiver.port}/",
        f"https://2130706433:{receiver.port}/",  # 127.0.0.1, as a number
        f"https://[::ffff:127.0.0.1]:{receiver.port}/",
        private=False,
    )

    assert receiver.connections == 0
    assert {answer.problem for answer in answers} == {Problem.PRIVATE_ADDRESS}


def test_a_connection_is_kept_and_one_that_was_closed_meanwhile_costs_nothing(receiver: Receiver) -> None:
    receiver.closes_after = 2

    answers = post(*[receiver.url] * 4)

    assert [answer.problem for answer in answers] == [None] * 4
    assert [request.connection for request in receiver.requests] == [1, 1, 2, 2]


def test_what_follows_an_answer_is_not_taken_for_the_next_one(receiver: Receiver) -> None:
    receiver.will(saying(500) + saying(200), saying(503))

    answers = post(*[receiver.url] * 2)

    assert [answer.status for answer in answers] == [500, 503]


#: Answers that cost more to read than to send.
COSTLY: list[tuple[bytes, Problem | None]] = [
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000, None),
    (b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000, Problem.REFUSED),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 50_000, None),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"x" * 300_000, None),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, Problem.NOT_HTTP),
    (b"HTTP/1.1 100 Continue\r\n" + b"a:\r\n" * 50_000, Problem.NOT_HTTP),
    (b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 3000 + b"\r\n", Problem.NOT_HTTP),
    (b"HTTP/1.1 200 OK\r\nx: y\r\n" + b" z\r\n" * 3000 + b"\r\n", Problem.NOT_HTTP),
    (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 300_000, Problem.NOT_HTTP),
    (b"HTTP/1.1 503 No\r\nretry-after: " + b"Sat, " * 3000 + b"\r\n\r\n", Problem.REFUSED),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 6\r\n\r\nhello", Problem.NOT_HTTP),
    (b"\r\n" * 100_000, Problem.NOT_HTTP),
]


def test_r31_no_answer_costs_those_served_beside_it_more_than_a_few_steps(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "BODY_SECONDS", 0.1)
    receiver.will(*(patient(answer) for answer, _ in COSTLY))
    read, steps = h11.Connection.next_event, [0]

    def counted(connection: h11.Connection) -> Any:
        steps[-1] += 1
        return read(connection)

    monkeypatch.setattr(h11.Connection, "next_event", counted)

    async def sent() -> list[Answer]:
        found = HttpClient(private=True, seconds=IN_TIME)
        urls = [target(receiver.url)] * len(COSTLY)
        asking = asyncio.create_task(one_after_the_other(found, urls))
        while not asking.done():
            await checkpoint()
            if steps[-1]:
                steps.append(0)
        found.tidy(all_=True)
        return await asking

    answers = asyncio.run(sent())

    assert max(steps) <= client.MOST_PIECES + 1
    assert [answer.problem for answer in answers] == [problem for _, problem in COSTLY]
    assert sum(steps) <= len(COSTLY) * 3 * client.MOST_PIECES
    assert receiver.connections == len(COSTLY), "none of them is used again"


async def one_after_the_other(found: HttpClient, targets: list[Target]) -> list[Answer]:
    return [await found.post(one, {"webhook-id": "1"}, b"{}") for one in targets]


def patient(answer: bytes) -> Reply:
    """Say something, and wait until the other side hangs up."""

    def say(connection: BinaryIO) -> None:
        with suppress(OSError):
            connection.write(answer)
            connection.read()

    return say


def test_a_name_that_nobody_answers_for_holds_one_thread_however_often_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answered = [], threading.Event()

    def never(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        answered.wait(20)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", never)

    async def sent() -> list[Answer]:
        found = HttpClient(private=True, seconds=0.05)
        answers = await one_after_the_other(found, [target("https://nobody.invalid/")] * 5)
        answered.set()
        answers.append(await HttpClient(private=True, seconds=IN_TIME).post(target("https://nobody.invalid/"), {}, b""))
        found.tidy(all_=True)
        return answers

    answers = asyncio.run(sent())

    assert [answer.problem for answer in answers] == [Problem.TOO_SLOW] * 5 + [Problem.UNKNOWN_HOST]
    assert asked == ["nobody.invalid"] * 2


def test_of_many_receivers_few_connections_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_IDLE", 2)
    with ExitStack() as open_:
        receivers = [open_.enter_context(receiving()) for _ in range(4)]

        answers = post(*[one.url for one in receivers], receivers[0].url, receivers[3].url)

        assert [answer.problem for answer in answers] == [None] * 6
        assert [one.connections for one in receivers] == [2, 1, 1, 1]


def test_a_receiver_that_answers_and_does_not_read_is_hung_up_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        async def sent() -> tuple[Answer, int]:
            found = HttpClient(private=True, seconds=IN_TIME)
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            asking = asyncio.create_task(found.post(target(url), {}, b"x" * 40_000))
            end, _ = await asyncio.to_thread(listening.accept)
            end.sendall(saying(200))
            answer = await asking
            found.tidy(all_=True)
            left = len(asyncio.all_tasks()) - 1
            end.close()
            return answer, left

        answer, left = asyncio.run(sent())

    assert (answer.problem, left) == (None, 0)
