"""What is asked of a provider: over verified TLS, within bounds, and not where an answer points."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tasks.accounts import fetching
from tasks.accounts.fetching import ProviderAway, fetch
from tasks.accounts.openid import OpenIdProvider
from tests.certificates import self_signed

pytestmark = pytest.mark.serves


@contextmanager
def answering(
    body: bytes, status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> Iterator[tuple[HTTPServer, list[str]]]:
    """A server that answers everything with this; what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server, asked
        finally:
            server.shutdown()
            thread.join()


def at(server: HTTPServer, scheme: str = "http", path: str = "") -> str:
    return f"{scheme}://127.0.0.1:{server.server_port}{path}"


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path / "pem")
    with answering(b'{"a": 1}') as (server, asked):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        with pytest.raises(ProviderAway, match="self-signed certificate"):
            fetch(at(server, "https"))
        assert asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch(at(server, "https")) == (200, {"a": 1})
        with pytest.raises(ProviderAway, match=r"certificate|mismatch"):
            fetch(at(server, "https").replace("127.0.0.1", "localhost"))


def test_nothing_is_sent_where_an_answer_points() -> None:
    with answering(b"{}") as (other, asked), answering(b"{}", 302, (("Location", at(other)),)) as (server, _):
        assert fetch(at(server)) == (302, {})
    assert asked == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"<html>", b"[" * 100_000, b"\xff", b'{"a": "' + b"x" * 1_100_000 + b'"}']
)
def test_an_answer_that_is_no_object_or_too_long_is_none(body: bytes) -> None:
    with answering(body) as (server, _), pytest.raises(ProviderAway, match=r"its answer"):
        fetch(at(server))


@pytest.mark.parametrize("url", ["http://login.example/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "//x", ""])
def test_a_url_of_which_nobody_knows_who_answers_is_not_asked(url: str) -> None:
    with pytest.raises(ProviderAway, match="does not begin with https"):
        fetch(url)


@pytest.mark.parametrize(
    "document",
    [
        b'{"issuer": "https://evil.example"}',
        b"{}",
        b'{"issuer": "ISSUER", "jwks_uri": "http://evil.example/keys"}',
        b'{"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"}',
        b'{"issuer": "ISSUER", "jwks_uri": ["https://x"]}',
        b'{"issuer": "ISSUER", "jwks_uri": "ISSUER", "keys": [], "authorization_endpoint": "javascript:alert(1)"}',
    ],
)
def test_a_discovery_document_that_does_not_hold_is_refused_and_not_asked_again_at_once(document: bytes) -> None:
    with answering(b"") as (server, asked):
        body = document.replace(b"ISSUER", at(server).encode())
        server.RequestHandlerClass.do_GET = _says(body, asked)  # type: ignore[attr-defined]
        provider = OpenIdProvider(at(server), "rollcall", None, "openid", "groups")
        for _ in range(3):
            with pytest.raises(ProviderAway):
                provider.metadata()
    assert asked.count("/.well-known/openid-configuration") == 1


def _says(body: bytes, asked: list[str]) -> object:
    def answer(self: BaseHTTPRequestHandler) -> None:
        asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    return answer


def test_an_answer_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SECONDS", -1.0)
    with answering(b"{}") as (server, _), pytest.raises(ProviderAway, match="takes too long"):
        fetch(at(server))
