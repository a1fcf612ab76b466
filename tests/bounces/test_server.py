"""The conversation by which reports come in, over real LMTP and SMTP."""

import dataclasses
import re
import smtplib
import socket
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from config.database import transaction
from config.runtime import Runtime
from tests.bounces import reports
from tests.bounces.conftest import DEADLINE, Desk, listening
from tests.bounces.reports import Came
from tests.workers.deployment import until
from tests.world import World
from workers.bounces import KEPT, MOST_CONNECTIONS, SIZE_LIMIT

A = "a@acme.example"
BARE = "bounces@bounces.rollcall.example"


@pytest.fixture
def sender(world: World) -> str:
    """The envelope sender of a mail that A got."""
    world.has_learners("A")
    world.announces()
    world.settle()
    return world.mail.senders[A][-1]


def suppressed(world: World) -> list[str]:
    addresses: list[str] = world.list("SELECT address FROM suppressions")
    return addresses


def test_a_report_is_handed_in_by_a_mail_server(world: World, desk: Desk, sender: str) -> None:
    with desk.talk() as client:
        client.sendmail("", [sender], reports.postfix(sender, A).message)

    assert suppressed(world) == [A]


def test_what_is_offered_holds(desk: Desk) -> None:
    with desk.talk() as client:
        assert client.has_extn("size")
        assert int(client.esmtp_features["size"]) == SIZE_LIMIT
        assert client.has_extn("8bitmime")
        assert client.has_extn("pipelining")
        assert client.docmd(f"MAIL FROM:<> SIZE={SIZE_LIMIT + 1}")[0] == 552
        assert client.docmd("MAIL FROM:<> SIZE=1000 BODY=8BITMIME")[0] == 250


@pytest.mark.parametrize(
    ("recipient", "code"),
    [
        ("learning@rollcall.example", 550),
        ("postmaster@bounces.rollcall.example", 550),
        ("bounces+aaaaaaaaaaaaaaaaaaaaaaaa@bounces.rollcall.example", 550),
        ("bounces@elsewhere.example", 550),
        (BARE.upper(), 250),
        ("", 550),
        ("jörg@bounces.rollcall.example", 550),
    ],
)
def test_what_is_not_ours_is_refused_before_it_is_given(desk: Desk, recipient: str, code: int) -> None:
    with desk.talk() as client:
        assert client.docmd("MAIL FROM:<>")[0] == 250
        client.send(f"RCPT TO:<{recipient}>\r\n".encode())
        assert client.getreply()[0] == code
        assert client.docmd("DATA")[0] == (354 if code == 250 else 503)


def test_a_sender_that_was_forged_or_is_another_deployments_is_refused(desk: Desk, sender: str) -> None:
    forged = re.sub(r"\+(.)", lambda found: "+" + ("b" if found[1] == "a" else "a"), sender)

    assert desk.gives(reports.postfix(forged, A), forged) == 550


@pytest.mark.parametrize("command", ["MAIL FROM:nobody", "MAIL FROM:<a b>", "MAIL", "MAIL FROM:<\x01@b>", "RCPT TO:<>"])
def test_malformed_commands_are_refused_and_the_conversation_goes_on(desk: Desk, sender: str, command: str) -> None:
    with desk.talk() as client:
        client.send(command.encode() + b"\r\n")
        assert client.getreply()[0] in {501, 503, 553}
        client.sendmail("", [sender], reports.postfix(sender, A).message)


def test_one_report_is_about_one_recipient(world: World, desk: Desk, sender: str) -> None:
    with desk.talk() as client:
        client.docmd("MAIL FROM:<>")
        assert client.docmd(f"RCPT TO:<{sender}>")[0] == 250
        assert client.docmd(f"RCPT TO:<{BARE}>")[0] == 452
        assert client.data(reports.postfix(sender, A).message)[0] == 250

    assert suppressed(world) == [A]


def test_several_reports_on_one_connection(world: World, lmtp: Desk, sender: str) -> None:
    with lmtp.talk() as client:
        client.sendmail("", [BARE], b"Subject: nothing\r\n\r\n")
        client.rset()
        client.sendmail("", [sender.upper()], reports.exim(sender, A).message)

    assert suppressed(world) == [A]


def test_a_report_in_one_write_with_everything_before_it(world: World, lmtp: Desk, sender: str) -> None:
    report = reports.postfix(sender, A).message
    said = f"LHLO mx.example\r\nMAIL FROM:<>\r\nRCPT TO:<{sender}>\r\nDATA\r\n".encode() + report + b"\r\n.\r\nQUIT\r\n"

    with socket.create_connection(("127.0.0.1", lmtp.port), DEADLINE) as client:
        client.sendall(said)
        answers = client.makefile("rb").read().split(b"\r\n")

    assert [answer[:3] for answer in answers[-5:]] == [b"250", b"354", b"250", b"221", b""]
    assert suppressed(world) == [A]


@pytest.mark.parametrize("content", [b"", b".", b"..", b"\r\n.\r\n", b".leading\r\n..dots", b"no line end"])
def test_a_message_ends_where_it_ends(desk: Desk, content: bytes) -> None:
    with desk.talk() as client:
        client.sendmail("", [BARE], content)
        assert client.noop()[0] == 250


def test_a_message_without_a_line_ends_at_its_dot(desk: Desk) -> None:
    with desk.talk() as client:
        client.docmd("MAIL FROM:<>")
        client.docmd(f"RCPT TO:<{BARE}>")
        client.docmd("DATA")
        client.send(b".\r\n")
        assert client.getreply()[0] == 250


@given(st.lists(st.binary(max_size=600), max_size=5))
@settings(max_examples=40, suppress_health_check=[*HealthCheck])
def test_whatever_is_said_the_next_one_is_served(lmtp: Desk, lines: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", lmtp.port), DEADLINE) as client:
        client.sendall(b"\r\n".join([b"LHLO x", b"MAIL FROM:<>", *lines, b""]))
    with lmtp.talk() as after:
        assert after.noop()[0] == 250


def test_of_a_huge_report_the_beginning_counts(world: World, desk: Desk, sender: str) -> None:
    report = reports.postfix(sender, A).message
    huge = report.replace(b"Hello, remember", b"x" * 100_000 + b"\r\n.line\r\n" * (KEPT // 4) + b"Hello, remember")
    assert len(huge) > 2 * KEPT

    assert desk.gives(Came(huge), sender) == 250

    assert suppressed(world) == [A]


def test_what_is_larger_than_announced_is_refused(
    world: World, desk: Desk, sender: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.bounces.SIZE_LIMIT", 1000)

    assert desk.gives(reports.postfix(sender, A), sender) == 552

    assert suppressed(world) == []


def test_what_is_cut_short_before_it_says_anything_does_nothing(world: World, lmtp: Desk, sender: str) -> None:
    report = reports.postfix(sender, A).message
    huge = report.replace(b"This is the mail system", b"x" * 60 + b"\r\n" + b"long words\r\n" * KEPT)

    assert lmtp.gives(Came(huge), sender) == 250

    assert suppressed(world) == []


def test_r32_a_connection_lost_before_the_end_stores_nothing(world: World, lmtp: Desk, sender: str) -> None:
    with lmtp.talk() as client:
        client.docmd("MAIL FROM:<>")
        client.docmd(f"RCPT TO:<{sender}>")
        client.docmd("DATA")
        client.send(reports.postfix(sender, A).message)
    with lmtp.talk() as client:
        assert client.noop()[0] == 250

    assert suppressed(world) == []


def test_while_the_database_is_away_a_report_is_kept_by_whoever_has_it(
    world: World, unreachable: Runtime, sender: str
) -> None:
    with listening(unreachable) as (desk, _):
        assert desk.gives(reports.postfix(sender, A), sender) == 451
        assert desk.gives(Came(b"Hello?", "jan@school.example"), sender) == 250, "nothing is to be stored of it"


def test_it_is_stored_before_it_is_acknowledged(world: World, lmtp: Desk, sender: str) -> None:
    stored_at_commit: list[bool] = []

    @event.listens_for(world.runtime.engine, "commit")
    def _committed(_connection: object) -> None:
        stored_at_commit.append(True)

    with lmtp.talk() as client:
        client.docmd("MAIL FROM:<>")
        client.docmd(f"RCPT TO:<{sender}>")
        assert stored_at_commit == []
        assert client.data(reports.postfix(sender, A).message)[0] == 250
    assert stored_at_commit == [True]


def test_a_bug_here_loses_no_report(world: World, lmtp: Desk, sender: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise KeyError(A)

    with monkeypatch.context() as mistake:
        mistake.setattr("tasks.bounces.intake.read", broken)
        assert lmtp.gives(reports.postfix(sender, A), sender) == 451
    assert lmtp.gives(reports.postfix(sender, A), sender) == 250


def test_whoever_connects_once_too_often_is_told_to_come_back(lmtp: Desk) -> None:
    held = [smtplib.LMTP("127.0.0.1", lmtp.port) for _ in range(MOST_CONNECTIONS)]
    with pytest.raises(smtplib.SMTPConnectError) as refusal:
        smtplib.LMTP("127.0.0.1", lmtp.port)
    held.pop().quit()

    assert refusal.value.smtp_code == 421
    with lmtp.talk() as client:
        assert client.noop()[0] == 250
    for client in held:
        client.close()


def test_who_says_nothing_is_hung_up_on(world: World) -> None:
    with (
        listening(world.runtime, idle_seconds=0.2) as (desk, _),
        socket.create_connection(("127.0.0.1", desk.port), DEADLINE) as client,
    ):
        assert client.makefile("rb").read().startswith(b"220 ")


@pytest.mark.parametrize("earlier", [0, 1])
def test_told_to_stop_it_stores_what_it_was_given_and_hangs_up(
    world: World, sender: str, monkeypatch: pytest.MonkeyPatch, earlier: int
) -> None:
    with listening(world.runtime) as (desk, stop):
        for _ in range(earlier):
            with desk.talk() as client:
                client.quit()
        _stops_while_storing(world, desk, stop, sender)

    assert suppressed(world) == [A]


def _stops_while_storing(world: World, desk: Desk, stop: Callable[[], None], sender: str) -> None:
    with desk.talk() as idle, desk.talk() as amid, desk.talk() as busy:
        for command in ("MAIL FROM:<>", f"RCPT TO:<{BARE}>", "DATA"):
            amid.docmd(command)
        amid.send("Subject: of a report that is never given whole\r\n")
        busy.docmd("MAIL FROM:<>")
        busy.docmd(f"RCPT TO:<{sender}>")
        with transaction(world.runtime.engine) as blocking:
            blocking.exec_driver_sql("LOCK TABLE bounces")
            answers: list[int] = []
            giving = threading.Thread(target=lambda: answers.append(busy.data(reports.postfix(sender, A).message)[0]))
            giving.start()
            until(lambda: world.waiting() > 0, "a report being stored")
            stop()
            for client in (idle, amid):
                assert client.sock is not None
                assert client.sock.recv(1) == b""
        giving.join(DEADLINE)

    assert answers == [250]


def test_without_a_bounce_address_everything_is_refused(world: World, sender: str) -> None:
    bare = Runtime(
        world.runtime.settings, dataclasses.replace(world.runtime.endpoints, bounce_address=""), world.runtime.engine
    )

    with listening(bare) as (desk, _):
        assert desk.gives(reports.postfix(sender, A), sender) == 550
        assert desk.gives(reports.postfix(sender, A), "") == 550


def test_what_is_logged_names_nobody(world: World, lmtp: Desk, sender: str, capfd: pytest.CaptureFixture[str]) -> None:
    for came, to in ((reports.postfix(sender, A), sender), (reports.complaint(sender, A), BARE), (Came(b"x"), sender)):
        lmtp.gives(came, to)
    lmtp.gives(Came(b"x", "jan@school.example"), "jan@school.example")

    printed = capfd.readouterr()
    assert "bounces.taken" in printed.out + printed.err
    assert not [word for word in (A, "jan@", sender) if word in printed.out + printed.err]
