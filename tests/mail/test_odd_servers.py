"""Mail servers as they are met: slow, silent, short of breath, choosy. R19, R21; RFC 5321, 1870, 2920, 6152, 6531."""

import threading
from collections.abc import Callable, Iterator

import pytest

from config.settings import SmtpServer
from tasks.mail.rules import MailAttempt, MailResult
from tasks.mail.sending.pool import LATE_SECONDS, MESSAGES_PER_CONNECTION, Envelope, Mailer
from tasks.mail.sending.protocol import LONGEST_LINE
from tests.mail.scripted import HANG_UP, SILENCE, Script, serving
from tests.world import World

#: Seconds of patience with an answer.
TIMEOUT = 1.0

PLAIN = b"Subject: hello\r\n\r\nHello.\r\n"

Offers = Callable[..., None]


@pytest.fixture(params=["one by one", "pipelined"])
def pipelining(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "pipelined")


@pytest.fixture
def script(pipelining: bool) -> Iterator[Script]:
    with serving(Script()) as found:
        offers(found, *(["PIPELINING"] if pipelining else []))
        yield found


def offers(script: Script, *extensions: str) -> None:
    """The server says what it can do."""
    lines = ["here", *extensions]
    said = [f"250{'-' if line is not lines[-1] else ' '}{line}\r\n" for line in lines]
    script.polite["EHLO"] = "".join(said).encode()


@pytest.fixture
def mailer(script: Script) -> Iterator[Mailer]:
    found = Mailer(SmtpServer.parse(f"smtp://127.0.0.1:{script.port}?tls=none"), connections=1, timeout=TIMEOUT)
    yield found
    found.close()


def envelope(number: int, message: bytes = PLAIN, address: str | None = None) -> Envelope:
    return Envelope(number, "us@y.example", address or f"r{number}@x.example", message)


def takes_its_time() -> None:
    """The server thinks before it answers."""
    threading.Event().wait(TIMEOUT / 4)


def wait_for_long() -> None:
    """The server takes longer than any verdict of the gate holds."""
    threading.Event().wait(LATE_SECONDS + 0.3)


def send(mailer: Mailer, *envelopes: Envelope) -> dict[int, MailAttempt]:
    return {attempt.recipient: attempt for attempt in mailer.send(envelopes, within=20)}


def answers(attempts: dict[int, MailAttempt]) -> list[MailResult]:
    return [attempts[number].answer for number in sorted(attempts)]


def test_a_message_of_five_megabytes_arrives_whole_and_the_next_after_it(script: Script, mailer: Mailer) -> None:
    large = b"Subject: large\r\n\r\n" + b"".join(b"%070d\r\n" % n for n in range(70_000))
    assert len(large) > 5_000_000

    sent = send(mailer, envelope(1, large), envelope(2))

    assert answers(sent) == [MailResult.ACCEPTED] * 2
    assert script.messages == [large, PLAIN]


def test_a_message_larger_than_the_server_takes_is_not_begun(script: Script, mailer: Mailer, pipelining: bool) -> None:
    offers(script, "SIZE 1000", *(["PIPELINING"] if pipelining else []))

    sent = send(mailer, envelope(1, PLAIN + b"x" * 1000), envelope(2))

    assert answers(sent) == [MailResult.TOO_LARGE, MailResult.ACCEPTED]
    assert [line for line in script.lines if line.startswith("MAIL")] == [f"MAIL FROM:<us@y.example> SIZE={len(PLAIN)}"]


@pytest.mark.parametrize("message", [b".\r\n..\r\n.x\r\n", b"Subject: x\r\n\r\n.\r\nmore\r\n.", b"no line end"])
def test_no_dot_ends_a_message_early(script: Script, mailer: Mailer, message: bytes) -> None:
    sent = send(mailer, envelope(1, message), envelope(2))

    assert answers(sent) == [MailResult.ACCEPTED] * 2
    assert script.messages == [message if message.endswith(b"\r\n") else message + b"\r\n", PLAIN]


def test_what_is_beyond_ascii_is_announced_where_the_server_takes_it(
    script: Script, mailer: Mailer, pipelining: bool
) -> None:
    offers(script, "8BITMIME", "SMTPUTF8", *(["PIPELINING"] if pipelining else []))
    message = "Subject: Zoë\r\n\r\nHallo.\r\n".encode()

    send(mailer, envelope(1, message, "zoë@x.example"), envelope(2, address="anna@müller.example"))

    mails = [line for line in script.lines if line.startswith(("MAIL", "RCPT"))]
    assert mails == [
        "MAIL FROM:<us@y.example> BODY=8BITMIME SMTPUTF8",
        "RCPT TO:<zoë@x.example>",
        "MAIL FROM:<us@y.example>",
        "RCPT TO:<anna@xn--mller-kva.example>",
    ]


def test_answers_in_any_pieces_are_understood(script: Script, mailer: Mailer) -> None:
    script.in_pieces = True
    script.polite["message"] = b"250-2.0.0 kept\r\n250-as\r\n250 7F3A\r\n"

    sent = send(mailer, envelope(1), envelope(2))

    assert answers(sent) == [MailResult.ACCEPTED] * 2
    assert sent[1].reply == "2.0.0 kept as 7F3A"


@pytest.mark.parametrize("word", ["MAIL", "RCPT", "DATA", "message"])
def test_a_slow_server_is_waited_for(script: Script, mailer: Mailer, word: str) -> None:
    script.before[word] = takes_its_time

    assert answers(send(mailer, envelope(1), envelope(2))) == [MailResult.ACCEPTED] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("greeting", MailResult.UNREACHABLE),
        ("EHLO", MailResult.UNREACHABLE),
        ("MAIL", MailResult.UNREACHABLE),
        ("RCPT", MailResult.UNREACHABLE),
        ("DATA", MailResult.UNREACHABLE),
        ("message", MailResult.AMBIGUOUS),
    ],
)
def test_r19_a_server_that_answers_nothing_is_given_up(
    script: Script, mailer: Mailer, word: str, answer: MailResult
) -> None:
    script.answers[word] = [SILENCE]

    (attempt,) = send(mailer, envelope(1)).values()

    assert attempt.answer is answer
    assert answers(send(mailer, envelope(2))) == [MailResult.ACCEPTED], "on another connection"
    assert script.messages.count(PLAIN) == (2 if word == "message" else 1)


def test_r19_a_server_that_closes_within_a_message_leaves_it_uncertain(script: Script, mailer: Mailer) -> None:
    script.hangs_up_within = [True]
    large = b"Subject: large\r\n\r\n" + b"x" * 70 + b"\r\n" * 100_000

    sent = send(mailer, envelope(1, large), envelope(2))

    assert answers(sent) == [MailResult.AMBIGUOUS, MailResult.ACCEPTED]
    assert script.messages == [PLAIN]


def test_r19_a_server_that_takes_each_message_and_closes_gets_each_once(script: Script, mailer: Mailer) -> None:
    script.answers["message"] = [b"250 kept\r\n421 bye\r\n"] * 4

    sent = send(mailer, *(envelope(n) for n in range(1, 5)))

    assert sent[1].answer is MailResult.ACCEPTED
    accepted = [n for n, attempt in sent.items() if attempt.answer is MailResult.ACCEPTED]
    assert len(script.messages) == len(accepted), "none is said to have been taken that was not, or the other way round"


def test_r19_a_server_that_closes_while_idle_gets_each_once(script: Script, mailer: Mailer) -> None:
    script.answers["MAIL"] = [b"250 OK\r\n", HANG_UP, b"250 OK\r\n", HANG_UP, b"250 OK\r\n"]

    sent = send(mailer, envelope(1), envelope(2), envelope(3))

    assert answers(sent) == [MailResult.ACCEPTED] * 3
    assert len(script.messages) == 3
    assert script.connections == 3


@pytest.mark.parametrize("reply", [b"250 " + b"x" * 2 * LONGEST_LINE, b"250-more\r\n" * 300])
def test_a_reply_without_end_is_not_listened_to(script: Script, mailer: Mailer, reply: bytes) -> None:
    script.answers["message"] = [reply]

    (attempt,) = send(mailer, envelope(1)).values()

    assert attempt.answer is MailResult.AMBIGUOUS
    assert answers(send(mailer, envelope(2))) == [MailResult.ACCEPTED]


def test_r21_a_server_that_refuses_every_tenth_recipient_gets_the_others(script: Script, mailer: Mailer) -> None:
    script.answers["RCPT"] = [b"550 5.1.1 unknown\r\n" if n % 10 == 0 else b"250 OK\r\n" for n in range(1, 101)]

    sent = send(mailer, *(envelope(n) for n in range(1, 101)))

    refused = [n for n, attempt in sent.items() if attempt.answer is MailResult.REFUSED]
    assert sorted(refused) == list(range(10, 101, 10))
    assert all(sent[n].on_recipient for n in refused)
    assert len([message for message in script.messages if message]) == 90
    assert script.connections == 1, "a refusal costs no connection"


def test_a_server_that_wants_a_message_for_a_refused_recipient_gets_none(script: Script, mailer: Mailer) -> None:
    script.answers["RCPT"] = [b"550 5.1.1 unknown\r\n"]

    sent = send(mailer, envelope(1), envelope(2))

    assert sent[1].answer is MailResult.REFUSED
    assert [message for message in script.messages if message] == [PLAIN], "of the second alone"


def test_a_recipient_taken_though_the_sender_was_refused_gets_nothing(script: Script, mailer: Mailer) -> None:
    script.answers["MAIL"] = [b"550 not from you\r\n"]

    (attempt,) = send(mailer, envelope(1)).values()

    assert attempt.answer is MailResult.REFUSED
    assert not attempt.on_recipient
    assert script.messages == []


def test_a_connection_is_replaced_when_it_has_served(script: Script, mailer: Mailer) -> None:
    count = MESSAGES_PER_CONNECTION + 5
    many = [envelope(n) for n in range(count)]

    for start in range(0, count, 150):
        send(mailer, *many[start : start + 150])

    assert len(script.messages) == count
    assert script.connections == 2
    assert script.said("QUIT") == 1, "the first was left in order"
    assert sum(word == "MAIL" for number, word in script.heard if number == 1) == MESSAGES_PER_CONNECTION


def test_r20_a_message_that_the_server_asks_for_too_late_is_not_given(script: Script, mailer: Mailer) -> None:
    slow = [False, True]
    script.before["message"] = lambda: wait_for_long() if slow and slow.pop(0) else None

    attempts = mailer.send([envelope(1), envelope(2), envelope(3), envelope(4)], within=0.1)

    assert sorted(attempt.recipient for attempt in attempts) == [1, 2]
    assert len(script.messages) == 2
    assert answers(send(mailer, envelope(3), envelope(4))) == [MailResult.ACCEPTED] * 2


def test_r18_every_tenth_refused_the_counts_add_up(world: World) -> None:
    world.has_learners(*(f"L{n}" for n in range(1, 51)))
    world.mail.on_recipient = lambda address, _times: "550 no" if address.endswith("0@acme.example") else None
    world.announces()

    world.comes_to_rest()

    counts = world.progress("news")
    assert (counts.state, counts.selected, counts.accepted, counts.failed) == ("finished with failures", 50, 45, 5)
    assert len(world.mail.taken) == len(set(world.mail.recipients)) == 45
