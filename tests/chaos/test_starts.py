"""R26, R27, R32, R33: starts sent three times in any order, while whatever takes them is killed, are charged once."""

import os
import time
from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest
import redis

from bench.system import Commands, System, event, id_of
from config.streams import OUT
from tasks.system import unread
from tests.chaos.conftest import say
from tests.chaos.processes import Processes, Standstill, processes

#: Starts, and how often each is sent; fewer show that it runs.
STARTS = int(os.environ.get("CHAOS_STARTS", "200000"))
TIMES = 3

#: Seconds between two kills, each of an ingress, of the relay and of the pool.
EVERY_SECONDS = 3.0

#: Seconds between two looks at what was done.
_LOOK_SECONDS = 0.5

#: Events that the platform puts on the stream at once, and those that wait there at most before it puts more.
_PORTION = 2_000
_BACKLOG = 20_000

_COURSES = ("safety", "privacy")
_COMMANDS: Commands = {
    **{f"ingress {n}": ("ingress",) for n in range(4)},
    "relay": ("relay",),
    "tasks": ("pool", "tasks", "--threads", "2"),  # takes what waits for its turn while another ingress has the lock
}
_SETTINGS = {"ROLLCALL_LEASE_SECONDS": "2", "ROLLCALL_OFFER_SECONDS": "1"}

_PREPARE = """
    UPDATE organisations SET pool = {pool};
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    VALUES (1, 'safety', 'Safety', 3, false, 'manual', now() - interval '1 day', now() - interval '1 day'),
           (1, 'privacy', 'Privacy', 1, false, 'manual', now() - interval '1 day', now() - interval '1 day');
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, activated_at)
    SELECT 1, course, 1, learner, standing = 'inactive', 1, now() - interval '1 day', now() - interval '1 day'
    FROM courses, learners;
"""


_ENTRIES = """
    SELECT l.id, c.id, amount, overdrawn
    FROM consumptions JOIN learners l USING (organisation, learner) JOIN courses c USING (organisation, course)
"""

#: What each kind of process has done: what is stored, what is published, and what was judged.
_DONE = """
    SELECT count(*), (SELECT published FROM publication),
           count(*) - (SELECT count(*) FROM inbox WHERE state = 'waiting') FROM arrivals
"""


def told(client: redis.Redis) -> list[dict[str, Any]]:
    """Every event on the outgoing stream, in its order."""
    found: list[dict[str, Any]] = []
    after: Any = "-"
    while entries := client.xrange(OUT, min=after, count=10_000):
        page: Any = entries
        found += [msgspec.json.decode(fields[b"event"]) for _, fields in page]
        after = b"(" + page[-1][0]
    return found


@pytest.mark.parametrize("seed", [5])
def test_r26_r33_every_start_is_charged_and_told_once_whatever_is_killed(on: System, seed: int) -> None:
    learners = STARTS // len(_COURSES)
    numbers = [(number, course) for number in range(1, learners + 1) for course in _COURSES]
    sent = [event("course.started", {"learner": id_of(number), "course": course}) for number, course in numbers]
    everything = sent * TIMES
    Random(seed).shuffle(everything)  # noqa: S311 - repeatable, not secret
    active = [(number, course) for number, course in numbers if number % 50 >= 3]
    cost = {"safety": 3, "privacy": 1}
    total = sum(cost[course] for _, course in active)
    pool = total - 100
    on.redis.flushall()
    with on.database("starts", learners) as database:
        database.execute(_PREPARE.format(pool=pool))
        with processes(on, database, _SETTINGS, seed, _COMMANDS) as running:
            _slaughter(on, running, sent, everything)
            entries = running.rows(_ENTRIES)
            held = running.column("SELECT count(*) FROM inbox WHERE state = 'quarantined'")
            used = running.column("SELECT used FROM balances")
        events = [each["data"] for each in told(on.redis) if each["type"] == "rollcall.seat.consumed"]
    say(
        f"starts: {len(sent):,}, each sent {TIMES} times; {running.kills} ingresses, relays and pools killed, the"
        f" database crashed and Redis emptied once; {len(entries):,} entries, {len(events):,} events, {held[0]:,}"
        " quarantined"
    )

    expected = Counter((id_of(number), course, cost[course]) for number, course in active)
    assert Counter((learner, course, amount) for learner, course, amount, _ in entries) == expected
    assert Counter((each["learner"], each["course"], each["amount"]) for each in events) == expected
    assert len({each["consumption"] for each in events}) == len(events)
    assert used == [total]
    assert sum(amount for _, _, amount, overdrawn in entries if not overdrawn) in range(pool - 2, pool + 1)
    assert held == [len(numbers) - len(active)], "those of inactive learners are neither charged nor lost"


def _slaughter(on: System, running: Processes, sent: list[bytes], everything: list[bytes]) -> None:
    """Send everything, killing an ingress, the relay and the pool every three seconds, or as soon after that as it has
    done anything: what is killed before shows nothing. A third of the way the database crashes, two thirds of the way
    Redis loses everything, and the platform sends again what it may have lost."""
    still = Standstill(time.monotonic)
    killed = dict.fromkeys(("ingress", "relay", "tasks"), time.monotonic())
    before = dict.fromkeys(killed, 0)
    looked = time.monotonic()
    worse = 0
    first = 0
    while True:
        while first < len(everything) and unread(on.redis) < _BACKLOG:
            on.publish(everything[first : first + _PORTION], _PORTION)
            first += _PORTION
        if first >= len(everything) and worse == 2 and _at_rest(on, running):
            return
        running.watch(0.05)
        if first * 3 > len(everything) and worse == 0:
            running.crash_database()
            worse = 1
        if first * 3 > len(everything) * 2 and worse == 1:
            on.redis.flushall()
            everything += sent
            worse = 2
        if time.monotonic() - looked < _LOOK_SECONDS:
            continue
        looked = time.monotonic()
        ((stored, published, judged),) = running.rows(_DONE)
        done = {"ingress": stored + first - unread(on.redis), "relay": published, "tasks": judged}
        still.check(sum(done.values()), 4 * len(everything))
        for kind, since in killed.items():
            if done[kind] != before[kind] and looked - since >= EVERY_SECONDS and running.kill_one(kind):
                killed[kind], before[kind] = looked, done[kind]


def _at_rest(on: System, running: Processes) -> bool:
    """Whether everything is taken and published; the mails to admins have no pool here."""
    if unread(on.redis):
        return False
    ((left,),) = running.rows(
        "SELECT (SELECT count(*) FROM outbox WHERE position IS NULL) + (SELECT ordered - published FROM publication)"
        " + (SELECT count(*) FROM inbox WHERE state = 'waiting') + (SELECT count(*) FROM work WHERE queue = 'tasks')"
    )
    return bool(left == 0)
