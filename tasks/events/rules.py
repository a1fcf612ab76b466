"""What decides about events as such: in which order a batch may be applied on sets, and what is kept of each."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from tasks.events.schemas import AnnouncementRequested, Event, Identity, Reason


@dataclass(frozen=True, slots=True)
class Held:
    """An event that could not be taken: it waits for `waits_for`, or, where that is None, for a person.

    `at_once`: quarantined without an hour of waiting, though it will be judged again when `waits_for` comes.
    """

    reason: Reason
    detail: str
    waits_for: str | None = None
    at_once: bool = False


def awaited(waits_for: str | None) -> str | None:
    """What an event waits for, in words."""
    if waits_for is None:
        return None
    kind, _, rest = waits_for.partition(":")
    match kind:
        case "organisation":
            return f"the organisation {rest}"
        case "enrolment":
            return "its enrolment"
        case "status":
            return "an earlier change of status"
        case _:  # a learner, course or segment: the number of its organisation, and its id
            return f"the {kind} {rest.partition(':')[2]}"


#: What becomes of one event: taken (None), or held back.
Outcome = Held | None


def learners_named(event: Event) -> tuple[str, ...] | None:
    """The learners an event is about, or None where it touches the whole organisation."""
    data = event.data
    learner = getattr(data, "learner", None)
    if isinstance(learner, str):
        return (learner,)
    return None


#: What a statement more costs, in rows: a wave of events takes about a dozen of them, however few rows it writes.
WAVE = 20

#: Octets of a message that take as long to judge as a row takes to write.
JUDGED = 50


def weights(events: Iterable[Event]) -> list[int]:
    """About what each of these events of an organisation costs, in rows: one for each of what it lists; what follows
    another about the same learner, or is about nobody by name, cannot be applied together with others; and messages
    are long to judge."""
    seen: set[str] = set()
    found = []
    for event in events:
        lists = [getattr(event.data, name, None) for name in ("learners", "segments")]
        cost = 1 + sum(len(listed) for listed in lists if isinstance(listed, list))
        named = learners_named(event)
        if named is None or not seen.isdisjoint(named):
            cost += WAVE
        seen.update(named or ())
        if isinstance(event.data, AnnouncementRequested):
            cost += len(event.data.body) // JUDGED
        found.append(cost)
    return found


def portions(events: Sequence[Event], busy: Collection[str], most: int) -> list[list[Event]]:
    """Split a batch into what is taken in a transaction each (R31): what small organisations sent together and first,
    what a large one sent after it and by itself, as is what has messages to judge, at last what the `busy` ones did.
    No portion weighs more than so much, unless it is one event; those of an organisation stay in their order, and of
    those that it calls the same the first is meant.
    """
    first: dict[Identity, Event] = {}
    for event in events:
        first.setdefault(event.identity, event)
    theirs: dict[str, list[Event]] = {}
    for event in first.values():
        theirs.setdefault(event.organisation, []).append(event)
    costs = {organisation: weights(of_it) for organisation, of_it in theirs.items()}
    total = {organisation: sum(of_it) for organisation, of_it in costs.items()}
    alone = {event.organisation for event in first.values() if isinstance(event.data, AnnouncementRequested)} | {*busy}
    found: list[list[Event]] = []
    room = 0
    for organisation in sorted(theirs, key=lambda organisation: (organisation in busy, total[organisation])):
        room = 0 if organisation in alone or total[organisation] > room else room
        for event, cost in zip(theirs[organisation], costs[organisation], strict=True):
            if cost > room:
                found.append([])
                room = most
            found[-1].append(event)
            room -= cost
        room = 0 if organisation in alone else room
    return found


def waves(events: Iterable[Event]) -> list[list[Event]]:
    """Split a batch into waves, each of one organisation and one type, so that to apply the waves in turn, each as a
    set, ends where applying the events one by one in their order would end (R6).

    Events about different learners commute; two about the same learner do not, nor does one about the whole
    organisation with any other. An event is placed in the earliest wave that keeps those orders.
    """
    levels: list[tuple[int, int, Event]] = []
    floor: dict[str, int] = {}
    top: dict[str, int] = {}
    last: dict[tuple[str, str], int] = {}
    for position, event in enumerate(events):
        organisation = event.organisation
        named = learners_named(event)
        if named is None:
            level = top.get(organisation, -1) + 1
            floor[organisation] = level + 1
        else:
            level = max(floor.get(organisation, 0), *(last.get((organisation, learner), -1) + 1 for learner in named))
            for learner in named:
                last[organisation, learner] = level
        top[organisation] = max(top.get(organisation, -1), level)
        levels.append((level, position, event))
    levels.sort(key=lambda entry: (entry[0], entry[2].organisation, entry[2].type, entry[1]))
    return [
        [entry[2] for entry in wave]
        for _, wave in groupby(levels, key=lambda entry: (entry[0], entry[2].organisation, entry[2].type))
    ]
