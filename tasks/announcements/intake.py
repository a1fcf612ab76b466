"""What `platform.announcement.requested` does."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from threading import Lock

import msgspec
from msgspec import UNSET

from tasks import mail
from tasks.announcements import store
from tasks.announcements.lifecycle import launch, schedule
from tasks.announcements.rules import BadMessage, BadSchedule, check_message, moment_of, zone_named
from tasks.events import AnnouncementRequested, Deferred, Event, Reason
from tasks.intake import EventContext
from tasks.learners import saved_segments

#: Verdicts on messages that are kept; no more announcements than these are taken in one transaction.
KEPT_VERDICTS = 4096

_verdicts: OrderedDict[bytes, str | None] = OrderedDict()
_one_at_a_time = Lock()


def fault_of(data: AnnouncementRequested, organisation: str, name: str) -> str | None:
    """What is wrong with a message of the organisation with this id, or None. That takes up to seconds, so it is asked
    before the transaction that takes the message, which then finds the verdict here (R31). One under an earlier name
    will do: at the launch it is judged again."""
    key = _key(data, organisation)
    with _one_at_a_time:
        if key in _verdicts:
            return _verdicts[key]
    fault = None
    try:
        check_message(data.subject, data.body, name)
    except BadMessage as problem:
        fault = str(problem)
    with _one_at_a_time:
        _verdicts[key] = fault
        if len(_verdicts) > KEPT_VERDICTS:
            _verdicts.popitem(last=False)
    return fault


def is_judged(data: AnnouncementRequested, organisation: str) -> bool:
    """Whether the verdict on a message of the organisation with this id is known here: to ask for it takes no time."""
    key = _key(data, organisation)
    with _one_at_a_time:
        return key in _verdicts


def _key(data: AnnouncementRequested, organisation: str) -> bytes:
    return sha256("\0".join([organisation, data.subject, data.body]).encode()).digest()


def announcement_requested(context: EventContext, events: Sequence[Event]) -> None:
    """Launch an announcement at once, or at `send_at` (S9); one whose id was used already is the same one (S16)."""
    for event in events:
        context.defer(event, _requested(context, event))


def _requested(context: EventContext, event: Event) -> Deferred | None:
    data = event.data
    assert isinstance(data, AnnouncementRequested)  # noqa: S101 - the table of handlers says so
    connection, organisation, number = context.connection, context.organisation, context.number
    if fault := fault_of(data, organisation.id, organisation.name):
        return Deferred(Reason.BAD_TEMPLATE, fault)
    try:
        zone_named(data.time_zone or "UTC")
        send_at = None if (at := data.at()) is None else moment_of(at, data.time_zone or "UTC")
    except BadSchedule as problem:
        return Deferred(Reason.BAD_SCHEDULE, str(problem))
    if data.audience.segments is not UNSET:
        saved = saved_segments(connection, number, data.audience.segments)
        for segment in data.audience.segments:
            if segment not in saved:
                return Deferred.unknown_segment(number, segment)
    draft = mail.Draft(
        data.announcement,
        data.subject,
        data.body,
        msgspec.to_builtins(data.audience),
        send_at=send_at,
        time_zone=data.time_zone or None,
    )
    mailing = mail.create_draft(connection, number, draft, by=event.source)
    if mailing is None:
        return None
    found = store.numbered(connection, number, mailing)
    assert found is not None  # noqa: S101 - created just now
    if send_at is None:
        launch(connection, context.settings, organisation, found, by=event.source)
    else:
        schedule(connection, organisation, found, by=event.source)
    if data.audience.learners:
        mail.forget_texts(connection, number, data.audience.learners, mailing)
    return None
