"""Workers that send, of which one is killed every now and then and replaced at once; and what that leaves."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from bench.mail.letter import BODY, SUBJECT
from bench.mail.rollcall import ADDRESSES, mail_settings
from bench.mail.sink import RecordingSink, recording
from bench.mail.source import learners_for
from bench.system import Database, System

#: Seconds between two kills.
EVERY_SECONDS = 2.0

#: Workers that send, threads of each, and mails that each thread begins together.
WORKERS = 2
THREADS = 2
GROUP = 50

#: Mails that one kill may leave uncertain: what each thread had begun and not recorded (R19).
BEGUN_AT_MOST = THREADS * GROUP

#: Seconds between two looks at the mailing.
_LOOK_SECONDS = 0.1

#: Seconds without any progress after which a mailing counts as stuck.
_PATIENCE_SECONDS = 90.0

_SETTINGS = {
    "ROLLCALL_LEASE_SECONDS": "2",
    "ROLLCALL_OFFER_SECONDS": "1",
    "ROLLCALL_RETRY_SECONDS": "0.5",
    "ROLLCALL_MAIL_GROUP": str(GROUP),
}
_OTHERS = {"relay": ["relay"], "tasks": ["pool", "tasks", "--threads", "2"]}
_BULK = ["pool", "bulk", "--threads", str(THREADS)]


@dataclass
class Deployment:
    """The processes of a mailing, on a database of its own, sending to a sink that writes down what it took."""

    system: System
    database: Database
    sink: RecordingSink
    random: Random
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kills: int = 0

    def start(self, name: str, words: list[str]) -> None:
        """Start a process, or one in place of another."""
        with self._log(name).open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "workers.cli", "run", *words],
                env=self.system.environment(self.database, mail_settings(self.sink.port) | _SETTINGS),
                stdout=log,
                stderr=log,
            )

    def kill_one(self) -> bool:
        """SIGKILL one of the workers that are at work, whichever, and start another in its place."""
        workers = [name for name in self.processes if name.startswith("bulk")]
        at_work = [name for name in workers if b"pool.started" in self._log(name).read_bytes()]
        if not at_work:
            return False
        name = self.random.choice(at_work)
        self.processes[name].kill()
        self.processes[name].wait()
        self.kills += 1
        self.start(name, _BULK)
        return True

    def revive(self) -> None:
        """Start again what ended by itself, as `rollcall up` does."""
        for name, process in list(self.processes.items()):
            if process.poll() is not None:
                self.start(name, _BULK if name.startswith("bulk") else _OTHERS[name])

    def _log(self, name: str) -> Path:
        return self.system.home / f"chaos {name}.log"

    def announce(self, policy: str) -> None:
        """Launch an announcement to everyone."""
        words = ["--organisation", "acme", "--everyone", "--id", "news", "--subject", SUBJECT, "--body", BODY]
        self.command("announcements", "create", *words, "--policy", policy)
        self.command("announcements", "launch", "news", "--organisation", "acme")

    def command(self, *words: str) -> None:
        """Run a command. Raises CalledProcessError."""
        subprocess.run(
            [sys.executable, "-m", "workers.cli", *words],
            env=self.system.environment(self.database, mail_settings(self.sink.port)),
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def column(self, query: str) -> list[Any]:
        """The first column of a query; asked again while the database is away."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                with psycopg.connect(self.database.url) as session:
                    return [row[0] for row in session.execute(query.encode()).fetchall()]
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_SECONDS)

    def settled(self) -> int:
        """For how many recipients it is over."""
        (settled,) = self.column("SELECT count(*) FROM deliveries WHERE state IN ('accepted', 'uncertain')")
        return int(settled)

    def finished(self) -> bool:
        """Whether nothing is left to be sent."""
        return self.column("SELECT finished_at IS NOT NULL FROM mailings WHERE id = 'news'") == [True]

    def slaughter(self, meanwhile: Callable[[float], None] = lambda _: None) -> None:
        """Kill a worker every two seconds until the mailing has finished; told how much of it is settled, `meanwhile`
        may do worse."""
        mails = len(self.column(ADDRESSES))
        killed = moved = time.monotonic()
        settled = 0
        while not self.finished():
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            self.revive()
            if now - killed < EVERY_SECONDS or not self.kill_one():
                continue
            killed = now
            before, settled = settled, self.settled()
            moved = now if settled > before else moved
            assert now - moved < _PATIENCE_SECONDS, f"it stands still at {settled} of {mails}"
            meanwhile(settled / mails)

    def aftermath(self) -> "Aftermath":
        """What the ledger says, and what the sink took."""
        self.sink.settle()
        taken = list(self.sink.taken())
        ids: dict[str, set[str]] = {}
        for one in taken:
            ids.setdefault(one.recipient, set()).add(one.message_id)
        joined = "SELECT lower(l.email) FROM {} JOIN learners l USING (organisation) WHERE l.learner = d.recipient"
        state = joined.format("deliveries d") + " AND d.state = '{}'"
        return Aftermath(
            kills=self.kills,
            selected=set(self.column(ADDRESSES)),
            accepted=set(self.column(state.format("accepted"))),
            uncertain=set(self.column(state.format("uncertain"))),
            doubted=self.column(joined.format("attempts d") + " AND d.reason IN ('worker lost', 'ambiguous')"),
            at_sink=Counter(one.recipient for one in taken),
            message_ids=ids,
            state=self.column("SELECT state FROM mailings WHERE id = 'news'")[0],
        )


@dataclass(frozen=True)
class Aftermath:
    """Who was to get the mailing, how the ledger has it, and what arrived; addresses in small letters."""

    kills: int
    selected: set[str]
    accepted: set[str]
    uncertain: set[str]
    doubted: list[str]
    at_sink: Counter[str]
    message_ids: dict[str, set[str]]
    state: str

    @property
    def lost(self) -> set[str]:
        """Who got nothing, and of whom the ledger does not say so."""
        return self.selected - self.at_sink.keys() - self.uncertain

    @property
    def twice(self) -> set[str]:
        """Who got more than one."""
        return {recipient for recipient, times in self.at_sink.items() if times > 1}


@contextmanager
def deployment(system: System, mails: int, seed: int) -> Iterator[Deployment]:
    """Everything that runs, ready; what is left of it is ended."""
    system.redis.flushall()
    with recording(system.home) as sink, system.database("chaos", learners_for(mails)) as database:
        found = Deployment(system, database, sink, Random(seed))  # noqa: S311 - repeatable, not secret
        try:
            for name, words in _OTHERS.items():
                found.start(name, words)
            for number in range(WORKERS):
                found.start(f"bulk {number}", _BULK)
            yield found
        finally:
            for process in found.processes.values():
                process.terminate()
            for process in found.processes.values():
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
