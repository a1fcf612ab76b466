"""Encrypted conversations with signing in: certificates are verified, credentials never leave in the clear."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword, Session
from aiosmtpd.smtp import Envelope as Taken

from config.settings import SmtpServer
from tasks.mail.rules import MailAttempt, MailResult
from tasks.mail.sending.answers import About
from tasks.mail.sending.checking import check
from tasks.mail.sending.pool import Envelope, Mailer
from tests import mailserver
from tests.certificates import self_signed
from tests.mail.scripted import Script, serving

PASSWORD = "p@ss word"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine that signed itself, with its key."""
    return self_signed(tmp_path_factory.mktemp("tls") / "mail.pem")


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    """What the server shows."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(certificate)
    return found


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine trusts whoever signed the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@dataclass
class Strict:
    """A server that wants encryption, then a name and a password, before it takes mail."""

    signed_in: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def __call__(self, _server: SMTP, _session: Session, _envelope: Taken, _how: str, data: object) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.signed_in.append(data.login.decode())
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Taken) -> str:  # noqa: N802
        assert session.ssl is not None
        self.taken += envelope.rcpt_tos
        return "250 kept"


@pytest.fixture
def strict(context: ssl.SSLContext) -> Iterator[tuple[Strict, int]]:
    server = Strict()
    controller = Controller(
        server,
        hostname="127.0.0.1",
        port=mailserver.free_port(),
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=server,
    )
    controller.start()
    yield server, controller.port
    controller.stop()


def send(url: str, *numbers: int) -> list[MailAttempt]:
    mailer = Mailer(SmtpServer.parse(url), connections=1, timeout=2)
    try:
        envelopes = [Envelope(n, "us@y.example", f"r{n}@x.example", b"Subject: x\r\n\r\nHi.\r\n") for n in numbers]
        return mailer.send(envelopes, within=20)
    finally:
        mailer.close()


@pytest.mark.usefixtures("trusted")
def test_mail_goes_encrypted_after_signing_in(strict: tuple[Strict, int]) -> None:
    server, port = strict

    attempts = send(f"smtp://rollcall:p%40ss%20word@127.0.0.1:{port}?tls=starttls", 1, 2, 3)

    assert [attempt.answer for attempt in attempts] == [MailResult.ACCEPTED] * 3
    assert server.signed_in == ["rollcall"], "once for the connection"
    assert server.taken == ["r1@x.example", "r2@x.example", "r3@x.example"]


@pytest.mark.usefixtures("trusted")
def test_r21_a_wrong_password_is_nobodys_failure_and_is_not_repeated(strict: tuple[Strict, int]) -> None:
    _server, port = strict

    (attempt,) = send(f"smtp://rollcall:wrong@127.0.0.1:{port}?tls=starttls", 1)

    assert attempt.answer is MailResult.UNREACHABLE
    assert "wrong" not in (attempt.reply or "")
    assert (attempt.code, attempt.about) == (535, About.SIGN_IN)
    assert (attempt.reply or "").startswith("5.7.8 "), "the server's own words"


def test_a_certificate_that_nobody_vouches_for_is_not_talked_to(strict: tuple[Strict, int]) -> None:
    server, port = strict

    (attempt,) = send(f"smtp://rollcall:p%40ss%20word@127.0.0.1:{port}?tls=starttls", 1)

    assert attempt.answer is MailResult.UNREACHABLE
    assert server.signed_in == server.taken == []
    assert (attempt.reply, attempt.about) == ("certificate verify failed: self-signed certificate", About.SIGN_IN)


def test_a_server_that_offers_no_encryption_gets_no_password() -> None:
    with serving(Script()) as script:
        (attempt,) = send(f"smtp://rollcall:secret@127.0.0.1:{script.port}?tls=starttls", 1)

    assert attempt.answer is MailResult.UNREACHABLE
    assert not [line for line in script.lines if line.startswith(("AUTH", "MAIL"))]


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("offer", [b"250 here\r\n", b"250-here\r\n250 PIPELINING\r\n"])
def test_envelopes_go_over_a_connection_encrypted_from_the_start(context: ssl.SSLContext, offer: bytes) -> None:
    with serving(Script(polite={"EHLO": offer}), context) as script:
        attempts = send(f"smtps://127.0.0.1:{script.port}", *range(20))

    assert [attempt.answer for attempt in attempts] == [MailResult.ACCEPTED] * 20
    assert (len(script.messages), script.connections) == (20, 1)


def test_encrypted_from_the_start_the_certificate_is_verified_too(context: ssl.SSLContext) -> None:
    with serving(Script(), context) as script:
        (attempt,) = send(f"smtps://127.0.0.1:{script.port}", 1)

    assert attempt.answer is MailResult.UNREACHABLE
    assert script.lines == []
    assert attempt.reply == "certificate verify failed: self-signed certificate"


def test_the_check_says_what_tls_says_and_where_it_ends(strict: tuple[Strict, int]) -> None:
    server, port = strict
    url = f"smtp://rollcall:p%40ss%20word@127.0.0.1:{port}?tls=starttls"

    seen = check(SmtpServer.parse(url), "us@y.example", "r1@x.example", timeout=5)

    assert (seen.ok, seen.stage, seen.encrypted) == (False, "connect", False)
    assert seen.said == "certificate verify failed: self-signed certificate"
    assert server.taken == []


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(("password", "ok", "code"), [("p%40ss%20word", True, 250), ("wrong", False, 535)])
def test_the_check_signs_in_and_sends_nothing(strict: tuple[Strict, int], password: str, ok: bool, code: int) -> None:
    server, port = strict
    url = f"smtp://rollcall:{password}@127.0.0.1:{port}?tls=starttls"

    seen = check(SmtpServer.parse(url), "us@y.example", "r1@x.example", timeout=5)

    assert (seen.ok, seen.code, seen.encrypted, seen.signed_in) == (ok, code, ok, ok)
    assert server.taken == []
