"""What `platform.announcement.requested` does."""

from msgspec import UNSET
from sqlalchemy import Connection

from config.settings import Settings
from tasks import mail, work
from tasks.announcements import store
from tasks.announcements.actors import launch
from tasks.events import Event, Held, Reason
from tasks.events.schemas import AnnouncementRequested, Audience
from tasks.learners import saved_segment
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
    if data.audience.segments is not UNSET:
        for segment in data.audience.segments:
            if saved_segment(connection, number, segment) is None:
                return Held(
                    Reason.UNKNOWN_SEGMENT, f"the segment {segment} is not known", f"segment:{number}:{segment}"
                )
    try:
        mail.check_template(data.subject, data.body, organisation.name)
    except mail.MergeError as problem:
        return Held(Reason.BAD_TEMPLATE, str(problem))
    mailing = store.create(
        connection,
        number,
        announcement=data.announcement,
        subject=data.subject,
        body=data.body,
        audience=audience_document(data.audience),
        policy="hold",
        send_at=data.send_at,
        time_zone=data.time_zone,
    )
    if mailing is None:
        return None
    if data.send_at is not None:
        mail.set_state(connection, number, mailing, "scheduled", expected="draft")
        work.add(connection, number, "tasks", "announcements.launch", mailing, scheduled_for=data.send_at)
        return None
    found = store.numbered(connection, number, mailing)
    assert found is not None  # noqa: S101 - created just now
    launch(connection, settings, organisation, found)
    return None
