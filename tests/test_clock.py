"""The time is the database's, whatever the clock of a host says (R33)."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config import clock
from tests.hosts.clocks import shifted

ROOT = Path(__file__).parents[1]

#: Seconds that an answer may take on a busy machine: far less than the clocks differ by.
SOON = 60

PROGRAM = """
import sys
from datetime import UTC, datetime
from config import clock
from config.engine import make_engine
with make_engine(sys.argv[1], role="test").connect():
    print(datetime.now(UTC).timestamp(), clock.seconds())
"""


@pytest.fixture
def as_it_was() -> Iterator[None]:
    """What this process knows of the database's clock is forgotten again."""
    yield
    clock.learn(datetime.now(UTC), datetime.now(UTC))


@pytest.mark.parametrize("ahead", [420, -420])
def test_r33_whoever_connects_goes_by_the_clock_of_the_database(database_url: str, tmp_path: Path, ahead: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, database_url],
        env={**os.environ, **shifted(tmp_path, ahead)},
        capture_output=True,
        text=True,
        check=True,
    )

    host, found = map(float, done.stdout.split())
    assert abs(host - ahead - time.time()) < SOON, "its own clock is wrong"
    assert abs(found - time.time()) < SOON


@pytest.mark.usefixtures("as_it_was")
def test_clocks_that_agree_but_for_a_second_are_left_alone() -> None:
    asked = datetime.now(UTC)
    clock.learn(asked + timedelta(seconds=0.9), asked)
    assert clock.now() - datetime.now(UTC) <= timedelta()

    asked = datetime.now(UTC)
    clock.learn(asked + timedelta(hours=1), asked)
    assert timedelta(minutes=59) < clock.now() - datetime.now(UTC) < timedelta(minutes=61)
    clock.learn(datetime.now(UTC), datetime.now(UTC))
    assert clock.now() - datetime.now(UTC) <= timedelta(), "it is right again"


def test_nobody_asks_the_clock_of_this_host() -> None:
    files = [path for folder in ("tasks", "workers") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 300
    asked = re.compile(r"\bdatetime\.(now|utcnow|today)\(|\bdate\.today\(|(?<![\w.])time\.time\(")
    found = {
        (path.relative_to(ROOT).as_posix(), line.strip())
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if asked.search(line)
    }

    assert found == {("workers/presence.py", "asked = datetime.now(UTC)")}, "clock.now() is the time"
