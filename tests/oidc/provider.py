"""The certified `oidc-provider` of npm, which `.ci/oidc-provider` installs: started for a test run, on this machine."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.accounts.test_signing_in import Browser
from tests.mailserver import free_port

FOLDER = Path(__file__).parents[2] / ".oidc-provider"
CLIENT, SECRET = "rollcall", "a secret: of tests/+ alone"


def rsa_key(kid: str) -> dict[str, Any]:
    """A key to sign with, its private half included."""
    made = rsa.generate_private_key(65537, 2048)
    return {**jwt.algorithms.RSAAlgorithm.to_jwk(made, as_dict=True), "kid": kid, "use": "sig", "alg": "RS256"}


def ec_key(kid: str) -> dict[str, Any]:
    """The same, by which signing costs less."""
    made = ec.generate_private_key(ec.SECP256R1())
    return {**jwt.algorithms.ECAlgorithm.to_jwk(made, as_dict=True), "kid": kid, "use": "sig", "alg": "ES256"}


@dataclass
class Provider:
    """A provider, whom it knows, and the pages that it sends browsers back to."""

    folder: Path
    pages_port: int = field(default_factory=free_port)
    port: int = field(default_factory=free_port)
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=lambda: [ec_key("first"), rsa_key("other")])
    process: subprocess.Popen[str] | None = None

    @property
    def issuer(self) -> str:
        """Who it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def back(self) -> str:
        """Where our client's people come back to."""
        return f"http://127.0.0.1:{self.pages_port}/sign-in/openid/back"

    def knows(self, who: str, **claims: object) -> None:
        """Have it say this of somebody, from now on."""
        self.people[who] = {"email": f"{who}@acme.example", "email_verified": True, **claims}
        self._write()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._write()
        node = shutil.which("node") or "node"
        command = [node, str(Path(__file__).with_name("provider.mjs")), str(self.folder / "settings.json")]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                assert pipe is not None
                pipe.close()
            self.process = None

    def let_in(self, address: str, who: str) -> str:
        """What somebody's browser does whom we sent there: sign in, and follow. The path that they come back to."""
        browser = Browser(self.issuer)
        parts = urlsplit(address)
        browser.open(f"{parts.path}?{parts.query}&login_hint={who}")
        while not (place := browser.headers["location"]).startswith(f"http://127.0.0.1:{self.pages_port}/"):
            parts = urlsplit(place)
            browser.open(f"{parts.path}?{parts.query}")
        parts = urlsplit(place)
        return f"{parts.path}?{parts.query}"

    def _write(self) -> None:
        client = {"client_secret": SECRET, "redirect_uris": [self.back], "grant_types": ["authorization_code"]}
        out = {"post_logout_redirect_uris": [f"http://127.0.0.1:{self.pages_port}/sign-in"]}
        said = {
            "issuer": self.issuer,
            "port": self.port,
            "modules": str(FOLDER / "node_modules"),
            "keys": self.keys,
            "clients": [
                {"client_id": CLIENT, "id_token_signed_response_alg": "ES256", **client, **out},
                {"client_id": "another", "id_token_signed_response_alg": "ES256", **client},
            ],
            "people": self.people,
        }
        (self.folder / "settings.json").write_text(json.dumps(said))


def changed(address: str, **parameters: str | None) -> str:
    """An address with other parameters; None: without."""
    parts = urlsplit(address)
    said = {name: values[0] for name, values in parse_qs(parts.query).items()} | parameters
    query = urlencode({name: value for name, value in said.items() if value is not None})
    return parts._replace(query=query).geturl()


@contextmanager
def started(folder: Path) -> Iterator[Provider]:
    """A provider that runs, or the test is skipped."""
    if not (FOLDER / "complete").exists():
        pytest.skip("no OpenID provider in .oidc-provider: run make servers, with node and npm at hand")
    found = Provider(folder)
    found.start()
    try:
        yield found
    finally:
        found.stop()
