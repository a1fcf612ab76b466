"""What a person decides about an event that waits or is quarantined."""

from collections.abc import Callable

from sqlalchemy import Connection, Engine

from config.database import retrying, transaction
from config.errors import UserError
from config.phrases import SEVERAL_EVENTS
from config.settings import Settings
from tasks import events
from tasks.events import Event, Malformed, Reason, StatusChanged, read_stored
from tasks.intake.batch import Batch

#: Why a status is only stored, and not in any history: nobody knows whose it would be, or it was not looked at yet.
NOT_IN_HISTORY = {Reason.UNKNOWN_ORGANISATION.value, Reason.ITS_TURN.value}


class NotResolved(UserError):
    """The event cannot be released or discarded; the message says why."""


def release(
    engine: Engine,
    settings: Settings,
    wanted: events.EventRef,
    *,
    by: str,
    why: str,
    also: Callable[[Connection], None] = lambda _: None,
) -> None:
    """Apply an event that waits or is quarantined as valid, because a person says so (R27, S12); `also` is done with
    it, in the same transaction.

    Raises `NotResolved` where there is not exactly one, or it cannot be applied even so; it then stays as it was.
    """
    for attempt in retrying():
        with attempt, transaction(engine) as connection:
            entry = _unresolved(connection, wanted)
            if entry.reason == Reason.ITS_TURN:
                raise NotResolved(f"{wanted.id} waits for its turn, and is taken by itself")
            event = read_stored(entry.body)
            if isinstance(event, Malformed):
                raise NotResolved(f"{wanted.id} is malformed ({event.detail}): have it sent again, or discard it")
            batch = Batch(connection, settings, numbers={event.identity: entry.seq})
            batch.lock([event], {})
            events.resolve(connection, entry, "released", by=by, why=why)
            effects = batch.apply_stored([event], released=True)
            if batch.finish([event], effects, stored=True):
                _, why_not = effects.deferred[0]
                raise NotResolved(f"{wanted.id} cannot be taken even so: {why_not.reason}")
            also(connection)


def discard(
    engine: Engine,
    wanted: events.EventRef,
    *,
    by: str,
    why: str,
    also: Callable[[Connection], None] = lambda _: None,
) -> None:
    """Give up an event that waits or is quarantined (R27); `also` is done with it, in the same transaction. Raises
    `NotResolved` where there is not exactly one, or what it says is in the history already."""
    for attempt in retrying():
        with attempt, transaction(engine) as connection:
            entry = _unresolved(connection, wanted)
            event = read_stored(entry.body)
            if (
                isinstance(event, Event)
                and isinstance(event.data, StatusChanged)
                and entry.reason not in NOT_IN_HISTORY
            ):
                raise NotResolved(f"{wanted.id} is in the history already: send a newer status instead")
            events.resolve(connection, entry, "discarded", by=by, why=why)
            also(connection)


def _unresolved(connection: Connection, wanted: events.EventRef) -> events.UnresolvedEvent:
    found = events.unresolved(connection, wanted)
    if not found:
        raise NotResolved(f"no event {wanted.id} waits or is quarantined")
    if len(found) > 1:
        raise NotResolved(SEVERAL_EVENTS(number=len(found), id=wanted.id))
    return found[0]
