"""What must become of course starts, however late, often and in whatever order things are told: from the rules, not
from the code (R6, R23 to R28, R32, S1 to S4, S11 to S14).

Unlike `model.py`, which keeps every case that the rules allow, this says the one thing that is right, down to the entry
of the ledger: so it speaks of what is done at once, and where the rules are silent it says so, by `Unsaid`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tests.model.model import LEAD, NEVER, Event, Learner, Place, Stint

#: What a waiting or quarantined event is listed with: its state and its reason.
Listed = tuple[str, str]

UNKNOWN_LEARNER, UNKNOWN_COURSE = "unknown learner", "unknown course"
NOT_ENROLLED, INACTIVE = "not enrolled", "learner inactive"


class Unsaid(Exception):
    """The rules do not say whether an enrolment stood then: what made or ended it came late."""


@dataclass
class Entry:
    """What a start consumed, and what it is flagged for; `vouched`: a person knew that the learner was inactive."""

    event: str
    place: Place
    unit: str
    amount: int
    occurred_at: datetime
    flags: set[str] = field(default_factory=set)
    vouched: bool = False


@dataclass
class Held:
    """An event that could not be taken."""

    event: Event
    reason: str
    state: str


class Starts:
    """One organisation on seats or credits, whose licence period has these bounds, and all that is known of it."""

    def __init__(self, licence: str, starts: datetime, ends: datetime, everyone: str, cycles: Sequence[int]) -> None:
        self.licence, self.starts, self.ends = licence, starts, ends
        self.everyone, self.cycles = everyone, cycles
        self.learners: dict[str, Learner] = defaultdict(Learner)
        self.since: dict[str, datetime] = {}
        self.courses: dict[str, tuple[int, bool]] = {}
        self.stints: dict[Place, list[Stint]] = defaultdict(list)
        self.withdrawn: dict[Place, datetime] = {}
        self.requests: dict[Place, list[datetime]] = defaultdict(list)
        self.entries: list[Entry] = []
        self.held: dict[str, Held] = {}
        self._seen: set[str] = set()
        self._heard: dict[Place, datetime] = {}
        self._unsure: dict[Place, tuple[datetime, datetime]] = {}

    def take(self, batch: Iterable[Event]) -> None:
        """Each event once (R32), in its order; then, what waited for what is known by now, in the order it came."""
        for event in batch:
            if event.id not in self._seen:
                self._seen.add(event.id)
                self._judge(event)
        while [one for one in list(self.held.values()) if self._again(one)]:
            pass

    def hour_passes(self) -> None:
        """What waits is quarantined (R6); it is still taken when what it waits for comes."""
        for one in self.held.values():
            one.state = "quarantined"

    def release(self, id_: str) -> bool:
        """A person says that a start is valid (S12): it counts, as soon as what it names is known."""
        event = self.held[id_].event
        if event.data["learner"] not in self.since or event.data["course"] not in self.courses:
            return False
        del self.held[id_]
        self._count(event, vouched=not self._active(event))
        return True

    def access(self) -> set[Place]:
        """Active now, enrolled, not withdrawn, and the course not on hold (R3)."""
        return {
            place
            for place in self.stints
            if self._stands(place) and self.learners[place.learner].active_at() and not self.courses[place.course][1]
        }

    def may_be_listed(self, one: Held) -> set[Listed]:
        """How a held event is listed. When one that waits for its enrolment is looked at again is not said, only when
        it is taken: by now it may be known that the learner was inactive."""
        listed = {(one.state, one.reason)}
        started = one.event.type == "course.started" and one.reason == NOT_ENROLLED
        if started and not self._active(one.event):
            listed.add(("quarantined", INACTIVE))
        return listed

    def _active(self, event: Event) -> bool:
        return self.learners[event.data["learner"]].active_at(event.time)

    def _stands(self, place: Place) -> bool:
        return bool(self.stints[place]) and self.stints[place][-1].ended_by is None

    def _hold(self, event: Event, reason: str) -> None:
        """It waits, or where the learner was inactive is quarantined at once; what was quarantined stays so."""
        before = self.held.get(event.id)
        quarantined = reason == INACTIVE or (before is not None and before.state == "quarantined")
        self.held[event.id] = Held(event, reason, "quarantined" if quarantined else "waiting")

    def _again(self, one: Held) -> bool:
        """Judge a held event again if what it waits for has come; whether that made something known."""
        data, event = one.event.data, one.event
        came: dict[str, Callable[[], bool]] = {
            UNKNOWN_LEARNER: lambda: data["learner"] in self.since,
            UNKNOWN_COURSE: lambda: data["course"] in self.courses,
            NOT_ENROLLED: lambda: self._enrolled(event),
            INACTIVE: lambda: self._active(event),
        }
        if not came[one.reason]():
            return False
        if event.type == "learner.status_changed":  # in the history since it came (S2)
            del self.held[event.id]
            return False
        before = self.held.pop(event.id)
        self.held[event.id] = before
        return self._judge(event)

    def _enrolled(self, event: Event) -> bool:
        if event.type == "course.completed":
            return bool(self.stints[_place(event)])
        return self._stood(event) and self._active(event)

    def _stood(self, event: Event) -> bool:
        """Whether the enrolment stood at the time of a start, or began within the hour after it (S12)."""
        place = _place(event)
        low, high = self._unsure.get(place, (datetime.max.replace(tzinfo=NEVER.tzinfo), NEVER))
        if low <= event.time + LEAD and event.time <= high:
            raise Unsaid
        return any(stint.holds(event.time) for stint in self.stints[place])

    def _judge(self, event: Event) -> bool:
        """Take an event, or hold it; whether it was taken."""
        data = event.data
        match event.type:
            case "learner.saved":
                self._arrives(event)
            case "learner.status_changed":
                self._status(event)
                return data["learner"] in self.since
            case "course.saved":
                self.courses[data["course"]] = data["cost"], data["on_hold"]
            case "enrolment.requested" | "enrolment.withdrawn" if data["course"] not in self.courses:
                self._hold(event, UNKNOWN_COURSE)
                return False
            case "enrolment.requested":
                self._requested(event)
            case "enrolment.withdrawn":
                self._withdrawn(event)
            case "course.started" | "course.completed":
                reason = self._objection(event)
                if reason is not None:
                    self._hold(event, reason)
                    return False
                if event.type == "course.started":
                    self._count(event)
        self.held.pop(event.id, None)
        return True

    def _objection(self, event: Event) -> str | None:
        """Why a start or completion is not taken; of a start inactive comes first (S12)."""
        started = event.type == "course.started"
        if event.data["learner"] not in self.since:
            return UNKNOWN_LEARNER
        if started and not self._active(event):
            return INACTIVE
        if event.data["course"] not in self.courses:
            return UNKNOWN_COURSE
        enrolled = self._stood(event) if started else bool(self.stints[_place(event)])
        return None if enrolled else NOT_ENROLLED

    def _count(self, event: Event, *, vouched: bool = False) -> None:
        """A start that counts is charged once: credits for the learner, course and cycle, a seat for the learner in
        the licence period (R25); what makes it doubtful is flagged on what it is charged (R27)."""
        place = _place(event)
        cost, on_hold = self.courses[place.course]
        if self.licence == "credits":
            charged, unit, amount = any(e.place == place for e in self.entries), "credit", cost
        else:
            charged, unit, amount = any(e.place.learner == place.learner for e in self.entries), "seat", 1
        if charged:
            return
        flags = {"course on hold"} if on_hold else set()
        if not self.starts <= event.time < self.ends:
            flags.add("outside licence period")
        self.entries.append(Entry(event.id, place, unit, amount, event.time, flags, vouched))

    def _status(self, event: Event) -> None:
        """A status is kept by its time; one that contradicts what was consumed flags it (R28, S13)."""
        learner = self.learners[event.data["learner"]]
        version = learner.version(event.data.get("version"))
        learner.history.append((version, event.time, event.data["status"] == "active"))
        if event.data["learner"] not in self.since:
            self._hold(event, UNKNOWN_LEARNER)
        for entry in self.entries:
            if entry.place.learner == event.data["learner"] and not entry.vouched:
                entry.flags |= set() if learner.active_at(entry.occurred_at) else {INACTIVE}

    def _arrives(self, event: Event) -> None:
        """Who is new is enrolled in the course for everyone, unless they were withdrawn by name (R7, R10)."""
        who = event.data["learner"]
        place = Place(who, self.everyone, 1)
        if who in self.since:
            if event.time < self.since[who]:  # they were there before anybody was told
                self.since[who] = event.time
                self._hear(place, event.time)
            return
        self.since[who] = event.time
        self._hear(place, event.time)
        if place not in self.withdrawn:
            self.stints[place].append(Stint(event.time))

    def _requested(self, event: Event) -> None:
        """A request enrols whom it names and knows, unless a withdrawal by name came after it (S2, S4, S6)."""
        for who in event.data["learners"]:
            place = Place(who, event.data["course"], event.data["cycle"])
            if who not in self.since:
                continue
            self._hear(place, event.time)
            if self.withdrawn.get(place, NEVER) >= event.time:
                continue
            self.requests[place].append(event.time)
            if not self._stands(place):
                self.stints[place].append(Stint(event.time))

    def _withdrawn(self, event: Event) -> None:
        """A withdrawal by name takes every source but later requests; what was consumed from then on is flagged."""
        for who in event.data["learners"]:
            for cycle in self.cycles:
                place = Place(who, event.data["course"], cycle)
                self._hear(place, event.time)
                self.withdrawn[place] = max(self.withdrawn.get(place, NEVER), event.time)
                self.requests[place] = [time for time in self.requests[place] if time > event.time]
                if self._stands(place) and not self.requests[place]:
                    last = self.stints[place].pop()
                    if last.begin < event.time:  # what ends as it begins never was
                        self.stints[place].append(Stint(last.begin, event.time, "name"))
                    for entry in self.entries:
                        if entry.place == place and entry.occurred_at >= event.time:
                            entry.flags.add(NOT_ENROLLED)

    def _hear(self, place: Place, moment: datetime) -> None:
        """Note what makes or ends an enrolment; where it comes late, what stood since its time is not said."""
        newest = self._heard.get(place, NEVER)
        if moment <= newest:
            low, high = self._unsure.get(place, (moment, newest))
            low, high = self._unsure[place] = min(low, moment), max(high, newest)
            if any(e.place == place and low <= e.occurred_at + LEAD and e.occurred_at <= high for e in self.entries):
                raise Unsaid
        self._heard[place] = max(newest, moment)


def _place(event: Event) -> Place:
    return Place(event.data["learner"], event.data["course"], event.data["cycle"])
