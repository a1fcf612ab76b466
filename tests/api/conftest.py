"""A platform with its API served, and somebody who asks it."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from tasks.accounts import Caller, Door, Role
from tasks.acts import accounts as token_acts
from tasks.acts.acting import perform
from tests.isolation.conftest import neighbours
from tests.workers.serving import served
from tests.world import World

__all__ = ["neighbours"]  # a fixture

ROOT = Caller("root", Door.COMMAND, Role.OPERATOR)


@dataclass(frozen=True)
class ApiAnswer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def pointers(self) -> list[str]:
        """Which fields a problem names."""
        return [error["pointer"] for error in self.json.get("errors", [])]


@dataclass(frozen=True)
class Client:
    """Somebody who asks, with a token or without."""

    public_url: str
    token: str | None
    organisation: str = "acme"

    def ask(
        self, method: str, path: str, body: object = None, *, raw: bytes | None = None, query: Any = (), **headers: str
    ) -> ApiAnswer:
        """One request. A path that does not begin with / is below the organisation."""
        parts = urlsplit(self.public_url)
        whole = path if path.startswith("/") else f"/organisations/{quote(self.organisation, safe='')}/{path}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        target = f"{parts.path}/api/v1{whole}" + (f"?{urlencode(query, doseq=True)}" if query else "")
        connection.request(method, target, raw, sent)
        with connection.getresponse() as response:
            found = {name.lower(): value for name, value in response.getheaders()}
            return ApiAnswer(response.status, found, response.read())

    def get(self, path: str, **query: object) -> ApiAnswer:
        """Look something up."""
        return self.ask("GET", path, query=query)

    def post(self, path: str, body: object = None, **headers: Any) -> ApiAnswer:
        """Do something."""
        return self.ask("POST", path, body, **headers)


@dataclass(frozen=True)
class Served:
    """A world whose API is served, and whom it lets in."""

    world: World
    public_url: str
    tokens: dict[str, str]

    def client(self, role: Role | None = Role.ADMIN, *organisations: str, **more: str) -> Client:
        """Somebody with a token of this role; None: without one."""
        if role is None:
            return Client(self.public_url, None, **more)
        name = f"{role}-{'-'.join(organisations)}"
        if name not in self.tokens:
            whose = [*organisations] or ([] if role is Role.OPERATOR else ["acme"])
            expires = datetime.now(UTC) + timedelta(days=1)
            asked = token_acts.NewToken(name, role, whose, expires)
            self.tokens[name] = perform(self.world.runtime, ROOT, token_acts.add_token, asked).token
        return Client(self.public_url, self.tokens[name], **more)


@pytest.fixture
def api(world: World) -> Iterator[Served]:
    """The world, its API served."""
    with served(world.runtime) as runtime:
        world.runtime = runtime
        yield Served(world, runtime.endpoints.public_url, {})


@pytest.fixture
def serve(world: World) -> Iterator[Callable[..., Served]]:
    """The same with other settings."""
    with ExitStack() as stack:

        def serve_with(**said: object) -> Served:
            settings = world.runtime.settings.model_copy(update=said)
            runtime = stack.enter_context(served(replace(world.runtime, settings=settings)))
            world.runtime = runtime
            return Served(world, runtime.endpoints.public_url, {})

        yield serve_with
