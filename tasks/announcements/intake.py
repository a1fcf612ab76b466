"""What `platform.announcement.requested` does."""

from msgspec import UNSET
from sqlalchemy import Connection

from config.settings import Settings
from tasks.announcements import store
from tasks.announcements.actors import launch, schedule
from tasks.announcements.rules import BadMessage, BadSchedule, check_message, moment_of, zone_named
from tasks.events import Event, Held, Reason
from tasks.events.schemas import AnnouncementRequested, Audience
from tasks.learners import saved_segments
from tasks.organisations import Organisation


def audience_document(audience: Audience) -> dict[str, object]:
    """An audience as it is kept."""
    return {
        name: part for name in ("everyone", "segments", "learners") if (part := getattr(audience, name)) is not UNSET
    }


def requested(connection: Connection, settings: Settings, organisation: Organisation, event: Event) -> Held | None:
    """Launch an announcement at once, or at `send_at` (S9); one whose id was used already is the same one (S16)."""
    data = event.data
    assert isinstance(data, AnnouncementRequested)  # noqa: S101 - the intake's table says so
    number = organisation.organisation
    try:
        check_message(data.subject, data.body, organisation.name)
        zone_named(data.time_zone or "UTC")
        send_at = None if (at := data.at()) is None else moment_of(at, data.time_zone or "UTC")
    except BadMessage as problem:
        return Held(Reason.BAD_TEMPLATE, str(problem))
    except BadSchedule as problem:
        return Held(Reason.BAD_SCHEDULE, str(problem))
    if data.audience.segments is not UNSET:
        saved = saved_segments(connection, number, data.audience.segments)
        for segment in data.audience.segments:
            if segment not in saved:
                return Held(
                    Reason.UNKNOWN_SEGMENT, f"the segment {segment} is not known", f"segment:{number}:{segment}"
                )
    draft = store.Draft(
        data.announcement,
        data.subject,
        data.body,
        audience_document(data.audience),
        send_at=send_at,
        time_zone=data.time_zone or None,
    )
    mailing = store.create(connection, number, draft, by=event.source)
    if mailing is None:
        return None
    found = store.numbered(connection, number, mailing)
    assert found is not None  # noqa: S101 - created just now
    if send_at is None:
        launch(connection, settings, organisation, found, by=event.source)
    else:
        schedule(connection, organisation, found, by=event.source)
    return None
