"""An announcement of Rollcall's, from launched to finished, through the real processes."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from bench.mail.letter import BODY, SUBJECT
from bench.mail.sink import recording
from bench.mail.usage import Usage, usage
from bench.system import ORGANISATION, Commands, Database, Process, System

#: Seconds between two looks at an announcement: rare, for a look costs what is measured.
_LOOK_SECONDS = 0.2

#: Seconds for which a mailing may stand still before it has failed.
_PATIENCE_SECONDS = 120.0

#: Whom a mailing reaches, of those who are there.
ADDRESSES = "SELECT lower(email) FROM learners WHERE organisation = 1 AND standing = 'active' AND email IS NOT NULL"

#: Beside the names that the fill of a database gives: somebody whose values can be found again in a letter.
_MARKED = """
    INSERT INTO learners (organisation, learner, id, standing, version, saved_version, saved_at, username, email,
                          first_name, last_name, locale, time_zone)
    VALUES (1, 1, 'marked', 'active', 1, 1, now(), 'USERNAME', 'address@marked.example', 'FIRSTNAME', 'LASTNAME', 'en',
            'Europe/Amsterdam');
    UPDATE organisations SET learners = 1
"""
_MARKS = {
    "FIRSTNAME": "{{ first_name }}",
    "LASTNAME": "{{ last_name }}",
    "USERNAME": "{{ username }}",
    "address@marked.example": "{{ email }}",
}


@dataclass(frozen=True, slots=True)
class Letter:
    """The letter as Rollcall sends it: its octets, and what it is made of, with merge fields where values go."""

    size: int
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Run:
    """One mailing to its end."""

    mails: int
    seconds: float
    used: Usage
    lost: int
    doubled: int

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.mails / self.seconds

    @property
    def cpu(self) -> float:
        """Seconds of processor time for 1,000 mails, the sink's apart."""
        return sum(self.used.cpu.values()) * 1000 / self.mails


def counted(expected: set[str], at_sink: Counter[str]) -> tuple[int, int]:
    """How many of those expected got nothing, and how many mails somebody got beyond the first."""
    return len(expected - at_sink.keys()), at_sink.total() - len(at_sink)


def mail_settings(port: int) -> dict[str, str]:
    """Settings of processes that send to a port of this machine."""
    return {
        "SMTP_URL": f"smtp://127.0.0.1:{port}?tls=none",
        "MAIL_FROM": "Training <training@rollcall.example>",
        "PUBLIC_URL": "https://rollcall.example",
        "SECRET_KEY": "only for measuring, and long enough for a key",
    }


def senders(bulk: int, threads: int) -> Commands:
    """The processes that a mailing passes through: `bulk` of those that send, with so many threads each."""
    pools: Commands = {f"bulk {n}": ("pool", "bulk", "--threads", str(threads)) for n in range(1, bulk + 1)}
    return {"relay": ("relay",), "tasks": ("pool", "tasks", "--threads", "2"), **pools}


@dataclass(frozen=True)
class Rollcall:
    """Running processes of ours, on a database."""

    system: System
    database: Database
    settings: Mapping[str, str]
    started: Sequence[Process]

    @property
    def pids(self) -> dict[str, int]:
        """Every process a mailing costs something, by name; those of a pool are numbered."""
        return {process.name: process.popen.pid for process in self.started} | self.system.pids

    def usage(self) -> Usage:
        """What they used so far."""
        return usage(self.pids)

    def command(self, *words: str) -> Any:
        """What a command says, as JSON. Raises CalledProcessError."""
        done = subprocess.run(
            [sys.executable, "-m", "workers.cli", *words, "--json"],
            env=self.system.environment(self.database, self.settings),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    def announce(self, id_: str, *words: str, policy_: str = "hold", organisation: str = ORGANISATION) -> None:
        """Create and launch an announcement, to everyone unless words say otherwise; it is committed on return."""
        self.command(
            "announcements", "create", "--organisation", organisation, "--id", id_, "--subject", SUBJECT, "--body",
            BODY, "--policy", policy_, *(words or ("--everyone",)),
        )  # fmt: skip
        self.command("announcements", "launch", id_, "--yes", "--no-check", "--organisation", organisation)

    def finish(self, id_: str, meanwhile: Callable[[], None] = lambda: None, look: float = _LOOK_SECONDS) -> float:
        """Wait for the end of an announcement, doing something at each look; the seconds from its launch to that."""
        named = f"FROM mailings WHERE kind = 'announcement' AND id = '{id_}'"
        moved, settled = time.monotonic(), -1
        while not self.database.value(f"SELECT finished_at IS NOT NULL {named}"):
            if time.monotonic() - moved > _PATIENCE_SECONDS:
                now = int(self.database.value("SELECT count(*) FROM deliveries WHERE state <> 'pending'"))
                if now == settled:
                    raise TimeoutError(f"{id_} stands still at {now} deliveries settled")
                moved, settled = time.monotonic(), now
            meanwhile()
            time.sleep(look)
        return float(self.database.value(f"SELECT extract(epoch FROM finished_at - launched_at) {named}"))

    def send(self, id_: str, recipients: Callable[[], Counter[str]], *words: str) -> Run:
        """An announcement from launched to finished, counted at the sink."""
        before = self.usage()
        self.announce(id_, *words)
        seconds = self.finish(id_)
        used = self.usage().since(before)
        at_sink = recipients()
        expected = {row[0] for row in self.database.session.execute(ADDRESSES).fetchall()}
        return Run(len(expected), seconds, used, *counted(expected, at_sink))


@contextmanager
def rollcall(
    system: System, database: Database, port: int, commands: Commands, settings: Mapping[str, str] | None = None
) -> Iterator[Rollcall]:
    """The processes, sending to a port of this machine."""
    told = {**mail_settings(port), **(settings or {})}
    with system.processes(database, commands, told) as started:
        yield Rollcall(system, database, told, started)


def letter(system: System) -> Letter:
    """Send the letter to one learner, and look at what arrives."""
    kept = system.home / "letter.eml"
    with (
        recording(system.home, keep=kept) as sink,
        system.database("letter", 0) as database,
    ):
        database.execute(_MARKED)
        with rollcall(system, database, sink.port, senders(1, 1)) as ours:
            ours.announce("letter")
            ours.finish("letter")
    return _letter(kept)


def _letter(kept: Path) -> Letter:
    octets = kept.read_bytes()
    message = message_from_bytes(octets, policy=policy.default)
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    if text is None or html is None:
        raise RuntimeError("the letter is not text and HTML")
    return Letter(
        len(octets), _marked(str(message["Subject"])), _marked(text.get_content()), _marked(html.get_content())
    )


def _marked(words: str) -> str:
    for mark, field in _MARKS.items():
        words = words.replace(mark, field)
    return words
