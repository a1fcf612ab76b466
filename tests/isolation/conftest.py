"""Two organisations side by side, and a console."""

import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from typer.testing import Result

from config.settings import Settings, load_settings
from tests.commands.console import invoke
from tests.isolation.neighbours import furnish_both
from tests.world import World

Rollcall = Callable[..., Result]


@pytest.fixture
def neighbours(world: World) -> World:
    """Two organisations, each with something of everything under the same ids, and nothing left to do."""
    furnish_both(world)
    return world


@pytest.fixture
def rollcall(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rollcall]:
    """The console script, over the world's servers."""
    found = world.runtime.endpoints
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", found.database_url)
    monkeypatch.setenv("REDIS_URL", found.redis_url)
    monkeypatch.setenv("SMTP_URL", found.smtp_url)
    monkeypatch.setenv("MAIL_FROM", found.mail_from)
    monkeypatch.setenv("PUBLIC_URL", found.public_url)
    monkeypatch.setenv("SECRET_KEY", found.secret_key)
    monkeypatch.setenv("ROLLCALL_HOME", str(world.runtime.home))
    load_settings.cache_clear()
    yield invoke
    logging.getLogger().handlers.clear()  # the console's stderr is gone
    structlog.reset_defaults()
