"""A mailing, a fan-out and a stream of starts at once, of which the primary of PostgreSQL is killed; what it leaves."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from bench.mail.letter import BODY, SUBJECT
from bench.mail.rollcall import mail_settings
from bench.mail.sink import Manners, RecordingSink, recording
from bench.system import Commands, Database, System, course_for_everyone, event, id_of
from tasks.system import unread
from tests.chaos.processes import Processes, Standstill, processes
from tests.chaos.test_starts import told
from tests.commands.console import invoke_over
from tests.failover.cluster import Cluster, Node

COMMANDS: Commands = {
    "ingress": ("ingress",),
    "relay": ("relay",),
    "tasks": ("pool", "tasks", "--threads", "2"),
    "bulk": ("pool", "bulk", "--threads", "2"),
}

#: Mails that a thread begins together, and those that one kill may leave uncertain: what each had begun (R19).
GROUP = 50
BEGUN_AT_MOST = 2 * GROUP

SETTINGS = {
    "ROLLCALL_LEASE_SECONDS": "5",
    "ROLLCALL_OFFER_SECONDS": "1",
    "ROLLCALL_RETRY_SECONDS": "0.5",
    "ROLLCALL_MAIL_GROUP": str(GROUP),
    "ROLLCALL_SMTP_CONNECTIONS": "2",
}

#: Seconds between two looks at what was done.
LOOK_SECONDS = 0.05

#: Learners of one request for enrolments.
_ENROLLED_AT_ONCE = 5_000

#: The first so many learners are whom the mailing is for.
_SEGMENT = """
    INSERT INTO segments (organisation, id, name, saved_at) VALUES (1, 'some', 'Some', now() - interval '1 day');
    INSERT INTO membership_changes (organisation, segment, learner, occurred_at, member)
    SELECT 1, segment, n, saved_at, true FROM segments, generate_series(1, {mails}) n;
    INSERT INTO memberships (organisation, segment, learner, member, since)
    SELECT 1, segment, n, true, saved_at FROM segments, generate_series(1, {mails}) n;
"""

#: Who is to get the mailing, and who is recorded as what; addresses in small letters.
_SELECTED = """
    SELECT lower(email) FROM learners JOIN memberships USING (organisation, learner)
    WHERE standing = 'active' AND email IS NOT NULL
"""
_STATES = """
    SELECT lower(l.email), CAST(d.state AS text) FROM deliveries d
    JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
    JOIN mailings m ON m.organisation = d.organisation AND m.mailing = d.mailing
    WHERE m.id = 'news' AND l.email IS NOT NULL AND d.state <> 'skipped'
"""

#: Of how many the mailing is settled, how many were enrolled in the course for everybody, how many starts were charged.
_DONE = """
    SELECT (SELECT count(*) FROM deliveries d JOIN mailings m USING (organisation, mailing)
            WHERE m.id = 'news' AND d.state IN ('accepted', 'uncertain')),
        (SELECT count(*) FROM enrolments JOIN courses c USING (organisation, course) WHERE c.id = 'all'),
        (SELECT count(*) FROM consumptions)
"""
_EVERYWHERE = """
    SELECT l.id FROM enrolments JOIN courses c USING (organisation, course)
    JOIN learners l USING (organisation, learner) WHERE c.id = 'all'
"""
_CHARGED = "SELECT l.id FROM consumptions JOIN learners l USING (organisation, learner)"

#: What is left to be done; what is quarantined waits for a person, and the notices of the course have no pool here.
_LEFT = """
    SELECT (SELECT count(*) FROM outbox WHERE position IS NULL) + (SELECT ordered - published FROM publication)
        + (SELECT count(*) FROM inbox WHERE state = 'waiting') + (SELECT count(*) FROM work WHERE queue <> 'mail')
        + (SELECT count(*) FROM mailings WHERE finished_at IS NULL AND kind = 'announcement')
"""


@dataclass(frozen=True)
class Load:
    """How many learners there are, how many of them are in the segment that is mailed, and how many start; of the
    mailing, what is settled when a primary is killed; how many starts are sent at once; the seconds that the mail
    server takes for a message, and those between two looks at what was done."""

    learners: int
    mails: int
    starts: int
    kills: tuple[float, ...]
    portion: int
    takes: float = 0.0
    look: float = 0.05


@dataclass
class Run:
    """The processes under a load, on a cluster."""

    cluster: Cluster
    running: Processes
    load: Load
    killed: list[Node] = field(default_factory=list)
    amid: list[tuple[int, int, int]] = field(default_factory=list)

    def done(self) -> tuple[int, int, int]:
        """Mails, enrolments, charges."""
        ((mails, enrolled, charged),) = self.running.rows(_DONE)
        return mails, enrolled, charged

    def ride(self) -> None:
        """Send the starts, and kill the primary in the midst of it, until all is done."""
        redis, still = self.running.system.redis, Standstill(time.monotonic)
        starts = _portions(self.load)
        while True:
            all_killed = len(self.killed) == len(self.load.kills)
            for name, process in self.running.running.items():
                assert process.poll() is None, f"{name} ended: {self.running.log_of(name)[-2000:].decode()}"
            if unread(redis) < 2 * self.load.portion and len(starts) > (not all_killed):
                self.running.system.publish(starts.pop())
            found = self.done()
            still.check(sum(found), 0)
            if not all_killed:
                self._kill_if_due(found)
            elif not starts and unread(redis) == 0 and self.running.column(_LEFT) == [0]:
                return
            threading.Event().wait(self.load.look)

    def _kill_if_due(self, found: tuple[int, int, int]) -> None:
        due = self.load.kills[len(self.killed)] * self.load.mails
        primary = self.cluster.primary() if found[0] >= due and 0 not in found else None
        if primary is None or not self.cluster.replicated():
            return
        self.cluster.kill(primary)
        self.killed.append(primary)
        self.amid.append(found)


def _portions(load: Load) -> list[list[bytes]]:
    """A start of everybody, each sent twice, in any order, in parts; some are in the first part alone, which is sent
    last."""
    sent = [event("course.started", {"learner": id_of(n), "course": "started"}) for n in range(1, load.starts + 1)]
    last, others = sent[: load.portion], sent[load.portion :] * 2
    Random(1).shuffle(others)  # noqa: S311 - repeatable, not secret
    return [last * 2, *(others[first : first + load.portion] for first in range(0, len(others), load.portion))]


def enrolled(starts: int) -> Iterator[bytes]:
    """The course of the starts, and everybody who starts it in it."""
    yield event("course.saved", {"course": "started", "title": "Started", "cost": 3, "method": "manual"})
    for first in range(1, starts + 1, _ENROLLED_AT_ONCE):
        learners = [id_of(n) for n in range(first, min(first + _ENROLLED_AT_ONCE, starts + 1))]
        request = {"request": f"r{first}", "course": "started", "notify": False, "tab": "all", "learners": learners}
        yield event("enrolment.requested", request)


def command(on: System, database: Database, settings: Mapping[str, str], *words: str) -> None:
    """Run a command; what it says is the message if it fails."""
    done = invoke_over(on.environment(database, settings), *words)
    assert done.exit_code == 0, f"{words}: {done.output}"


def announce(on: System, database: Database, settings: Mapping[str, str], *whom: str) -> None:
    """Launch an announcement."""
    words = ["--organisation", "acme", "--subject", SUBJECT, "--body", BODY, "--id", "news", *whom]
    command(on, database, settings, "announcements", "create", *words)
    command(on, database, settings, "announcements", "launch", "news", "--yes", "--no-check", "-o", "acme")


def rides_it_out(cluster: Cluster, on: System, load: Load) -> str:
    """The primary is killed, and nobody does anything about it: nothing is lost or doubled, and the ledger is exact.
    What came of it, in a line."""
    on.redis.flushall()
    manners = Manners(takes=load.takes)
    with recording(on.home, manners=manners) as sink, on.database("failover", load.learners) as database:
        settings = mail_settings(sink.port) | SETTINGS
        database.execute(_SEGMENT.format(mails=load.mails))
        with processes(on, database, settings, 1, COMMANDS) as running:
            running.urls["relay at a standby"] = cluster.url_of_node(cluster.standby(), database.name)
            running.start("relay at a standby", ["relay"])  # which goes on when that has become the primary
            run = Run(cluster, running, load)
            on.publish(enrolled(load.starts))
            wait_for(running, "SELECT count(*) FROM enrolments", load.starts)
            announce(on, database, settings, "--segment", "some")
            on.publish([course_for_everyone("all")])
            run.ride()
        for proof in (["verify"], ["seats", "verify"]):
            command(on, database, settings, *proof)
        return _judged(run, sink, database)


def _judged(run: Run, sink: RecordingSink, database: Database) -> str:
    load, running = run.load, run.running
    selected = set(running.column(_SELECTED))
    states: dict[str, str] = dict(running.rows(_STATES))
    uncertain = {address for address, state in states.items() if state == "uncertain"}
    sink.settle()
    taken = Counter(mail.recipient for mail in sink.taken())
    active = {id_of(n) for n in range(1, load.starts + 1)} & set(
        running.column("SELECT id FROM learners WHERE standing = 'active'")
    )
    consumed = Counter(
        each["data"]["learner"] for each in told(running.system.redis) if each["type"] == "rollcall.seat.consumed"
    )

    assert len(run.amid) == len(load.kills)
    assert all(mails < len(selected) for mails, _, _ in run.amid), "the mailing was under way"
    assert all(charged < len(active) for _, _, charged in run.amid), "so were the starts"
    assert states.keys() == selected
    assert set(states.values()) <= {"accepted", "uncertain"}
    assert selected - taken.keys() - uncertain == set(), "nobody is lost"
    assert set(taken.values()) == {1}, "nobody gets two"
    assert taken.keys() <= selected
    assert len(uncertain) <= len(run.amid) * BEGUN_AT_MOST
    assert Counter(running.column(_EVERYWHERE)) == Counter(id_of(n) for n in range(1, load.learners + 1))
    assert Counter(running.column(_CHARGED)) == Counter(active)
    assert consumed == Counter(active), "each charge is told once"
    assert running.column("SELECT used FROM balances") == [3 * len(active)]
    assert running.column("SELECT asks FROM mail_control") == [False], "what lost nothing is not taken for restored"
    amid = ", ".join(
        f"{mails:,} of {len(selected):,} mails, {enrolled:,} of {load.learners:,} enrolments and {charged:,} of"
        f" {len(active):,} charges"
        for mails, enrolled, charged in run.amid
    )
    return f"primaries killed amid {amid}: 0 lost, 0 doubled, {len(uncertain)} uncertain"


def wait_for(running: Processes, query: str, value: object) -> None:
    """Wait until a query answers this."""
    still = Standstill(time.monotonic)
    while running.column(query) != [value]:
        still.check(0, 1)
        threading.Event().wait(LOOK_SECONDS)
