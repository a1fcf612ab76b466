"""The commands, as a person runs them over a test's own servers, and what they print."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jsonschema
import pytest
import typer.testing
from typer.main import get_command
from typer.testing import CliRunner, Result

from config.settings import Settings, load_settings
from tests.world import World
from workers import cli
from workers.schemas import FOLDER

Rollcall = Callable[..., Result]


#: Each command is made but once, however often it is run.
vars(typer.testing)["_get_command"] = cache(get_command)


def invoke(*words: str, stdin: str | None = None, env: dict[str, str] | None = None) -> Result:
    """Run a command in this process, with no more made for it than `rollcall` makes: its own group."""
    first = words[0] if words and words[0] in {*cli.COMMANDS, *cli.GROUPS} else None
    return CliRunner().invoke(cli.whole(first), words, input=stdin, env=env)


def invoke_over(env: Mapping[str, str], *words: str) -> Result:
    """Run a command in this process, over the servers that an environment names."""
    load_settings.cache_clear()
    try:
        return invoke(*words, env=dict(env))
    finally:
        load_settings.cache_clear()


@pytest.fixture
def rollcall(world: World, monkeypatch: pytest.MonkeyPatch) -> Rollcall:
    """The console script, over the world's servers; refusals end as they do for a user."""
    endpoints = world.runtime.endpoints
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", endpoints.database_url)
    monkeypatch.setenv("REDIS_URL", endpoints.redis_url)
    monkeypatch.setenv("SMTP_URL", endpoints.smtp_url)
    monkeypatch.setenv("MAIL_FROM", endpoints.mail_from)
    monkeypatch.setenv("PUBLIC_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SECRET_KEY", "only for tests")
    monkeypatch.setenv("ROLLCALL_HOME", str(world.runtime.home))
    load_settings.cache_clear()
    return invoke


@pytest.fixture
def refused(
    rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a command that is to be refused; the one line it says on stderr."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["rollcall", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capfd.readouterr()
        assert end.value.code == 1
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        return printed.err.strip()

    return run


def printed(name: str, result: Result) -> Any:
    """The one JSON document of a result, checked against the schema of its command."""
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    jsonschema.validate(document, json.loads((FOLDER / "commands" / f"{name}.json").read_text()))
    return document


@pytest.fixture
def story(world: World) -> World:
    """A learner with everything a learner can have, one who is inactive, and an announcement."""
    world.has_learners("A")
    world.has_learners("B", status="inactive")
    world.has_course("safety", "everyone")
    world.starts("A", "safety")
    world.say("course.started", learner="nobody", course="safety")
    world.say(
        "announcement.requested",
        announcement="hello",
        subject="Hello {{ first_name }}",
        body="Dear {{ first_name }}",
        audience={"everyone": True},
        send_at=None,
        time_zone="UTC",
    )
    world.settle()
    return world
