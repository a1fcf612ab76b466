"""Workers that send, of which one is killed every now and then and replaced at once; and what that leaves."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from bench.mail.letter import BODY, SUBJECT
from bench.mail.rollcall import ADDRESSES, mail_settings
from bench.mail.sink import RecordingSink, recording
from bench.mail.source import learners_for
from bench.system import System
from tests.chaos.processes import Processes, Standstill

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

_SETTINGS = {
    "ROLLCALL_LEASE_SECONDS": "2",
    "ROLLCALL_OFFER_SECONDS": "1",
    "ROLLCALL_RETRY_SECONDS": "0.5",
    "ROLLCALL_MAIL_GROUP": str(GROUP),
}
_OTHERS = {"relay": ["relay"], "tasks": ["pool", "tasks", "--threads", "2"]}
_BULK = ["pool", "bulk", "--threads", str(THREADS)]


@dataclass
class Deployment(Processes):
    """The processes of a mailing, on a database of its own, sending to a sink that writes down what it took."""

    sink: RecordingSink = field(kw_only=True)

    def announce(self, policy: str) -> None:
        """Launch an announcement to everyone."""
        words = ["--organisation", "acme", "--everyone", "--id", "news", "--subject", SUBJECT, "--body", BODY]
        self.command("announcements", "create", *words, "--policy", policy)
        self.command("announcements", "launch", "news", "--yes", "--no-check", "--organisation", "acme")

    def command(self, *words: str) -> None:
        """Run a command. Raises CalledProcessError."""
        subprocess.run(
            [sys.executable, "-m", "workers.cli", *words],
            env=self.system.environment(self.database, mail_settings(self.sink.port)),
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def settled(self) -> int:
        """For how many recipients it is over."""
        (settled,) = self.column("SELECT count(*) FROM deliveries WHERE state IN ('accepted', 'uncertain')")
        return int(settled)

    def finished(self) -> bool:
        """Whether nothing is left to be sent."""
        return self.column("SELECT finished_at IS NOT NULL FROM mailings WHERE id = 'news'") == [True]

    def slaughter(self, meanwhile: Callable[[float], None] = lambda _: None) -> None:
        """Kill a worker every two seconds until the mailing has finished, or as soon after that as anything is settled:
        where a process takes longer to start than that, none would ever come to work. Told how much of the mailing is
        settled, `meanwhile` may do worse."""
        mails = len(self.column(ADDRESSES))
        still = Standstill(time.monotonic)
        killed, before = time.monotonic(), 0
        while not self.finished():
            self.watch(_LOOK_SECONDS)
            if time.monotonic() - killed < EVERY_SECONDS:
                continue
            settled = self.settled()
            still.check(settled, mails)
            if settled == before or not self.kill_one("bulk"):
                continue
            killed, before = time.monotonic(), settled
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
        settings = mail_settings(sink.port) | _SETTINGS
        found = Deployment(system, database, settings, Random(seed), sink=sink)  # noqa: S311 - repeatable, not secret
        try:
            for name, words in _OTHERS.items():
                found.start(name, words)
            for number in range(WORKERS):
                found.start(f"bulk {number}", _BULK)
            yield found
        finally:
            found.stop()
