"""An admin at the console."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from typer.testing import Result

from config.errors import Conflict, Invalid, NotFound
from config.settings import load_settings
from tests.commands.console import invoke
from tests.world import World
from workers.commands.common import Refused

Admin = Callable[..., Any]
Rollcall = Callable[..., Result]


@pytest.fixture
def environment(world: World) -> dict[str, str]:
    """The environment of a process that works on the world."""
    found, settings = world.runtime.endpoints, world.runtime.settings
    return {
        "DATABASE_URL": found.database_url,
        "REDIS_URL": found.redis_url,
        "SMTP_URL": found.smtp_url,
        "MAIL_FROM": found.mail_from,
        "PUBLIC_URL": found.public_url,
        "SECRET_KEY": found.secret_key,
        "ROLLCALL_HOME": str(settings.rollcall_home),
    }


@pytest.fixture
def rollcall(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Rollcall]:
    """`rollcall announcements`, for acme."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    load_settings.cache_clear()

    def run(command: str, *words: str, stdin: str | None = None) -> Result:
        return invoke("announcements", command, *words, "-o", "acme", stdin=stdin)

    yield run
    logging.getLogger().handlers.clear()  # the console's stderr is gone
    structlog.reset_defaults()


@pytest.fixture
def admin(rollcall: Rollcall) -> Admin:
    """`rollcall announcements`, for acme; what it prints with --json, or None where it refuses."""

    def run(command: str, *words: str, **more: str) -> Any:
        done = rollcall(command, *words, "--json", **more)
        return json.loads(done.stdout) if done.exit_code == 0 else None

    return run


@pytest.fixture
def refused(rollcall: Rollcall) -> Callable[..., str]:
    """`rollcall announcements`, for acme, where it is to refuse; why."""

    def run(command: str, *words: str, **more: str) -> str:
        done = rollcall(command, *words, **more)
        assert done.exit_code == 1, done.output
        assert isinstance(done.exception, Refused | NotFound | Conflict | Invalid), done.exception
        assert "\n" not in str(done.exception)
        return str(done.exception)

    return run
