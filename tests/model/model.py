"""What Rollcall must do with learners, segments, courses, enrolments and access: from the rules, not from the code.

`Facts` are what is known: a function of the set of events that came, but for two things that are decided once, on what
was known then: the version of an event without one (S1), and whom a request selects (S3).

`Model` adds the enrolments. What becomes of one depends on more than the facts: a fan-out over many learners reaches
each at a moment of its own, and so does the second look at what waits. So the model keeps, for each learner, course and
cycle, every `Case` that the rules allow by now. What is seen rules out the others; where it rules out all, there is a
mistake, in the system or here.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

#: A start counts where its enrolment begins within this time after it (S12).
LEAD = timedelta(hours=1)

#: The end of what has none, and the moment for which the present is asked.
EVER = datetime.max.replace(tzinfo=UTC)

#: The beginning of time.
NEVER = datetime.min.replace(tzinfo=UTC)


class Place(NamedTuple):
    """Where there may be an enrolment; there is one at most (S5)."""

    learner: str
    course: str
    cycle: int


@dataclass(frozen=True)
class Event:
    """An event as the model reads it."""

    id: str
    type: str
    time: datetime
    data: Mapping[str, Any]


@dataclass
class Learner:
    """What is known of a learner: who they are by the newest description, and every status with its time (R6)."""

    history: list[tuple[int, datetime, bool]] = field(default_factory=list)
    highest: int = 0
    described: set[datetime] = field(default_factory=set)
    deletions: set[datetime] = field(default_factory=set)

    @property
    def deletion(self) -> datetime:
        """The last one."""
        return max(self.deletions, default=NEVER)

    def version(self, said: int | None) -> int:
        """The version of an event; without one, the highest known (S1)."""
        version = self.highest if said is None else said
        self.highest = max(self.highest, version)
        return version

    def active_at(self, moment: datetime = EVER) -> bool:
        """By the newest change at or before the moment, since the deletion before it (S15); active before the first.
        Of two, inactive holds (S1)."""
        began = max((deletion for deletion in self.deletions if deletion < moment), default=NEVER)
        changes = [change for change in self.history if began < change[1] <= moment]
        return max(changes, key=lambda change: (change[0], change[1], not change[2]))[2] if changes else True

    @property
    def standing(self) -> str:
        """How the learner stands now: only what happened after a deletion makes them anew (S15)."""
        if not self.described:
            return "unsaved"
        return "deleted" if max(self.described) <= self.deletion else "active" if self.active_at() else "inactive"

    @property
    def was_deleted(self) -> bool:
        """Whether they ever were."""
        return self.deletion > NEVER

    @property
    def known(self) -> bool:
        """Whether an event about the learner can be taken (R6)."""
        return self.standing in {"active", "inactive"}


@dataclass(frozen=True)
class Course:
    """A course by its newest description, and since when its rules are what they are."""

    saved_at: datetime
    on_hold: bool
    method: str
    linked: frozenset[str]
    since: datetime

    @property
    def rank(self) -> tuple[object, ...]:
        """Which of two descriptions holds: the newer, and of two of the same time the greater, whichever is heard last
        (R6)."""
        return self.saved_at, self.method, sorted(self.linked), self.on_hold

    @property
    def rules(self) -> tuple[str, frozenset[str]]:
        """Its method, and its links where they count (R10)."""
        return self.method, self.linked if self.method == "segments" else frozenset()


@dataclass(frozen=True)
class Request:
    """A request that was taken: decided once, on what was known then (R6)."""

    id: str
    time: datetime
    course: str
    cycle: int
    selected: int
    eligible: frozenset[str]
    not_eligible: Counter[str]


class Withdrawal(NamedTuple):
    """A withdrawal by name; of every cycle where it names none (S4)."""

    learner: str
    course: str
    cycle: int | None
    time: datetime


class Facts:
    """What is known by now."""

    def __init__(self) -> None:
        self.learners: dict[str, Learner] = defaultdict(Learner)
        self.memberships: dict[tuple[str, str], list[tuple[datetime, bool]]] = defaultdict(list)
        self.segments: set[str] = set()
        self.courses: dict[str, Course] = {}
        self.requests: dict[str, Request] = {}
        self.withdrawals: set[Withdrawal] = set()

    def is_known(self, kind: str, id_: str) -> bool:
        """Whether a learner, a course or a segment was saved."""
        known = {"course": self.courses, "segment": self.segments}
        return self.learners[id_].standing != "unsaved" if kind == "learner" else id_ in known[kind]

    def is_member(self, segment: str, learner: str, moment: datetime = EVER) -> bool:
        """By the newest change at or before the moment; of joining and leaving at one time leaving holds (R6)."""
        changes = [(time, not member) for time, member in self.memberships[segment, learner] if time <= moment]
        return bool(changes) and not max(changes)[1]

    def rule_sources(self, place: Place) -> set[str]:
        """The sources that the rules give an enrolment now: they enrol in cycle 1 (R10)."""
        course = self.courses.get(place.course)
        if course is None or place.cycle != 1:
            return set()
        method, linked = course.rules
        everyone = {"everyone"} if method == "everyone" else set()
        return everyone | {f"segment:{s}" for s in linked if self.is_member(s, place.learner)}

    def withdrawn_since(self, place: Place, moment: datetime) -> bool:
        """Whether a withdrawal by name holds against what asked for the enrolment at a moment (S4)."""
        return any(
            w.time >= moment and w.time > self.learners[place.learner].deletion
            for w in self.withdrawals
            if (w.learner, w.course) == (place.learner, place.course) and w.cycle in {None, place.cycle}
        )

    def requests_holding(self, place: Place) -> set[str]:
        """The requests that hold an enrolment: those that selected the learner and that no withdrawal came after."""
        return {
            request.id
            for request in self.requests.values()
            if (request.course, request.cycle) == (place.course, place.cycle)
            and place.learner in request.eligible
            and request.time > self.learners[place.learner].deletion
            and not self.withdrawn_since(place, request.time)
        }

    def sources(self, place: Place) -> set[str]:
        """What holds an enrolment now: a withdrawal by name stands against every rule, until a later request (R10)."""
        asked = {f"request:{id_}" for id_ in self.requests_holding(place)}
        return asked if self.barred(place) else asked | self.rule_sources(place)

    def barred(self, place: Place) -> bool:
        """Whether a withdrawal by name stands against every rule: no request came after it (R10)."""
        return self.withdrawn_since(place, NEVER) and not self.requests_holding(place)

    def learner_described(self, event: Event) -> None:
        """Who a learner is, and the status that is said of them, if any."""
        learner = self.learners[event.data["learner"]]
        version = learner.version(event.data.get("version"))
        if event.type == "learner.saved":
            learner.described.add(event.time)
        if event.data.get("status") is not None:
            learner.history.append((version, event.time, event.data["status"] == "active"))

    def learner_deleted(self, event: Event, segments: Iterable[str]) -> None:
        """A learner is no more, unless saved again since, and has left every segment (S15)."""
        learner = self.learners[event.data["learner"]]
        learner.deletions.add(event.time)
        for segment in segments:
            self.memberships[segment, event.data["learner"]].append((event.time, False))

    def course_described(self, event: Event) -> bool:
        """The newest description of a course holds (R6); whether its rules are new."""
        data, known = event.data, self.courses.get(event.data["course"])
        linked = frozenset(data.get("segments", ()))
        said = Course(event.time, data.get("on_hold", False), data.get("method", "manual"), linked, event.time)
        if known is not None and known.rank > said.rank:
            return False
        new = said.rules != (known.rules if known else ("manual", frozenset()))
        self.courses[data["course"]] = said if new or known is None else replace(said, since=known.since)
        return new

    def members_moved(self, event: Event) -> list[str]:
        """Learners join or leave a segment; of whom that is the newest (R6)."""
        segment, joined, moved = event.data["segment"], event.type == "segment.joined", []
        for learner in dict.fromkeys(event.data["learners"]):
            changes = self.memberships[segment, learner]
            if all((event.time, not joined) >= (time, not member) for time, member in changes):
                moved.append(learner)
            changes.append((event.time, joined))
        return moved

    def requested(self, event: Event) -> Request:
        """Who is selected: "active" and "member" are judged at the request's own time, by what is known now (S3)."""
        data = event.data
        if "segment" in data:
            listed = [who for segment, who in list(self.memberships) if segment == data["segment"]]
            listed = [who for who in listed if self.is_member(data["segment"], who, event.time)]
        else:
            listed = list(dict.fromkeys(data["learners"]))
        known = [who for who in listed if self.learners[who].known]
        eligible = [who for who in known if data.get("tab") != "active" or self.learners[who].active_at(event.time)]
        not_eligible = Counter(unknown=len(listed) - len(known), inactive=len(known) - len(eligible))
        request = Request(
            data["request"],
            event.time,
            data["course"],
            data.get("cycle", 1),
            len(listed),
            frozenset(eligible),
            +not_eligible,
        )
        self.requests[request.id] = request
        return request


class Stint(NamedTuple):
    """A stretch of time for which an enrolment stood, and what ended it: a rule, or a withdrawal by name."""

    begin: datetime
    end: datetime = EVER
    ended_by: str | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether it stood at a moment, or begins within the hour after it (S12)."""
        return self.begin < self.end and self.begin <= moment + LEAD and moment < self.end


@dataclass(frozen=True)
class Enrolment:
    """An enrolment, with every stint it had: a start is judged at its own time (R27)."""

    stints: tuple[Stint, ...]
    silent: bool
    activated: bool
    requests: frozenset[str] = frozenset()
    started: datetime | None = None
    completed: datetime | None = None

    @property
    def withdrawn(self) -> bool:
        """Whether it was withdrawn, and not brought back since."""
        return self.stints[-1].ended_by is not None

    @property
    def by_rule(self) -> bool:
        """Whether it was withdrawn by a rule: another rule, or a late start, may bring it back."""
        return self.stints[-1].ended_by == "rule"

    def ended(self, moment: datetime, by: str) -> "Enrolment":
        """Withdrawn, from a moment on."""
        last = self.stints[-1]
        return replace(self, stints=(*self.stints[:-1], Stint(last.begin, min(last.end, moment), by)))

    def begun(self, moment: datetime, requests: frozenset[str], *, active: bool) -> "Enrolment":
        """Brought back, from a moment on: recorded anew, with its start and completion (R10, S5)."""
        stints = (*self.stints, Stint(moment))
        return replace(self, stints=stints, silent=not active, activated=active, requests=requests)

    def counted(self, moment: datetime) -> "Enrolment":
        """Started, while it stood: a rule that withdrew it after that never did (R27, S5)."""
        stints = list(self.stints)
        at = next((n for n, stint in enumerate(stints) if stint.holds(moment)), len(stints) - 1)
        while stints[at].ended_by == "rule":
            following = stints[at + 1] if at + 1 < len(stints) else Stint(moment)
            stints[at : at + 2] = [Stint(stints[at].begin, following.end, following.ended_by)]
        started = moment if self.started is None else min(self.started, moment)
        return replace(self, stints=tuple(stints), started=started, activated=True)


class Reach(NamedTuple):
    """A fan-out that is to reach an enrolment: what it is about, since when, and the request, if it is one."""

    moment: datetime
    request: str | None = None


class Waiting(NamedTuple):
    """A start or a completion that could not be taken yet."""

    id: str
    moment: datetime
    is_start: bool


@dataclass(frozen=True)
class Case:
    """What may be the case at one place."""

    enrolment: Enrolment | None = None
    to_come: frozenset[Reach] = frozenset()
    waiting: frozenset[Waiting] = frozenset()


class Seen(NamedTuple):
    """What can be seen of a case."""

    enrolment: tuple[bool, bool, bool, frozenset[str], datetime | None, datetime | None] | None
    waiting: frozenset[str]


class Model:
    """A platform with these learners, segments, courses and cycles, and what may be the case there.

    `at_once`: no fan-out is larger than a chunk, so that each is done in the transaction of its event.
    """

    def __init__(
        self,
        learners: Sequence[str],
        segments: Sequence[str],
        courses: Sequence[str],
        cycles: Sequence[int],
        *,
        at_once: bool,
    ) -> None:
        self.facts = Facts()
        self.segments = segments
        self.at_once = at_once
        self.cases: dict[Place, set[Case]] = {
            Place(who, course, cycle): {Case()} for who in learners for course in courses for cycle in cycles
        }
        self.active_meanwhile: set[str] = set()
        self.overtaken: set[str] = set()
        self._newest: dict[str, datetime] = {}
        self._waiting: dict[str, tuple[Event, tuple[str, str]]] = {}
        self._kept: dict[str, str] = {}
        self._kept_at: dict[str, datetime] = {}
        self._seen: set[str] = set()
        self._heard: dict[Place, datetime] = {}
        self._unsure: dict[Place, tuple[datetime, datetime]] = {}

    def take(self, batch: Iterable[Event]) -> None:
        """Take a batch: each event once (R32), in its order; then, what waited for something that is known by now."""
        self.active_meanwhile = self._active()
        for event in batch:
            if event.id not in self._seen:
                self._seen.add(event.id)
                self._take(event)
                self.active_meanwhile |= self._active()
        while ready := [event for event, named in self._waiting.values() if self.facts.is_known(*named)]:
            for event in ready:
                self._take(event)
        self._unfold(reached=self.at_once, taken=self.at_once)

    def work(self) -> None:
        """Some of what is due is done."""
        self.active_meanwhile = self._active()
        self._unfold(reached=False, taken=False)

    def settle(self) -> None:
        """Every fan-out has reached everyone, and what can be taken is."""
        self.active_meanwhile = self._active()
        self._unfold(reached=True, taken=True)

    def observe(self, place: Place, seen: Seen) -> None:
        """Rule out what is not the case; fails where nothing is left. Of who is `overtaken` something came late, and
        the past is told anew: whether rightly, `arrivals.py` asks."""
        if place.learner in self.overtaken:
            return
        possible = {case for case in self.cases[place] if _seen(case) == seen}
        if not possible:
            allowed = "\n  ".join(sorted({repr(_seen(case)) for case in self.cases[place]}))
            raise AssertionError(f"{place}: found\n  {seen}\nand the rules allow\n  {allowed}")
        self.cases[place] = possible

    def held(self) -> set[str]:
        """What waits for what it names (R6), apart from what waits at a place; and every status of a learner nobody
        saved yet, which is in the history already (S2)."""
        kept = {id_ for id_, learner in self._kept.items() if self.facts.learners[learner].standing == "unsaved"}
        return kept | set(self._waiting)

    def beaten(self) -> set[str]:
        """Of these, every status that a deletion beats which waits itself (S15): it is erased some time."""
        deletions = [event for event, _ in self._waiting.values() if event.type == "learner.deleted"]
        return {
            id_
            for id_, learner in self._kept.items()
            if any(gone.data["learner"] == learner and self._kept_at[id_] <= gone.time for gone in deletions)
        }

    def _active(self) -> set[str]:
        return {id_ for id_, learner in self.facts.learners.items() if learner.standing == "active"}

    def _take(self, event: Event) -> bool:
        """Take an event, or keep it until what it names is known; whether it was taken."""
        self._note_late(event)
        if (named := self._waits_for(event)) is not None:
            self._waiting[event.id] = event, named
            return False
        self._waiting.pop(event.id, None)
        match event.type:
            case "learner.saved" | "learner.status_changed" | "learner.deleted":
                self._about_learner(event)
            case "segment.saved":
                self.facts.segments.add(event.data["segment"])
            case "segment.joined" | "segment.left":
                self._members_moved(event)
            case "course.saved":
                self._course_saved(event)
            case "enrolment.requested":
                self._requested(event)
            case "enrolment.withdrawn":
                self._withdrawn(event)
            case "course.started" | "course.completed":
                place = Place(event.data["learner"], event.data["course"], event.data.get("cycle", 1))
                waiting = Waiting(event.id, event.time, event.type == "course.started")
                self._each([place], lambda _, case: replace(case, waiting=case.waiting | {waiting}))
        self._unfold(reached=self.at_once, taken=False)
        return True

    def _note_late(self, event: Event) -> None:
        """Note of whom something comes that did not happen after all that is known of them."""
        everybody = {place.learner for place in self.cases}
        named = [event.data["learner"]] if "learner" in event.data else event.data.get("learners", everybody)
        for learner in everybody if "course" in event.data and "method" in event.data else named:
            if event.time <= self._newest.get(learner, NEVER):
                self.overtaken.add(learner)
            self._newest[learner] = max(event.time, self._newest.get(learner, NEVER))

    def _waits_for(self, event: Event) -> tuple[str, str] | None:
        """What acts on something not saved yet waits for it (R6, S2); a request that was answered does not (S16)."""
        data = event.data
        named: list[tuple[str, str]] = []
        match event.type:
            case "learner.deleted":
                named = [("learner", data["learner"])]
            case "enrolment.withdrawn":
                named = [("course", data["course"])]
            case "enrolment.requested" if data["request"] not in self.facts.requests:
                named = [("course", data["course"])]
                named += [("segment", data["segment"])] if "segment" in data else []
        return next((one for one in named if not self.facts.is_known(*one)), None)

    def _about_learner(self, event: Event) -> None:
        """Who is new is enrolled by the rules as they stand (R7); who is saved again after being deleted is brought in
        line with them (R10); who is active again has access at once (R4)."""
        id_ = event.data["learner"]
        learner = self.facts.learners[id_]
        before = learner.standing
        if event.type == "learner.deleted":
            self.facts.learner_deleted(event, self.segments)
            if learner.standing == "deleted":  # nothing of before is left to who is made anew
                for place in self._places(learner=id_):
                    self.cases[place] = {replace(case, enrolment=None) for case in self.cases[place]}
        else:
            self.facts.learner_described(event)
        if event.type == "learner.status_changed":
            self._kept[event.id], self._kept_at[event.id] = id_, event.time
        new = before in {"unsaved", "deleted"} or event.type == "learner.deleted"
        if new and learner.known:
            ruled = [place for place in self._places(learner=id_, cycle=1) if place.course in self.facts.courses]
            self._heard_of(ruled, event.time)
            for place in ruled:
                since = max(event.time, self.facts.courses[place.course].since)
                self.cases[place] = {self._reached(place, case, Reach(since)) for case in self.cases[place]}
        if before in {"inactive", "deleted"} and learner.standing == "active":
            self._each(self._places(learner=id_), _activated)

    def _members_moved(self, event: Event) -> None:
        """Joining a linked segment enrols; leaving it withdraws that source (R10)."""
        moved = self.facts.members_moved(event)
        segment = event.data["segment"]
        linked = [course for course, known in self.facts.courses.items() if segment in known.rules[1]]
        for learner in dict.fromkeys(event.data["learners"]):
            self._heard_of(self._places(learner=learner, cycle=1), event.time)
        for place in self._places(cycle=1):
            if place.learner in moved and place.course in linked:
                self._to_come([place], Reach(event.time))

    def _course_saved(self, event: Event) -> None:
        """New rules are followed for everybody (R7, R10)."""
        new = self.facts.course_described(event)
        places = self._places(course=event.data["course"], cycle=1)
        self._heard_of(places, event.time)
        if new:
            self._to_come(places, Reach(event.time))

    def _requested(self, event: Event) -> None:
        """A request is decided once; a second one with its id is answered with the first's result (S16)."""
        if event.data["request"] in self.facts.requests:
            return
        request = self.facts.requested(event)
        places = [p for p in self._places(course=request.course, cycle=request.cycle) if p.learner in request.eligible]
        self._heard_of(places, event.time)
        self._to_come(places, Reach(event.time, request.id))

    def _withdrawn(self, event: Event) -> None:
        """A withdrawal by name takes every source but the requests that came after it (S4)."""
        data = event.data
        for learner in dict.fromkeys(data["learners"]):
            withdrawal = Withdrawal(learner, data["course"], data.get("cycle"), event.time)
            self.facts.withdrawals.add(withdrawal)
            places = self._places(learner=learner, course=data["course"], cycle=data.get("cycle"))
            self._heard_of(places, event.time)
            self._each(places, lambda _, case: self._withdrawn_by_name(case, event.time))

    def _withdrawn_by_name(self, case: Case, moment: datetime) -> Case:
        enrolment = case.enrolment
        if enrolment is None:
            return case
        left = frozenset(id_ for id_ in enrolment.requests if self.facts.requests[id_].time > moment)
        enrolment = replace(enrolment, requests=left)
        if not left and (not enrolment.withdrawn or enrolment.by_rule):
            enrolment = enrolment.ended(moment, "name")
        return replace(case, enrolment=enrolment)

    def _reached(self, place: Place, case: Case, reach: Reach) -> Case:
        """What a fan-out leaves behind where it arrives: it judges by what is known then (R10, S3)."""
        learner, enrolment = self.facts.learners[place.learner], case.enrolment
        asked = frozenset(() if reach.request is None else (reach.request,))
        if asked:
            holds = not self.facts.withdrawn_since(place, reach.moment)
        elif enrolment is None:
            holds = bool(self.facts.rule_sources(place)) and not self.facts.withdrawn_since(place, NEVER)
        else:
            holds = bool(self.facts.rule_sources(place))
        active = learner.standing == "active"
        if enrolment is None:
            if holds and learner.known:
                enrolment = Enrolment((Stint(reach.moment),), not active, active, asked)
        elif enrolment.withdrawn:
            if holds and learner.known and (asked or enrolment.by_rule):
                enrolment = enrolment.begun(reach.moment, asked, active=active)
        elif holds:
            enrolment = replace(enrolment, requests=enrolment.requests | asked)
        elif not asked and not enrolment.requests and enrolment.started is None:
            enrolment = enrolment.ended(reach.moment, "rule")
        return replace(case, enrolment=enrolment, to_come=case.to_come - {reach})

    def _counts(self, place: Place, case: Case, waiting: Waiting) -> set[bool]:
        """Whether a start counts, or a completion is taken (R27, S12, S14).

        Where what makes or ends an enrolment came late, the rules do not say whether it stood between the time of what
        came late and of the newest that was known by then: there, either answer is right.
        """
        learner, enrolment = self.facts.learners[place.learner], case.enrolment
        if not learner.known or enrolment is None:
            return {False}
        if not waiting.is_start:
            return {True}
        if not learner.active_at(waiting.moment):
            return {False}
        low, high = self._unsure.get(place, (EVER, NEVER))
        if low <= waiting.moment + LEAD and waiting.moment <= high:
            return {True, False}
        return {any(stint.holds(waiting.moment) for stint in enrolment.stints)}

    def _heard_of(self, places: Iterable[Place], moment: datetime) -> None:
        """Note what makes or ends enrolments here, and whether it comes late."""
        for place in places:
            newest = self._heard.get(place, NEVER)
            if moment <= newest:
                low, high = self._unsure.get(place, (EVER, NEVER))
                self._unsure[place] = min(low, moment), max(high, newest)
            self._heard[place] = max(newest, moment)

    def _places(
        self, *, learner: str | None = None, course: str | None = None, cycle: int | None = None
    ) -> list[Place]:
        return [
            place
            for place in self.cases
            if learner in {None, place.learner} and course in {None, place.course} and cycle in {None, place.cycle}
        ]

    def _each(self, places: Iterable[Place], becomes: Callable[[Place, Case], Case]) -> None:
        for place in places:
            self.cases[place] = {becomes(place, case) for case in self.cases[place]}

    def _to_come(self, places: Iterable[Place], reach: Reach) -> None:
        self._each(places, lambda _, case: replace(case, to_come=case.to_come | {reach}))

    def _unfold(self, *, reached: bool, taken: bool) -> None:
        """Add every case that comes of a fan-out reaching a place, and of a second look at what waits there. `reached`
        and `taken`: both have happened, wherever they could."""
        for place, cases in self.cases.items():
            found, new = set(cases), list(cases)
            while new:
                following = set(self._following(place, new.pop())) - found
                found |= following
                new += following
            self.cases[place] = {
                case
                for case in found
                if not (reached and case.to_come)
                and not (taken and any(self._counts(place, case, waiting) == {True} for waiting in case.waiting))
            }

    def _following(self, place: Place, case: Case) -> Iterator[Case]:
        for reach in case.to_come:
            yield self._reached(place, case, reach)
        for waiting in case.waiting:
            if case.enrolment is not None and True in self._counts(place, case, waiting):
                moment, enrolment = waiting.moment, case.enrolment
                if waiting.is_start:
                    enrolment = enrolment.counted(moment)
                else:
                    enrolment = replace(enrolment, completed=max(enrolment.completed or moment, moment))
                yield replace(case, enrolment=enrolment, waiting=case.waiting - {waiting})


def _activated(_: Place, case: Case) -> Case:
    """Active again: from now on what is enrolled gives access (R4)."""
    if case.enrolment is None or case.enrolment.withdrawn:
        return case
    return replace(case, enrolment=replace(case.enrolment, activated=True))


def _seen(case: Case) -> Seen:
    waiting = frozenset(waiting.id for waiting in case.waiting)
    e = case.enrolment
    if e is None:
        return Seen(None, waiting)
    return Seen((e.withdrawn, e.silent, e.activated, e.requests, e.started, e.completed), waiting)
