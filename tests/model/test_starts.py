"""Starts, statuses and enrolments told in any order, late and repeatedly: the ledger, the quarantine, access and the
warnings are what the rules say, to the letter (R6, R23 to R28, R32).

To look at other histories than the suite's own: HISTORIES=2000 .venv/bin/pytest tests/model/test_starts.py -q
"""

import itertools
from collections import Counter
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.database import transaction
from tasks.events.inbox import quarantine_overdue
from tasks.events.quarantine import EventRef, quarantined
from tasks.intake import NotResolved, discard, release
from tests.model.model import Place
from tests.model.present import event_of, histories
from tests.model.starts import Starts, Unsaid
from tests.world import DAWN, World

#: C is not known at first, nor is the course y. Everyone is enrolled in e.
LEARNERS = ("A", "B", "C")
CYCLES = (1, 2)

TICK = timedelta(hours=1)
BEGINS, ENDS = DAWN + 3 * TICK, DAWN + 30 * TICK

_numbers = itertools.count(1)


class Told(NamedTuple):
    """What the platform tells: it happened so many ticks `after` everything before it, or `ago`."""

    type: str
    data: dict[str, Any]
    after: int
    ago: int


class Done(NamedTuple):
    """What happens besides: time passes, a person decides on what is held, or the pool is changed."""

    what: str
    pick: int


who = st.sampled_from(["A", "A", "B", "B", "C"])
several = st.lists(st.sampled_from(LEARNERS), min_size=1, max_size=3, unique=True)
course = st.sampled_from(["x", "x", "e", "e", "y"])
cycle = st.sampled_from([1, 1, 1, 1, 1, 2])
late = st.sampled_from([0, 0, 0, 1, 2, 3, 5, 8])
seldom_late = st.sampled_from([0] * 9 + [1, 3])


def told(type_: str, ago: st.SearchStrategy[int] = late, **data: st.SearchStrategy[Any]) -> st.SearchStrategy[Told]:
    """Events of a type."""
    return st.builds(Told, st.just(type_), st.fixed_dictionaries(data), st.sampled_from([1, 1, 2, 3]), ago)


start = told("course.started", learner=who, course=course, cycle=cycle)
status = told(
    "learner.status_changed",
    st.sampled_from([0, 1, 2, 3, 4, 6]),
    learner=who,
    status=st.sampled_from(["active", "inactive"]),
    version=st.sampled_from([None, None, None, 1, 2, 3]),
)
requested = told("enrolment.requested", seldom_late, course=course, learners=several, cycle=cycle)
#: How often each comes.
WEIGHTS: dict[st.SearchStrategy[Told | Done], int] = {
    start: 9,
    status: 6,
    requested: 3,
    told("enrolment.withdrawn", seldom_late, course=course, learners=several): 2,
    told("course.completed", learner=who, course=course, cycle=cycle): 1,
    told("learner.saved", learner=st.just("C")): 1,
    told(
        "course.saved",
        st.just(0),
        course=course,
        cost=st.sampled_from([0, 1, 3]),
        on_hold=st.sampled_from([False, False, True]),
    ): 2,
    st.builds(Done, st.sampled_from(["hour", "release", "release", "discard"]), st.integers(0, 9)): 2,
    st.builds(Done, st.just("pool"), st.sampled_from([-1, 0, 1, 2, 4, 9])): 1,
}
happenings = st.sampled_from([one for one, times in WEIGHTS.items() for _ in range(times)]).flatmap(lambda one: one)
#: Several at once, or one; and which of what was told before is told once more with them (R32).
steps = st.tuples(st.lists(happenings, min_size=1, max_size=3), st.lists(st.integers(0, 99), max_size=1))


class Story:
    """One organisation, the system and the model beside it."""

    def __init__(self, world: World, licence: str, pool: int) -> None:
        self.world = World(world.runtime, world.redis, world.mail, f"led{next(_numbers)}")
        self.model = Starts(licence, BEGINS, ENDS, "e", CYCLES)
        self.licence, self.now, self.said = licence, DAWN, list[bytes]()
        self.used, self.entries = 0, 0
        self.flags: list[bool] = []
        self.warned: list[tuple[int, int, int]] = []
        self.pool: int | None = None
        self.has_pool(pool)
        self.tell(
            *(Told("course.saved", {"course": id_, "cost": 2, "on_hold": False}, 0, 0) for id_ in "xe"),
            *(Told("learner.saved", {"learner": id_}, 0, 0) for id_ in "AB"),
            Told("enrolment.requested", {"course": "x", "learners": ["A", "B"], "cycle": 1}, 0, 0),
        )

    def tell(self, *events: Told, again: list[int] | None = None) -> None:
        """The platform tells of events, in one batch, and once more of what it told before."""
        bodies = [self.body(event) for event in events]
        bodies += [self.said[which % len(self.said)] for which in again or [] if self.said]
        self.said += bodies
        self.world.send(*bodies)
        self.model.take(map(event_of, bodies))
        self.compare()

    def body(self, event: Told) -> bytes:
        """An event as it travels."""
        self.now += timedelta() if event.ago else event.after * TICK
        moment = max(self.now - event.ago * TICK, DAWN)
        data = {key: value for key, value in event.data.items() if value is not None}
        match event.type:
            case "learner.saved":
                data |= {"username": data["learner"]}
            case "course.saved":
                data |= {"title": data["course"], "method": "everyone" if data["course"] == "e" else "manual"}
            case "enrolment.requested":
                data |= {"request": f"q{next(_numbers)}", "tab": "all", "notify": False}
        return self.world.event(event.type, data, at=moment)

    def has_pool(self, pool: int) -> None:
        """The organisation buys another pool; below zero stands for one without a limit."""
        self.pool = None if pool < 0 else pool
        self.world.has_organisation(
            self.licence, self.pool, licence_starts=BEGINS.isoformat(), licence_ends=ENDS.isoformat(), admin_emails=[]
        )
        self.warn(self.used)

    def warn(self, used: int) -> None:
        """At 80 % and at 100 %, once for a pool of one size; of a pool of nothing at once of all of it."""
        if self.pool is None or not used:
            return
        for percent in (80, 100) if self.pool else (100,):
            known = {(percent, self.pool) for percent, _, pool in self.warned for _ in [pool] if pool == self.pool}
            if used / max(self.pool, used / 1e9) * 100 >= percent and (percent, self.pool) not in known:
                self.warned.append((percent, used, self.pool))

    def do(self, done: Done) -> None:
        """What happens besides events."""
        engine, settings = self.world.runtime.engine, self.world.runtime.settings
        held = [one for one in self.model.held.values() if one.event.type.startswith("course.")]
        if done.what == "pool":
            self.has_pool(done.pick)
        elif done.what == "hour":
            self.world.execute("UPDATE inbox SET until = now() WHERE state = 'waiting'")
            with transaction(engine) as connection:
                quarantine_overdue(connection)
            self.model.hour_passes()
        elif held:
            event = held[done.pick % len(held)].event
            wanted = EventRef(event.id, self.world.organisation)
            if done.what == "discard":
                discard(engine, wanted, by="a person", why="so it is")
                del self.model.held[event.id]
            elif event.type == "course.started":
                if self.model.release(event.id):
                    release(engine, settings, wanted, by="a person", why="so it is")
                else:
                    with pytest.raises(NotResolved):
                        release(engine, settings, wanted, by="a person", why="so it is")
        self.compare()

    def compare(self) -> None:
        """Ledger, quarantine, access and warnings are what they must be."""
        self.compare_ledger()
        with transaction(self.world.runtime.engine) as connection:
            listed = {one.id: (one.state, one.reason) for one in quarantined(connection, self.world.organisation)}
        assert listed.keys() == self.model.held.keys()
        for id_, one in self.model.held.items():
            assert listed[id_] in self.model.may_be_listed(one), (id_, one)
            one.state, one.reason = listed[id_]
        access = self.world.rows(
            """
            SELECT l.id, c.id, a.cycle FROM access a JOIN organisations o USING (organisation)
            JOIN learners l USING (organisation, learner) JOIN courses c USING (organisation, course)
            WHERE o.id = :id AND a.granted
            """,
            id=self.world.organisation,
        )
        assert {Place(*place) for place in access} == self.model.access()

    def compare_ledger(self) -> None:
        """Entries are never changed; which of one batch come first, the rules do not say; what the pool says of them
        follows from that."""
        ledger = self.world.ledger()
        wanted = {entry.event: entry for entry in self.model.entries}
        for entry in ledger[len(self.flags) :]:
            self.used += entry.amount
            self.flags.append(self.pool is not None and entry.amount > 0 and self.used > self.pool)
            if entry.amount:
                self.warn(self.used)
        found = Counter(
            (e.event, Place(e.learner or "", e.course, e.cycle), e.unit, e.amount, e.occurred_at, e.review)
            for e in ledger
        )
        assert found == Counter(
            (e.event, e.place, e.unit, e.amount, e.occurred_at, min(e.flags, default=None)) for e in wanted.values()
        )
        assert [entry.overdrawn for entry in ledger] == self.flags
        told = self.world.rows(
            """
            SELECT CAST(data ->> 'percent' AS int), CAST(data ->> 'used' AS int), CAST(data ->> 'pool' AS int)
            FROM outbox JOIN organisations o USING (organisation)
            WHERE o.id = :id AND type = 'rollcall.pool.reached' ORDER BY seq
            """,
            id=self.world.organisation,
        )
        assert told == self.warned


def play(story: Story, history: list[tuple[list[Told | Done], list[int]]]) -> bool:
    """Tell a history to its end, or until the rules are silent; whether it came to the end."""
    try:
        for happening, again in history:
            events = [one for one in happening if isinstance(one, Told)]
            if events:
                story.tell(*events, again=again)
            for done in happening:
                if isinstance(done, Done):
                    story.do(done)
    except Unsaid:
        return False
    return True


licences = st.sampled_from(["credits", "seats"])
pools = st.sampled_from([-1, 0, 2, 4])
stories = st.lists(steps, min_size=10, max_size=16)


@histories(10)
@given(licences, pools, stories)
def test_r06_r27_r28_whatever_is_told_in_whatever_order_ends_as_the_rules_say(
    world: World, licence: str, pool: int, history: list[tuple[list[Told | Done], list[int]]]
) -> None:
    play(Story(world, licence, pool), history)
