"""What decides about events as such: in which order a batch may be applied on sets, and what is kept of each."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, groupby
from typing import Self

from tasks.events.awaited import Awaited
from tasks.events.schemas import AnnouncementRequested, Data, Event, Identity, Reason


@dataclass(frozen=True, slots=True)
class Deferred:
    """Why an event could not be applied: it waits for what is `awaited`, or, where that is None, for a person.

    `at_once`: quarantined without an hour of waiting, though it will be judged again when what is `awaited` comes.
    """

    reason: Reason
    detail: str
    awaited: Awaited | None = None
    at_once: bool = False

    @classmethod
    def unknown_learner(cls, organisation: int, id_: str, more: str = "") -> Self:
        """What acts on a learner nobody saved yet waits for them (R6)."""
        missing = Awaited.saved_learner(organisation, id_)
        return cls(Reason.UNKNOWN_LEARNER, f"the learner {id_} is not known{more}", missing)

    @classmethod
    def unknown_course(cls, organisation: int, id_: str) -> Self:
        """What acts on a course nobody saved yet waits for it (R6)."""
        return cls(Reason.UNKNOWN_COURSE, f"the course {id_} is not known", Awaited.saved_course(organisation, id_))

    @classmethod
    def unknown_segment(cls, organisation: int, id_: str) -> Self:
        """What acts on a segment nobody saved yet waits for it (S2)."""
        return cls(Reason.UNKNOWN_SEGMENT, f"the segment {id_} is not known", Awaited.saved_segment(organisation, id_))


def learner_named(event: Event) -> str | None:
    """The learner an event is about, or None where it touches the whole organisation."""
    return getattr(event.data, "learner", None)


@cache
def _lists_of(kind: type[Data]) -> list[str]:
    return [name for name in ("learners", "segments") if name in kind.__struct_fields__]


#: What a wave of events costs more than its rows: it takes about a dozen statements, however few rows it writes.
WAVE = 200

#: Octets of a message that take as long to judge as a row takes to write.
JUDGED = 5

#: What is done at once for one organisation of what is read at once, in rows. It is what everybody else may have to
#: wait for: some tenths of a second. The rest waits for its turn.
TURN = 10_000


def weights(events: Sequence[Event]) -> list[int]:
    """About what each of these events of an organisation costs, in rows: one for each of what it lists; what cannot be
    applied together with others before it, what a wave costs; and messages are long to judge."""
    opened: set[tuple[int, str]] = set()
    found = []
    for event, level in zip(events, _levels(events), strict=True):
        cost = 1
        for name in _lists_of(type(event.data)):
            cost += len(getattr(event.data, name) or ())
        wave = level, event.type
        if opened and wave not in opened:
            cost += WAVE
        opened.add(wave)
        if isinstance(event.data, AnnouncementRequested):
            cost += len(event.data.body) // JUDGED
        found.append(cost)
    return found


def affordable(events: Sequence[Event], most: int) -> int:
    """How many of these events of an organisation, from the first on, cost so much at most together."""
    return bisect_right(list(accumulate(weights(events))), most)


def _by_organisation(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Each one's events in their order; of those that it calls the same, the first is meant."""
    first: dict[Identity, Event] = {}
    for event in events:
        first.setdefault(event.identity, event)
    theirs: dict[str, list[Event]] = {}
    for event in first.values():
        theirs.setdefault(event.organisation, []).append(event)
    return theirs


def in_turn(events: Iterable[Event], behind: Collection[str]) -> tuple[list[Event], dict[str, list[Event]]]:
    """What is taken at once of what was read at once, and what waits for its turn, by organisation, so that nobody else
    has to wait for it (R31): what is more than `TURN` of one, and all of those that are `behind` already, as an
    organisation's events are taken in their order. Of those that it calls the same, the first is meant."""
    theirs = _by_organisation(events)
    few = {id_: 0 if id_ in behind else affordable(of_it, TURN) for id_, of_it in theirs.items()}
    at_once = [event for id_, of_it in theirs.items() for event in of_it[: few[id_]]]
    return at_once, {id_: rest for id_, of_it in theirs.items() if (rest := of_it[few[id_] :])}


def portions(events: Sequence[Event], most: int) -> list[list[Event]]:
    """Split a batch into what is taken in a transaction each (R31): what small organisations sent together and first,
    what a large one sent after it and by itself, as is what has messages to judge.
    No portion weighs more than so much, unless it is one event; those of an organisation stay in their order, and of
    those that it calls the same the first is meant.
    """
    theirs = _by_organisation(events)
    costs = {organisation: weights(of_it) for organisation, of_it in theirs.items()}
    total = {organisation: sum(of_it) for organisation, of_it in costs.items()}
    alone = {event.organisation for event in events if isinstance(event.data, AnnouncementRequested)}
    found: list[list[Event]] = []
    room = 0
    for organisation in sorted(theirs, key=lambda organisation: total[organisation]):
        room = 0 if organisation in alone or total[organisation] > room else room
        for event, cost in zip(theirs[organisation], costs[organisation], strict=True):
            if cost > room:
                found.append([])
                room = most
            found[-1].append(event)
            room -= cost
        room = 0 if organisation in alone else room
    return found


def _levels(events: Iterable[Event]) -> list[int]:
    """For each event the earliest step at which it may be applied, so that to apply one step after the other ends where
    applying the events one by one in their order would end (R6).

    Events about different learners commute; two about the same learner do not, nor does one about the whole
    organisation with any other.
    """
    levels = []
    floor: dict[str, int] = defaultdict(int)
    top: dict[str, int] = defaultdict(int)
    next_of: dict[tuple[str, str], int] = defaultdict(int)
    for event in events:
        organisation = event.organisation
        learner = learner_named(event)
        if learner is None:
            level = floor[organisation] = top[organisation]
            floor[organisation] += 1
        else:
            level = max(floor[organisation], next_of[organisation, learner])
            next_of[organisation, learner] = level + 1
        top[organisation] = max(top[organisation], level + 1)
        levels.append(level)
    return levels


def waves(events: Sequence[Event]) -> list[list[Event]]:
    """Split a batch into waves, each of one organisation, one step and one type, which is applied as a set (R6)."""
    placed = sorted(
        zip(_levels(events), range(len(events)), events, strict=True),
        key=lambda entry: (entry[0], entry[2].organisation, entry[2].type, entry[1]),
    )
    return [
        [entry[2] for entry in wave]
        for _, wave in groupby(placed, key=lambda entry: (entry[0], entry[2].organisation, entry[2].type))
    ]
