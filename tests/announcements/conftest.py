"""An admin at the console."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from config.settings import load_settings
from tests.world import World
from workers import cli

Admin = Callable[..., Any]


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
def admin(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Admin]:
    """`rollcall announcements`, for acme; what it prints, or None where it refuses."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    load_settings.cache_clear()

    def run(command: str, *words: str) -> Any:
        done = CliRunner().invoke(cli.app, ["announcements", command, *words, "-o", "acme", "--json"])
        return json.loads(done.stdout) if done.exit_code == 0 else None

    yield run
    logging.getLogger().handlers.clear()  # the console's stderr is gone
    structlog.reset_defaults()
