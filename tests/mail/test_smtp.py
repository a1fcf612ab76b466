"""What the mailer makes of a server's answers: R19, R21, over real sockets."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from config.settings import SmtpServer
from tasks.mail.rules import MailAttempt, MailResult
from tasks.mail.sending.pool import Envelope, Mailer
from tests import mailserver
from tests.mail.scripted import HANG_UP, Script, serving

pytestmark = pytest.mark.serves

#: Seconds of patience with an answer, and within which messages are begun.
TIMEOUT = 0.5
WITHIN = 5.0


@pytest.fixture(params=[b"250 here\r\n", b"250-here\r\n250 PIPELINING\r\n"], ids=["one by one", "pipelined"])
def script(request: pytest.FixtureRequest) -> Iterator[Script]:
    """A polite server, until the test writes other answers down."""
    with serving(Script(polite={"EHLO": request.param})) as found:
        yield found


@pytest.fixture
def mailer(script: Script) -> Iterator[Mailer]:
    """A mailer with one connection, so that what is left of a message meets the next."""
    found = Mailer(SmtpServer.parse(f"smtp://127.0.0.1:{script.port}?tls=none"), connections=1, timeout=TIMEOUT)
    yield found
    found.close()


def send(mailer: Mailer, *numbers: int, address: str = "a@x.example", within: float = WITHIN) -> list[MailAttempt]:
    envelopes = [Envelope(n, "us@y.example", address, b"Subject: hello\r\n\r\nHello.\r\n") for n in numbers]
    return mailer.send(envelopes, within=within)


def answers(attempts: list[MailAttempt]) -> list[tuple[MailResult, int | None]]:
    return [(attempt.answer, attempt.code) for attempt in attempts]


#: A process that ends while a connection is open, and only when it has been said once more that there is one.
ENDS = """
import atexit, sys, threading
from config.settings import SmtpServer
from tasks.mail.sending import pool
pool.SAY_SECONDS = 0
said = threading.Event()
mailer = pool.Mailer(SmtpServer.parse(sys.argv[1]), connections=1, timeout=5)
mailer.report_use_to(lambda use: said.set())
mailer.send([pool.Envelope(1, "us@y.example", "a@x.example", b"Hello.\\r\\n")], within=5)
atexit.register(lambda: (said.clear(), print("said" if said.wait(5) else "not said")))
"""


def test_a_process_may_end_while_a_connection_is_open(script: Script) -> None:
    words = [sys.executable, "-c", ENDS, f"smtp://127.0.0.1:{script.port}?tls=none"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("said\n", "", 0)


def test_messages_share_a_connection(script: Script, mailer: Mailer) -> None:
    assert answers(send(mailer, 1, 2, 3)) == [(MailResult.ACCEPTED, 250)] * 3
    assert script.connections == 1


@pytest.mark.parametrize(
    ("word", "reply", "answer", "on_recipient"),
    [
        ("RCPT", "550 5.1.1 no such user", MailResult.REFUSED, True),
        ("RCPT", "450 greylisted", MailResult.THROTTLED, True),
        ("RCPT", "455 not with these parameters", MailResult.DEFERRED, True),
        ("MAIL", "550 not from you", MailResult.REFUSED, False),
        ("MAIL", "451 slow down", MailResult.THROTTLED, False),
        ("DATA", "554 no", MailResult.REFUSED, False),
        ("message", "554 spam", MailResult.REFUSED, False),
        ("message", "452 full", MailResult.THROTTLED, False),
        ("message", "251 kept elsewhere", MailResult.ACCEPTED, False),
    ],
)
def test_r21_a_refusal_is_about_one_message_and_the_next_goes_on(
    script: Script, mailer: Mailer, word: str, reply: str, answer: MailResult, on_recipient: bool
) -> None:
    script.answers[word] = [f"{reply}\r\n".encode()]

    first, second = send(mailer, 1, 2)

    assert (first.answer, first.code, first.on_recipient) == (answer, int(reply[:3]), on_recipient)
    assert second.answer is MailResult.ACCEPTED


@pytest.mark.parametrize("reply", [HANG_UP, b"what?\r\n", b"354 more\r\n"])
def test_r19_no_orderly_reply_to_a_message_leaves_it_ambiguous(script: Script, mailer: Mailer, reply: bytes) -> None:
    script.answers["message"] = [reply]

    first, second = send(mailer, 1, 2)

    assert first.answer is MailResult.AMBIGUOUS
    assert second.answer is MailResult.ACCEPTED
    assert script.connections == 2, "the connection is not used again"


def test_r19_a_reply_that_comes_too_late_is_not_taken_for_the_next_messages(script: Script, mailer: Mailer) -> None:
    late = threading.Event()
    waits = [True]
    script.before["message"] = lambda: (late.wait(10 * TIMEOUT), None)[1] if waits and waits.pop() else None
    script.answers["RCPT"] = [b"250 OK\r\n", b"550 no\r\n"]

    (first,) = send(mailer, 1)
    late.set()
    (second,) = send(mailer, 2)

    assert first.answer is MailResult.AMBIGUOUS
    assert second.answer is MailResult.REFUSED
    assert script.connections == 2


@pytest.mark.parametrize("word", ["MAIL", "RCPT"])
def test_r21_hung_up_on_before_the_message_it_was_not_sent(script: Script, mailer: Mailer, word: str) -> None:
    script.answers[word] = [HANG_UP]

    assert answers(send(mailer, 1, 2)) == [(MailResult.UNREACHABLE, None), (MailResult.ACCEPTED, 250)]


def test_a_connection_that_was_closed_while_idle_is_replaced(script: Script, mailer: Mailer) -> None:
    send(mailer, 1)
    script.answers["MAIL"] = [HANG_UP]

    assert answers(send(mailer, 2)) == [(MailResult.ACCEPTED, 250)]
    assert script.connections == 2


@pytest.mark.parametrize("reply", [b"421 too many\r\n", b"554 go away\r\n", HANG_UP])
def test_r21_a_server_that_does_not_let_us_in_is_unreachable(script: Script, mailer: Mailer, reply: bytes) -> None:
    script.answers["greeting"] = [reply]

    (attempt,) = send(mailer, 1)

    assert attempt.answer is MailResult.UNREACHABLE
    assert script.said("MAIL") == 0


def test_r21_nobody_answers(mailer: Mailer) -> None:
    server = SmtpServer.parse(f"smtp://127.0.0.1:{mailserver.free_port()}?tls=none")
    lonely = Mailer(server, connections=2, timeout=TIMEOUT)
    assert answers(send(lonely, 1, 2)) == [(MailResult.UNREACHABLE, None)] * 2
    lonely.close()


def test_a_reply_that_promises_nothing_to_the_recipient_is_not_acceptance(script: Script, mailer: Mailer) -> None:
    script.answers["RCPT"] = [b"252 perhaps\r\n"]

    (attempt,) = send(mailer, 1)

    assert attempt.answer is MailResult.UNREACHABLE
    assert script.said("message") == 0


def test_r18_a_reply_of_any_bytes_can_be_kept(script: Script, mailer: Mailer) -> None:
    script.answers["RCPT"] = [b"550 bo\xeete \x00inconnue " + b"x" * 400 + b"\r\n"]

    (attempt,) = send(mailer, 1)

    assert attempt.reply is not None
    assert attempt.reply.startswith("bo?te inconnue x")
    assert attempt.reply.encode()


def test_an_address_beyond_ascii_needs_a_server_that_takes_it(script: Script, mailer: Mailer) -> None:
    assert answers(send(mailer, 1, address="zoë@x.example")) == [(MailResult.IMPOSSIBLE, None)]
    script.answers["EHLO"] = [b"250-here\r\n250 SMTPUTF8\r\n"]
    script.answers["MAIL"] = [HANG_UP]  # the connection without it is given up
    send(mailer, 2)
    assert answers(send(mailer, 3, address="zoë@x.example")) == [(MailResult.ACCEPTED, 250)]


def test_an_address_that_is_none_is_not_tried(script: Script, mailer: Mailer) -> None:
    (attempt,) = send(mailer, 1, address="a@x.example>\r\nRCPT TO:<b@x.example")

    assert attempt.answer is MailResult.IMPOSSIBLE
    assert script.said("RCPT") == 0


def test_r20_after_a_while_no_message_is_begun(script: Script, mailer: Mailer) -> None:
    send(mailer, 0)

    assert len(send(mailer, 1, 2, 3, within=0.0)) == 1


def test_r20_a_connection_that_took_long_begins_nothing(script: Script, mailer: Mailer) -> None:
    assert send(mailer, 1, within=0.0) == []
    assert script.said("MAIL") == 0
    assert answers(send(mailer, 1, within=0.0)) == [(MailResult.ACCEPTED, 250)], "it is used the next time"
    assert script.connections == 1
