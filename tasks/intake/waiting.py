"""What waits for what: which of the events that were deferred are free, and how many of them are applied at once."""

from collections.abc import Collection, Sequence
from itertools import takewhile

from sqlalchemy import Connection

from config.database import scoped
from tasks import announcements, events, organisations, work
from tasks.events import AnnouncementRequested, Awaited, Event, StatusChanged, affordable, read_stored

#: Events that waited which are applied in the transaction that makes known what they waited for; the rest is work.
MOST_FREED = 500

#: About how many rows they may cost, unless it is one event.
FREED_ROWS = 5_000

Stored = tuple[events.StoredEvent, Event]


def portion(stored: Sequence[events.StoredEvent]) -> list[Stored]:
    """What of this, from the first on, may be applied in one transaction: one event at least, unless none is one."""
    read = [(entry, read_stored(entry.body)) for entry in stored]
    understood = [(entry, event) for entry, event in read if isinstance(event, Event)]
    return understood[: max(1, affordable([event for _, event in understood], FREED_ROWS))]


def freed(connection: Connection, known: Collection[Awaited], enrolled: Collection[int]) -> list[Stored]:
    """What waited for something that is known now, be it from before or from earlier in the same batch; what is too
    much for this transaction is left to the workers, and so are messages that nobody here has judged (R31).

    To apply what is freed ends: what makes something known is settled when it was applied, and what only waits makes
    nothing known.
    """
    if not known and not enrolled:
        return []
    page = events.waiting_for(connection, known, enrolled, MOST_FREED)
    few = list(takewhile(lambda one: _is_judged(one[1]), portion(page.stored)))
    if page.more or len(few) < len(page.stored):
        _leave_rest(connection, known, enrolled)
    return few


def _is_judged(event: Event) -> bool:
    return not isinstance(event.data, AnnouncementRequested) or announcements.is_judged(event.data, event.organisation)


def _leave_rest(connection: Connection, known: Collection[Awaited], enrolled: Collection[int]) -> None:
    """More waited than is applied in one transaction: the workers take the rest."""
    ids = [key.id for key in known if key.kind == "organisation" and key.id]
    numbers = {key.organisation for key in known if key.organisation} | {*enrolled}
    numbers |= {organisation.organisation for organisation in organisations.find(connection, ids).values()}
    for number in numbers:
        with scoped(connection, number):
            work.add(connection, number, "tasks", "events.retake", 0)


def is_recorded(entry: events.StoredEvent, event: Event) -> bool:
    """Whether this is in the history of status since it came, and only its learner was missing."""
    return isinstance(event.data, StatusChanged) and entry.awaits == "learner"
