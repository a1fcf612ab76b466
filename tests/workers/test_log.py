"""The log: JSON where it is asked for, what matters in it, and nobody's data."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from config.database import say, transaction
from config.log import as_json
from tests.workers.deployment import Deployment, until
from tests.world import World

#: What is known of a learner, none of which any log may have.
PERSONAL = ("User-Zenobia", "Zenobia", "zenobia@acme.example", "Quirrel")


@pytest.fixture
def deployment(platform: World, tmp_path: Path) -> Any:
    found = Deployment(platform.runtime, tmp_path, log="json")
    yield found
    found.stop()


def lines(deployment: Deployment, name: str) -> list[dict[str, Any]]:
    whole, _, _ = deployment.log(name).rpartition("\n")  # what follows is still being written
    return [json.loads(line) for line in whole.splitlines()]


def named(deployment: Deployment, name: str, event: str) -> list[dict[str, Any]]:
    return [line for line in lines(deployment, name) if line["event"] == event]


def test_what_matters_is_logged_as_json_and_nothing_personal(platform: World, deployment: Deployment) -> None:
    learner = platform.learner("Zenobia", last_name="Quirrel")
    deployment.start("ingress", "relay", "tasks", "bulk")
    described = {"course": "safety", "title": "Safety", "cost": 1, "on_hold": False, "method": "manual"}
    ticked = {"request": "r1", "course": "safety", "learners": ["Zenobia"], "tab": "all"}
    deployment.publish(
        platform.event("learner.saved", learner),
        platform.event("course.saved", described | {"segments": []}),
        platform.event("enrolment.requested", ticked),
        platform.event(
            "announcement.requested",
            {"announcement": "news", "subject": "Hi", "body": "Hello", "audience": {"everyone": True}},
        ),
        b'{"malformed": "Zenobia Quirrel"}',
    )

    until(lambda: len(named(deployment, "relay", "mailing.finished")) == 1, "the end of the announcement")
    until(lambda: len(named(deployment, "relay", "fanout.finished")) == 1, "the end of the fan-out")
    until(lambda: all(lines(deployment, name) for name in deployment.processes), "a line of each process")

    (launched,) = named(deployment, "ingress", "mailing.launched")
    (finished,) = named(deployment, "relay", "mailing.finished")
    assert launched["mailing"] == finished["mailing"]
    assert (finished["selected"], finished["accepted"], finished["failed"]) == (1, 1, 0)
    (fanout,) = named(deployment, "relay", "fanout.finished")
    assert (fanout["selected"], fanout["enrolled"], fanout["silent"]) == (1, 1, 0)
    (quarantined,) = named(deployment, "ingress", "events.quarantined")
    assert quarantined["reasons"] == {"malformed": 1}
    for name, process in deployment.processes.items():
        said = lines(deployment, name)
        assert {line["pid"] for line in said} == {process.pid}
        assert {line["host"] for line in said} == {socket.gethostname()}
        assert {line["process"] for line in said} == {{"tasks": "pool tasks", "bulk": "pool bulk"}.get(name, name)}
        assert not [word for word in PERSONAL if word.lower() in deployment.log(name).lower()]


def test_what_is_rolled_back_is_not_logged(platform: World, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        with transaction(platform.runtime.engine) as connection:
            say(connection, "it.was_done", count=1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert "it.was_done" not in caplog.text

    with caplog.at_level("INFO"), transaction(platform.runtime.engine) as connection:
        say(connection, "it.was_done", count=1)
        connection.execute(text("SELECT 1"))
        assert "it.was_done" not in caplog.text


@pytest.mark.parametrize("line", ["plain", "", "[1]", "{broken", '"text"', "[" * 100_000, "nul \x00 and \x1b[31m red"])
def test_a_line_that_is_no_json_object_becomes_one(line: str) -> None:
    made = json.loads(as_json(line, "mail.1", 42))

    assert (made["event"], made["process"], made["pid"], made["host"]) == (line, "mail.1", 42, socket.gethostname())
    assert "\n" not in as_json(line, "mail.1", 42)


def test_up_writes_every_line_as_json(platform: World, tmp_path: Path) -> None:
    found = platform.runtime.endpoints
    procfile = tmp_path / "Procfile"
    procfile.write_text(
        f"relay: rollcall run relay\nplain: '{sys.executable}' -c 'print(\"a plain line\"); import sys; sys.exit(3)'\n"
    )
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ROLLCALL_")},
        "DATABASE_URL": found.database_url, "REDIS_URL": found.redis_url, "SMTP_URL": found.smtp_url,
        "MAIL_FROM": found.mail_from, "PUBLIC_URL": found.public_url, "SECRET_KEY": found.secret_key,
        "ROLLCALL_HOME": str(tmp_path / "home"), "ROLLCALL_LOG": "json",
    }  # fmt: skip
    log = tmp_path / "log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "workers.cli", "up", "--procfile", str(procfile)]
        up = subprocess.Popen(command, env=env, stdout=output, stderr=output)
    try:
        for word in ("relay.leads", "a plain line", "ready: ", "starting it again"):
            until(lambda word=word: word in log.read_text(), word)  # type: ignore[misc]
        up.send_signal(signal.SIGTERM)
        assert up.wait(30) == 0
    finally:
        up.kill()

    said = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["process"] for line in said} == {"rollcall", "relay.1", "plain.1"}
    assert all(isinstance(line["pid"], int) and line["host"] == socket.gethostname() for line in said)
    assert [line["pid"] for line in said if line["event"].startswith("ready")] == [up.pid]
