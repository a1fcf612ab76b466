"""HTTP with whoever is at the other end: bounded, verified, and never into a private network."""

import asyncio
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from tasks.webhooks import wire
from tasks.webhooks.rules import Answer, Problem, target
from tasks.webhooks.wire import Wire
from tests.mail.test_tls import certificate, context
from tests.webhooks.receiver import Receiver, Reply, drip, hang_up, receiving, say_nothing, saying

__all__ = ["certificate", "context"]  # fixtures

#: Seconds that one exchange may take: where it is to be over soon, and where it is to come to an end by itself.
SOON, IN_TIME = 0.3, 5.0


def post(*urls: str, private: bool = True, seconds: float = IN_TIME) -> list[Answer]:
    """Send something to each of these, one after the other."""

    async def sent() -> list[Answer]:
        found = Wire(private=private, seconds=seconds)
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
    monkeypatch.setattr(wire, "BODY_SECONDS", 0.1)
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
        wire_ = Wire(private=True, seconds=2)
        slow = [asyncio.create_task(wire_.post(target(f"https://{n}.invalid/"), {}, b"{}")) for n in range(50)]
        answer = await asyncio.create_task(wire_.post(target(receiver.url), {}, b"{}"))  # begins after all of them
        answered.set()
        await asyncio.gather(*slow)
        wire_.tidy(all_=True)
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
