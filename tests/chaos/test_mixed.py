"""R18, R19, R26, R32, R33: eight workers, one killed every second, under every kind of load at once."""

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from bench.mail.letter import BODY, SUBJECT
from bench.mail.rollcall import mail_settings
from bench.mail.sink import recording
from bench.system import Commands, Database, System, course_for_everyone, event, id_of
from config.streams import GROUP, IN
from tests.chaos.conftest import DOUBTED, only_the_doubted_twice, say
from tests.chaos.processes import Processes, processes
from tests.chaos.test_starts import told
from tests.chaos.test_two_versions import CHARGED, EVERYWHERE, at_work, settle
from tests.failover.load import command, enrolled, wait_for

#: Learners, who are all enrolled by the fan-out; a quarter of them get the one announcement, another the other.
LEARNERS = int(os.environ.get("CHAOS_MIXED", "200000"))
MAILS = LEARNERS // 4

#: Seconds for which workers are killed, those between two kills, and starts that the platform sends in a second.
SECONDS = float(os.environ.get("CHAOS_MIXED_SECONDS", "180"))
EVERY_SECONDS = 1.0
RATE = 1_000

COMMANDS: Commands = {
    "ingress": ("ingress",),
    "relay 1": ("relay",),
    "relay 2": ("relay",),
    "tasks 1": ("pool", "tasks", "--threads", "2"),
    "tasks 2": ("pool", "tasks", "--threads", "2"),
    "mail": ("pool", "mail", "--threads", "2"),
    "bulk 1": ("pool", "bulk", "--threads", "2"),
    "bulk 2": ("pool", "bulk", "--threads", "2"),
}

#: Mails that a thread begins together: what one kill may leave uncertain (R19).
GROUP_SIZE = 50
BEGUN_AT_MOST = 2 * GROUP_SIZE

#: Seconds for which a worker may be silent, and those after its death within which somebody else has its work.
LEASE_SECONDS = 2.0
RECOVERED_SECONDS = 10.0

SETTINGS = {
    "ROLLCALL_LEASE_SECONDS": str(LEASE_SECONDS),
    "ROLLCALL_OFFER_SECONDS": "1",
    "ROLLCALL_RETRY_SECONDS": "0.5",
    "ROLLCALL_MAIL_GROUP": str(GROUP_SIZE),
}

_SEGMENTS = """
    INSERT INTO segments (organisation, id, name, saved_at)
    SELECT 1, name, name, now() - interval '1 day' FROM unnest(ARRAY['first', 'second']) name;
    INSERT INTO membership_changes (organisation, segment, learner, occurred_at, member)
    SELECT 1, segment, learner, s.saved_at, true FROM segments s, learners
    WHERE learner % 4 = CASE s.id WHEN 'first' THEN 1 ELSE 2 END;
    INSERT INTO memberships (organisation, segment, learner, member, since)
    SELECT 1, segment, learner, true, occurred_at FROM membership_changes;
    ANALYZE
"""

#: For how many seconds the lease of a piece of work has been over, at most, that nobody has taken over.
_OVERDUE = """
    SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0)::float FROM work
    WHERE state = 'running' AND due_at < now()
"""

#: The recipients of a mailing, and what became of them; addresses in small letters.
_STATES = """
    SELECT lower(l.email), d.state::text FROM deliveries d
    JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
    JOIN mailings m ON m.organisation = d.organisation AND m.mailing = d.mailing
    WHERE m.id = '{}' AND d.state <> 'skipped'
"""


@dataclass
class Mixed:
    """What runs under the load, how long work of the dead waited at most, and what was sent."""

    on: System
    running: Processes
    database: Database
    sent: int = 0
    overdue: float = 0.0
    unclaimed: int = 0
    starts: list[bytes] = field(default_factory=list)

    def ride(self) -> None:
        """Send a thousand starts a second and kill a worker a second, for three minutes."""
        began = killed = time.monotonic()
        while (now := time.monotonic()) - began < SECONDS:
            due = min(int((now - began) * RATE), len(self.starts))
            self.on.publish(self.starts[self.sent : due])
            self.sent = max(due, self.sent)
            self.running.watch(0.1)
            if now - killed >= EVERY_SECONDS and self.running.kill_one(""):
                killed = now
                self.look()
        self.on.publish(self.starts[self.sent :])

    def look(self) -> None:
        """See how long what the dead had begun has been waiting."""
        (overdue,) = self.running.column(_OVERDUE)
        self.overdue = max(self.overdue, overdue)
        idle: Any = self.on.redis.xpending_range(IN, GROUP, "-", "+", 100_000, idle=int(RECOVERED_SECONDS * 1000))
        self.unclaimed = max(self.unclaimed, len(idle))


@pytest.mark.parametrize("seed", [7])
def test_r19_r26_r33_a_worker_killed_every_second_under_every_load_costs_time_never_work(on: System, seed: int) -> None:
    on.redis.flushall()
    numbers = range(1, min(LEARNERS, int(SECONDS * RATE) // 2) + 1)
    starts = [event("course.started", {"learner": id_of(n), "course": "started"}) for n in numbers] * 2
    Random(seed).shuffle(starts)  # noqa: S311 - repeatable, not secret
    with recording(on.home) as sink, on.database("mixed", LEARNERS) as database:
        database.execute(_SEGMENTS)
        settings = mail_settings(sink.port) | SETTINGS
        with processes(on, database, settings, seed, COMMANDS) as running:
            for name in COMMANDS:
                at_work(running, name)
            on.publish(enrolled(LEARNERS))
            wait_for(running, "SELECT count(*) FROM enrolments", LEARNERS)
            for name in ("first", "second"):
                words = ["--subject", SUBJECT, "--body", BODY, "--id", name, "--segment", name, "-o", "acme"]
                command(on, database, settings, "announcements", "create", *words)
                launch = ["announcements", "launch", name, "--yes", "--no-check", "-o", "acme"]
                command(on, database, settings, *launch)
            on.publish([course_for_everyone("all")])
            mixed = Mixed(on, running, database, starts=starts)
            mixed.ride()
            amid = running.column("SELECT count(*) FROM mailings WHERE finished_at IS NULL")[0]
            settle(running)
            for proof in (["verify"], ["seats", "verify"], ["reconcile", "--organisation", "acme"]):
                command(on, database, settings, *proof)
            states = {name: dict(running.rows(_STATES.format(name))) for name in ("first", "second")}
            doubted = running.column(DOUBTED)
            active = set(running.column("SELECT id FROM learners WHERE standing = 'active'"))
            everywhere = Counter(running.column(EVERYWHERE))
            charged = Counter(running.rows(CHARGED))
            kills = running.kills
        events = Counter(each["data"]["learner"] for each in told(on.redis) if each["type"] == "rollcall.seat.consumed")
        sink.settle()
        taken = list(sink.taken())

    started = active & {id_of(n) for n in numbers}
    uncertain = {name: {who for who, state in found.items() if state == "uncertain"} for name, found in states.items()}
    say(
        f"mixed: {kills} workers killed in {SECONDS:g} s, {amid} mailings were on their way then; {len(taken):,} mails,"
        f" {sum(map(len, uncertain.values()))} uncertain, {len(doubted)} notices in doubt; {len(events):,} charges;"
        f" work of the dead waited {mixed.overdue:.1f} s after its lease at most"
    )
    assert kills >= SECONDS / EVERY_SECONDS / 2
    for name, found in states.items():
        assert set(found.values()) <= {"accepted", "uncertain"}
        got = {mail.recipient for mail in taken if mail.mailing == name}
        assert found.keys() - uncertain[name] <= got <= found.keys(), "nobody is lost"
    assert sum(map(len, uncertain.values())) + len(doubted) <= kills * BEGUN_AT_MOST
    only_the_doubted_twice(taken, doubted)
    assert set(everywhere.values()) == {1}
    assert len(everywhere) == LEARNERS
    assert set(charged.values()) == {1}
    assert len(charged) == len(started)
    assert events == dict.fromkeys(started, 1), "each charge is told once"
    assert mixed.overdue <= RECOVERED_SECONDS - LEASE_SECONDS
    assert mixed.unclaimed == 0
