"""Any history of learners, segments, courses, enrolments and access ends as the rules say: R6 and R10 above all.

A state machine sends events to the system and to the model beside it: late, repeated, without versions, several in one
batch, while fan-outs are under way. At every step, settled or not, what the tables say must be a case the model allows.

The suite runs a fixed choice of histories. To look at others, a hundred a minute or so, each run at new ones:

    HISTORIES=2000 .venv/bin/pytest tests/model -q

It stops at the first history that ends otherwise than the rules say, and prints a short one (looking for which takes
minutes).
"""

import itertools
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tasks import mail
from tasks.events import Event as Taken
from tasks.events import decode, portions
from tests.model.model import EVER, Event, Model, Place, Seen
from tests.model.present import Tables, compare_enrolments, compare_people, event_of, histories, tables
from tests.world import DAWN, World, id_of, work_on

LEARNERS = ("A", "B", "C", "D")
SEGMENTS = ("s", "t")
COURSES = ("x", "y")
CYCLES = (1, 2)

#: The platform's times are so far apart; a start may lie one before its enrolment (S12).
TICK = timedelta(hours=1)

_numbers = itertools.count(1)


class Size(Enum):
    """What the organisation is."""

    SMALL = "a fan-out is done at once"
    LARGE = "a fan-out is done in chunks, each at a time of its own"
    UNKNOWN = "nothing is known of it at first: everything waits for it (S2)"


class Told(NamedTuple):
    """What the platform tells: it happened so many ticks `after` everything before it, or `ago`. An event that is about
    one learner is told of `each`."""

    type: str
    data: dict[str, Any]
    after: int = 1
    ago: int = 0
    each: tuple[str, ...] | None = None


several = st.just(LEARNERS) | st.lists(st.sampled_from(LEARNERS), max_size=4, unique=True).map(tuple)
segment = st.sampled_from(SEGMENTS)
segments = st.lists(segment, unique=True)
course = st.sampled_from(COURSES)
cycle = st.sampled_from([1, *CYCLES])
version = st.sampled_from([None, None, None, 1, 2, 3, 4, 5])
status = st.sampled_from(["active", "inactive"])
#: Now and then, an id that was used before (S16).
request = st.integers(1, 30).map("r{}".format)


def told(type_: str, *, each: bool = False, **data: st.SearchStrategy[Any]) -> st.SearchStrategy[Told]:
    """Events of a type: mostly of just now, at times of a while later, often late, often at the time of another."""
    after = st.sampled_from([1, 1, 1, 2, 3])
    ago = st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 6, 9])
    return st.builds(Told, st.just(type_), st.fixed_dictionaries(data), after, ago, several if each else st.none())


#: What is named twice comes twice as often.
events = st.one_of(
    told("learner.saved", each=True, status=st.none() | status, version=version),
    told("learner.deleted", learner=st.sampled_from(LEARNERS)),
    told("learner.status_changed", each=True, status=status, version=version),
    told("learner.status_changed", each=True, status=status, version=version),
    told("segment.saved", segment=segment, name=segment),
    told("segment.joined", segment=segment, learners=several),
    told("segment.joined", segment=segment, learners=several),
    told("segment.left", segment=segment, learners=several),
    told("course.saved", course=course, method=st.just("segments"), segments=segments),
    told(
        "course.saved",
        course=course,
        method=st.sampled_from(["everyone", "everyone", "manual"]),
        on_hold=st.sampled_from([False, False, True]),
        segments=segments,
    ),
    told("enrolment.requested", request=request, course=course, cycle=cycle, segment=segment),
    told(
        "enrolment.requested",
        request=request,
        course=course,
        cycle=cycle,
        learners=several,
        tab=st.sampled_from(["all", "active"]),
    ),
    told("enrolment.withdrawn", course=course, learners=several, cycle=st.none() | cycle),
    told("course.started", each=True, course=course, cycle=cycle),
    told("course.started", each=True, course=course, cycle=cycle),
    told("course.completed", each=True, course=course, cycle=cycle),
)

#: What is done then of what is due: nothing, some pieces in any order, or everything.
EVERYTHING = [-1]
pieces = st.lists(st.integers(0, 9), min_size=1, max_size=4)
work: st.SearchStrategy[list[int]] = st.one_of(st.just([]), pieces, st.just([]), pieces, st.just(EVERYTHING))


class Histories(RuleBasedStateMachine):
    """The platform sends events, workers work, and every step is compared with the model."""

    def __init__(self, world: World, tables: Tables) -> None:
        super().__init__()
        self.shared, self.tables = world, tables

    @initialize(size=st.sampled_from(Size), licence=st.sampled_from(["credits", "seats"]))
    def begin(self, size: Size, licence: str) -> None:
        """An organisation of its own, with a segment, a course and all learners but one."""
        runtime = self.shared.runtime
        sized = {"rollcall_chunk": 2 if size is Size.LARGE else 5000, "rollcall_mail_batch": 2}
        runtime = replace(runtime, settings=runtime.settings.model_copy(update=sized))
        self.world = World(runtime, self.shared.redis, self.shared.mail, f"org{next(_numbers)}")
        self.world.mail.reset()
        self.licence = licence
        self.model = Model(LEARNERS, SEGMENTS, COURSES, CYCLES, at_once=size is not Size.LARGE)
        self.known, self.early, self.said = False, list[bytes](), list[bytes]()
        self.now, self.read = DAWN, 0
        self.places: dict[str, Place] = {}
        self.deliveries: dict[tuple[int, int], str] = {}
        self.told: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.open: dict[str, bool] = {}
        self.checked = self.fine = True
        if size is not Size.UNKNOWN:
            self.organisation_saved()
        self.send(
            self.bodies(Told("segment.saved", {"segment": "s", "name": "S"}))
            + self.bodies(Told("learner.saved", {}, each=LEARNERS[1:]))
            + self.bodies(Told("course.saved", {"course": "x"}))
        )

    @rule(batch=st.lists(events, min_size=1, max_size=3), again=st.lists(st.integers(0, 99), max_size=1), work=work)
    def happens(self, batch: list[Told], again: list[int], work: list[int]) -> None:
        """Events come in one batch, one at times once more (R32); then some work is done, or all.

        This is one rule, because Hypothesis leaves some rules out of each history: one without courses shows nothing.
        """
        bodies = [body for event in batch for body in self.bodies(event)]
        self.send(bodies + [self.said[which % len(self.said)] for which in again])
        self.check()
        if work == EVERYTHING:
            self.settle()
        elif self.known:
            for pick in work:
                self.work_on_one(pick)
            self.model.work()
            self.checked = False

    def teardown(self) -> None:
        """In the end everything settles; and everyone started everything, now and then, of which nobody heard so far:
        what is known of the past is asked for."""
        if not hasattr(self, "model") or not self.fine:
            return
        self.settle()
        hours = (self.now - DAWN) // TICK
        starts = (
            Told("course.started", {"course": course, "cycle": 1}, 0, ago, LEARNERS)
            for ago, course in itertools.product(range(1, hours, 1 + hours // 6), COURSES)
        )
        self.send([body for event in starts for body in self.bodies(event)])
        self.settle()

    def bodies(self, event: Told) -> list[bytes]:
        """What is told, as it travels."""
        self.now += timedelta() if event.ago else event.after * TICK
        moment = max(self.now - event.ago * TICK, DAWN)
        bodies = []
        for data in [event.data | {"learner": who} for who in event.each] if event.each is not None else [event.data]:
            described = self.described(event.type, data)
            body = self.world.event(
                event.type, {k: said for k, said in described.items() if said is not None}, at=moment
            )
            if event.type in {"course.started", "course.completed"}:
                self.places[id_of(body)] = Place(data["learner"], data["course"], data["cycle"])
            bodies.append(body)
        self.said += bodies
        return bodies

    def described(self, type_: str, data: dict[str, Any]) -> dict[str, Any]:
        """What the platform says beside what matters here."""
        match type_:
            case "learner.saved":
                return self.world.learner(data["learner"], email=self.address(data["learner"])) | data
            case "course.saved":
                return {"title": f"Course {data['course']}", "cost": 1} | data
        return data

    def address(self, learner: str) -> str | None:
        """An address that is no other history's; D has none."""
        return None if learner == "D" else f"{learner.lower()}@{self.world.organisation}.example"

    def send(self, batch: list[bytes]) -> None:
        """A batch is taken; before its organisation is known it only waits."""
        self.world.send(*batch)
        if self.known:
            meanwhile = set[str]()
            for part in self.taken_together(batch):
                self.model.take(part)
                meanwhile |= self.model.active_meanwhile
            self.model.active_meanwhile = meanwhile
            self.checked = False
        else:
            self.early += batch

    def taken_together(self, batch: list[bytes]) -> list[list[Event]]:
        """What of a batch is taken in a transaction each (R31). A request that waited for something in one of them is
        decided at its end, by what is known then (S3): what the next one says comes later."""
        decoded = [decode(body, now=EVER, skew=timedelta()) for body in batch]
        said = {event.id: event_of(body) for event, body in zip(decoded, batch, strict=True)}
        parts = portions([one for one in decoded if isinstance(one, Taken)], self.world.runtime.settings.rollcall_chunk)
        return [[said[event.id] for event in part] for part in parts]

    def organisation_saved(self) -> None:
        """The organisation is known: what waited for it is taken, in its order (S2)."""
        self.world.has_organisation(self.licence)
        [(self.number,)] = self.tables.rows(
            "SELECT organisation FROM organisations WHERE id = :id", id=self.world.organisation
        )
        self.known = True
        while parts := self.ask("SELECT work FROM work WHERE organisation = :org AND actor = 'events.retake'"):
            for (work,) in parts:  # what waited for it and is more than is taken at once
                work_on(self.world.runtime, "events.retake", self.number, work)
        self.model.take([event_of(body) for body in self.early])
        self.checked = False
        self.check()

    def work_on_one(self, pick: int) -> None:
        """One of the pieces that are due is done."""
        due = self.ask("SELECT actor, work FROM work WHERE organisation = :org AND state = 'due' ORDER BY work")
        if due:
            actor, work = due[pick % len(due)]
            work_on(self.world.runtime, actor, self.number, work)

    def settle(self) -> None:
        """All that is due is done."""
        if not self.known:
            self.organisation_saved()
        self.world.settle()
        self.model.settle()
        self.checked = False
        self.check()
        self.fine = False
        compare_enrolments(self.world, self.model.facts, self.model.cases)
        self.compare_requests()
        self.compare_mails()
        self.compare_audience()
        self.fine = True

    @invariant()
    def check(self) -> None:
        """What holds at every step, settled or not."""
        if self.checked or not self.known:
            return
        self.checked, self.fine = True, False
        compare_people(self.tables, self.world.organisation, self.model.facts)
        self.compare_what_waits()
        self.compare_places()
        self.compare_charges()
        self.compare_deliveries()
        self.compare_events_out()
        self.fine = True

    def compare_audience(self) -> None:
        """Everyone is counted by those whom no mail may go to, and that comes to what the gate says of each (R16)."""
        with self.world.about() as (connection, org):
            counted = mail.judged_everyone(connection, org.organisation)
            each = mail.judged_audience(connection, org.organisation, {"everyone": True})
        assert {one.verdict: one.n for one in counted} == {one.verdict: one.n for one in each}

    def ask(self, sql: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Rows of this history's organisation."""
        return self.tables.rows(sql, org=self.number, id=self.world.organisation, **parameters)

    def compare_what_waits(self) -> None:
        """What cannot be taken waits, and nothing else does (R6)."""
        held = dict(self.ask("SELECT id, reason FROM inbox WHERE organisation = :id AND state <> 'applied'"))
        assert "internal error" not in held.values()
        found = held.keys() - self.places.keys()
        assert self.model.held() - self.model.beaten() <= found <= self.model.held()
        self.waiting: dict[Place, set[str]] = defaultdict(set)
        for id_ in held.keys() & self.places.keys():
            self.waiting[self.places[id_]].add(id_)

    def compare_places(self) -> None:
        """Each enrolment is what it may be; it gives access while the learner is active, it is not withdrawn and the
        course not on hold (R3)."""
        rows = self.ask(
            """
            SELECT l.id, c.id, e.cycle, e.withdrawn_at IS NOT NULL, e.silent, e.activated_at IS NOT NULL,
                   ARRAY(SELECT f.request FROM fanouts f WHERE f.organisation = :org AND f.fanout = ANY(e.requests)),
                   e.started_at, e.completed_at, a.granted
            FROM enrolments e JOIN access a USING (organisation, learner, course, cycle)
            JOIN learners l USING (organisation, learner) JOIN courses c USING (organisation, course)
            WHERE e.organisation = :org
            """
        )
        self.standing: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.begun: set[Place] = set()
        seen = self.recorded = dict[Place, tuple[Any, ...]]()
        for who, course, cycle, withdrawn, silent, activated, requests, started, completed, granted in rows:
            place = Place(who, course, cycle)
            seen[place] = (withdrawn, silent, activated, frozenset(requests), started, completed)
            active = self.model.facts.learners[who].standing == "active"
            assert granted == (active and not withdrawn and not self.model.facts.courses[course].on_hold), place
            if not withdrawn:
                self.standing[course, cycle].add(who)
        self.begun |= {
            Place(*one)
            for one in self.ask(
                """
                SELECT DISTINCT l.id, c.id, s.cycle FROM starts s JOIN learners l USING (organisation, learner)
                JOIN courses c USING (organisation, course) WHERE s.organisation = :org
                """
            )
        }
        for place in self.model.cases:
            if self.model.facts.learners[place.learner].standing != "deleted":
                self.model.observe(place, Seen(seen.get(place), frozenset(self.waiting[place])))

    def compare_charges(self) -> None:
        """Whatever was started is charged, once (R25, R26)."""
        charged = self.ask(
            """
            SELECT l.id, c.id, s.cycle FROM consumptions s JOIN learners l USING (organisation, learner)
            JOIN courses c USING (organisation, course) WHERE s.organisation = :org
            """
        )
        if self.licence == "credits":
            assert Counter(Place(*entry) for entry in charged) == Counter(self.begun)
        else:
            assert Counter(who for who, *_ in charged) == Counter({place.learner for place in self.begun})

    def compare_deliveries(self) -> None:
        """Nobody is to be told, or is told, anything while inactive (R7, R15)."""
        for mailing, recipient, learner, state in self.ask(
            """
            SELECT d.mailing, d.recipient, l.id, d.state FROM deliveries d
            JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient WHERE d.organisation = :org
            """
        ):
            if self.deliveries.get((mailing, recipient)) != state and state in {"pending", "accepted"}:
                assert learner in self.model.active_meanwhile, f"{learner} is told while inactive: {state}"
            self.deliveries[mailing, recipient] = state

    def compare_events_out(self) -> None:
        """Whoever follows the events out knows who is enrolled, and who has access at all."""
        for seq, type_, data in self.ask(
            "SELECT seq, type, data FROM outbox WHERE organisation = :org AND seq > :read ORDER BY seq", read=self.read
        ):
            self.read = seq
            match type_:
                case "rollcall.enrolment.changed":
                    told = self.told[data["course"], data["cycle"]]
                    told |= {*data["enrolled"], *data["silent"]}
                    told -= {*data["withdrawn"]}
                case "rollcall.access.activated" | "rollcall.access.suspended":
                    self.open[data["learner"]] = type_ == "rollcall.access.activated"
        assert {where: told for where, told in self.told.items() if told} == self.standing
        facts = self.model.facts
        told_soon = self.told_soon()
        open_ = {learner: told for learner, told in self.open.items() if learner not in told_soon}
        assert open_ == {learner: facts.learners[learner].standing == "active" for learner in open_}

    def told_soon(self) -> set[str]:
        """Of whose access the platform is told by work that is due: what else was done at once was much."""
        return {
            learner
            for (learner,) in self.ask(
                """
                SELECT l.id FROM work w JOIN fanouts f ON f.organisation = w.organisation AND f.fanout = w.subject
                JOIN learners l ON l.organisation = f.organisation AND l.learner = ANY(f.learners)
                WHERE w.organisation = :org AND w.actor = 'enrolments.chunk' AND f.cause = 'reactivation'
                """
            )
        }

    def compare_requests(self) -> None:
        """Every request ended, with a count that adds up (R14)."""
        finished = {
            data["request"]: data
            for (data,) in self.ask(
                "SELECT data FROM outbox WHERE organisation = :org AND type = 'rollcall.enrolment.finished'"
            )
        }
        requests = self.model.facts.requests
        assert finished.keys() == requests.keys()
        for id_, data in finished.items():
            reasons = data["not_eligible"]
            parts = data["enrolled"] + data["silent"] + data["already"] + sum(reasons.values())
            assert data["selected"] == requests[id_].selected == parts, data
            assert Counter(reasons) - Counter(withdrawn=parts) == requests[id_].not_eligible, data

    def compare_mails(self) -> None:
        """No enrolment is told twice within a day (R1, R12); some were told that, as it turned out, never began."""
        void = self.ask(
            """
            SELECT l.id, c.id, v.cycle FROM void_enrolments v JOIN learners l USING (organisation, learner)
            JOIN courses c USING (organisation, course) WHERE v.organisation = :org
            """
        )
        for learner in LEARNERS:
            mails = self.world.mail.to(self.address(learner) or "")
            texts = [str(mail.get_body(("plain",))) for mail in mails]
            for course in COURSES:
                told = sum(f"Course {course}" in text for text in texts)
                cycles = sum(place[:2] == (learner, course) for place in [*self.recorded, *void])
                assert told <= cycles, f"{learner} is told {told} times of {course}"


def test_r06_r10_any_history_ends_as_the_rules_say(world: World) -> None:
    with tables(world) as found:
        some = settings(histories(4), stateful_step_count=20)
        run_state_machine_as_test(partial(Histories, world, found), settings=some)  # type: ignore[arg-type] # any callable
