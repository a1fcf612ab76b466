"""R18, R26, R32: the last release and this code side by side, each process replaced, forth and back."""

import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import psycopg
import pytest

from bench.mail.letter import BODY, SUBJECT
from bench.mail.rollcall import ADDRESSES, mail_settings
from bench.mail.sink import recording
from bench.system import Commands, Database, System, course_for_everyone, event, id_of
from tasks.system import unread
from tests.chaos.conftest import say
from tests.chaos.processes import AT_WORK, PATIENCE_SECONDS, Processes, Standstill, of_version, processes
from tests.chaos.test_starts import told

#: Learners, who each get a course, a notice, an announcement and a start in each phase; fewer show that it runs.
LEARNERS = int(os.environ.get("CHAOS_VERSIONS", "3000"))

#: Starts that are sent between two replacements.
PORTION = 500

ROOT = Path(__file__).parents[2]
GIT = shutil.which("git") or ""

COMMANDS: Commands = {
    "ingress 1": ("ingress",),
    "ingress 2": ("ingress",),
    "relay": ("relay",),
    "tasks 1": ("pool", "tasks", "--threads", "2"),
    "tasks 2": ("pool", "tasks", "--threads", "2"),
    "mail": ("pool", "mail", "--threads", "2"),
    "bulk": ("pool", "bulk", "--threads", "2"),
}

#: What is left to be done; what is quarantined waits for a person.
LEFT = """
    SELECT (SELECT count(*) FROM outbox WHERE position IS NULL) + (SELECT ordered - published FROM publication)
        + (SELECT count(*) FROM inbox WHERE state = 'waiting') + (SELECT count(*) FROM work)
        + (SELECT count(*) FROM mailings WHERE finished_at IS NULL)
"""


#: Who is enrolled in the courses for everybody, and who was charged for what.
EVERYWHERE = "SELECT learner FROM enrolments JOIN courses c USING (organisation, course) WHERE c.method = 'everyone'"
CHARGED = "SELECT l.id, course FROM consumptions JOIN learners l USING (organisation, learner)"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the last tagged release."""
    described = subprocess.run(
        [GIT, "describe", "--tags", "--abbrev=0", "--match=v*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if described.returncode:
        pytest.skip("no release is tagged here: git fetch --tags")
    folder = tmp_path_factory.mktemp(described.stdout.strip())
    packed = subprocess.run(
        [GIT, "archive", described.stdout.strip()], cwd=ROOT, stdout=subprocess.PIPE, check=True
    ).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def command(on: System, database: Database, settings: dict[str, str], source: Path | None, *words: str) -> None:
    """Run a command of a version. Raises CalledProcessError."""
    subprocess.run(
        [sys.executable, "-m", "workers.cli", *words],
        env=on.environment(database, settings) | of_version(source),
        cwd=source,
        stdout=subprocess.DEVNULL,
        check=True,
    )


#: What is done by now: what is left may grow meanwhile, as one thing leads to another.
DONE = """
    SELECT (SELECT published FROM publication) + (SELECT count(*) FROM inbox) + (SELECT count(*) FROM enrolments)
        + (SELECT coalesce(sum(n_live_tup), 0) FROM pg_stat_user_tables WHERE starts_with(relname, 'arrivals_'))
        + (SELECT count(*) FROM deliveries WHERE state <> 'pending')
"""


def settle(running: Processes) -> None:
    """Wait until nothing is left to be done."""
    still = Standstill(time.monotonic)
    while (left := running.column(LEFT)[0] + unread(running.system.redis)) > 0:
        done = running.column(DONE)[0]
        still.check(done, done + left)
        running.watch(0.5)


def test_r18_r26_r32_each_process_is_replaced_by_another_version_and_nothing_is_lost_or_doubled(
    on: System, release: Path
) -> None:
    on.redis.flushall()
    replaced = 0
    with recording(on.home) as sink, on.empty("released") as template:
        settings = mail_settings(sink.port) | {"ROLLCALL_LEASE_SECONDS": "5", "ROLLCALL_OFFER_SECONDS": "1"}
        with psycopg.connect(template) as session:
            command(on, Database("released", template, session), settings, release, "migrate")
        with (
            on.database("versions", LEARNERS, "released") as database,
            processes(on, database, settings, 1, {}) as running,
        ):
            on.publish([sent for phase in range(3) for sent in enrolled(phase)])
            running.sources |= dict.fromkeys(COMMANDS, release)
            for name, words in COMMANDS.items():
                running.start(name, words)
            for phase, source in enumerate([None, release, None]):
                before = release if source is None else None
                begin(on, running, phase, before, settings)
                if phase == 0:
                    command(on, database, settings, None, "migrate")
                starts = portions(phase)
                for name in COMMANDS:
                    on.publish(next(starts, []))
                    running.replace(name, source)
                    replaced += 1
                    at_work(running, name)
                for portion in starts:
                    on.publish(portion)
                settle(running)
            for proof in (["seats", "verify"], ["reconcile", "--organisation", "acme"]):
                command(on, database, settings, None, *proof)
            mailed = set(running.column(ADDRESSES))
            active = set(running.column("SELECT id FROM learners WHERE standing = 'active'"))
            everywhere = Counter(running.column(EVERYWHERE))
            charged = Counter(running.rows(CHARGED))
            states = running.column("SELECT DISTINCT state FROM mailings")
        events = Counter(
            (each["data"]["learner"], each["data"]["course"])
            for each in told(on.redis)
            if each["type"] == "rollcall.seat.consumed"
        )
        sink.settle()
        taken = list(sink.taken())

    say(f"two versions: {replaced} processes replaced, {len(taken):,} mails, {len(events):,} charges")
    assert states == ["finished"]
    assert Counter(mail.recipient for mail in taken) == dict.fromkeys(mailed, 6), "an announcement and a notice a phase"
    assert len({(mail.recipient, mail.message_id) for mail in taken}) == len(taken)
    assert set(everywhere.values()) == {3}
    assert len(everywhere) == LEARNERS
    assert set(charged.values()) == {1}
    assert len(charged) == 3 * len(active)
    assert events == {(learner, f"started {phase}"): 1 for learner in active for phase in range(3)}


def begin(on: System, running: Processes, phase: int, source: Path | None, settings: dict[str, str]) -> None:
    """An announcement to everybody and a course for everybody are under way."""
    words = ["--organisation", "acme", "--everyone", "--subject", SUBJECT, "--body", BODY, "--id", f"news-{phase}"]
    command(on, running.database, settings, source, "announcements", "create", *words)
    launch = ["announcements", "launch", f"news-{phase}", "--yes", "--no-check", "--organisation", "acme"]
    command(on, running.database, settings, source, *launch)
    on.publish([course_for_everyone(f"everyone {phase}")])


def enrolled(phase: int) -> list[bytes]:
    """A course for the starts of a phase, in which everybody is enrolled."""
    course = f"started {phase}"
    learners = [id_of(number) for number in range(1, LEARNERS + 1)]
    request = {"request": course, "course": course, "notify": False, "tab": "all", "learners": learners}
    return [
        event("course.saved", {"course": course, "title": "Started", "cost": 3, "method": "manual"}),
        event("enrolment.requested", request),
    ]


def portions(phase: int) -> Iterator[list[bytes]]:
    """Starts of everybody, each sent twice, in parts."""
    starts = [
        event("course.started", {"learner": id_of(n), "course": f"started {phase}"}) for n in range(1, LEARNERS + 1)
    ]
    twice = starts + starts[::-1]
    return (twice[first : first + PORTION] for first in range(0, len(twice), PORTION))


def at_work(running: Processes, name: str) -> None:
    """Wait until a process says that it has begun."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any(word in running.log_of(name) for word in AT_WORK):
        assert time.monotonic() < deadline, running.log_of(name)[-2000:]
        running.watch(0.1)
