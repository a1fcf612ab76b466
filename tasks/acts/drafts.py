"""Announcements before they are launched: drafts that are made, changed and deleted."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Connection

from config import clock
from config.errors import BadField, Conflict, Invalid
from config.phrases import MANY_NAMED, NO_LEARNER, NO_SEGMENT, PASSED
from config.words import some_of
from tasks import announcements, learners, mail
from tasks.acts.acting import Doing, act
from tasks.acts.announcements import AnnouncementState, Version, WholeAnnouncement, found_by, to_change, whole
from tasks.announcements import NotAllowed
from tasks.events import Audience, clock_time
from tasks.organisations import Organisation

Time = Annotated[str, Meta(max_length=64, description="ISO 8601, as 2026-12-01T09:00; without offset, in `time_zone`")]
Zone = Annotated[str, Meta(max_length=64, description="an IANA name; UTC unless given")]


class Policy(StrEnum):
    """What becomes of a mail of which it is uncertain whether it went (R19)."""

    HOLD = "hold"
    RESEND = "resend"


@dataclass(frozen=True, slots=True)
class NewDraft:
    """What an announcement says, to whom, and when it is to go once it is launched. Without an id, one is made up."""

    subject: str
    body: str
    audience: Audience
    announcement: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    send_at: Time | None = None
    time_zone: Zone | None = None
    policy: Policy = Policy.HOLD


@dataclass(frozen=True, slots=True)
class DraftChange:
    """Which draft, as it was shown, and what is to be otherwise; `send_at`: null to send it when it is launched."""

    announcement: str
    subject: str | UnsetType = UNSET
    body: str | UnsetType = UNSET
    audience: Audience | UnsetType = UNSET
    send_at: Time | UnsetType | None = UNSET
    time_zone: Zone | UnsetType | None = UNSET
    policy: Policy | UnsetType = UNSET
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class DraftDeletion:
    """Which draft, as it was shown."""

    announcement: str
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class DeletedDraft:
    """A draft that is no more."""

    announcement: str


@act("announcements.create", "POST announcements", status=201)
def create(doing: Doing, asked: NewDraft) -> AnnouncementState:
    """Keep a draft. Nothing is sent before it is launched."""
    org = doing.organisation
    id_ = asked.announcement if asked.announcement is not None else str(uuid.uuid4())
    if not 0 < len(id_) <= announcements.LONGEST_ID:
        raise _invalid("/announcement", f"An id has 1 to {announcements.LONGEST_ID} characters.")
    at = _moment(asked.send_at, asked.time_zone)
    draft = mail.Draft(
        id_, asked.subject, asked.body, _stored(asked.audience), asked.policy.value, at, asked.time_zone if at else None
    )
    with doing.transaction() as connection:
        _check(connection, org, draft)
        if mail.create_draft(connection, org.organisation, draft, by=doing.caller.who) is None:
            raise Conflict(f"There is an announcement {id_!r} already.")
        doing.record(connection, id_, after={"state": "draft", "send_at": at, "policy": asked.policy})
    return AnnouncementState(id_, "draft")


@act("announcements.edit", "PATCH announcements/{announcement}", conditional=True)
def edit(doing: Doing, asked: DraftChange) -> WholeAnnouncement:
    """Change a draft; what is not named stays. What is scheduled is made a draft again by `unschedule`."""
    org, by = doing.organisation, doing.caller.who
    if asked.send_at is UNSET and asked.time_zone is not UNSET:
        raise _invalid("/time_zone", "A time zone goes with a time.")
    zone = asked.time_zone or None
    at = None if asked.send_at is UNSET else _moment(asked.send_at, zone)
    with doing.transaction() as connection:
        found = to_change(connection, org, asked.announcement, asked.version)
        doing.check_unchanged(whole(connection, doing, found))
        state = announcements.move(connection, org.organisation, found, "edit", by=by)
        before = mail.Draft(
            found.announcement,
            found.subject,
            found.body,
            found.audience,
            found.policy,
            found.send_at,
            found.time_zone,
        )
        draft = replace(
            before,
            subject=_or(asked.subject, found.subject),
            body=_or(asked.body, found.body),
            audience=found.audience if asked.audience is UNSET else _stored(asked.audience),
            policy=_or(asked.policy, found.policy),
        )
        if asked.send_at is not UNSET:
            draft = replace(draft, send_at=at, time_zone=zone)
        _check(connection, org, draft)
        mail.rewrite_draft(connection, org.organisation, found.mailing, draft)
        changed = [name for name in mail.Draft.__match_args__ if getattr(draft, name) != getattr(before, name)]
        doing.record(
            connection,
            found.announcement,
            before={"state": found.state, "send_at": found.send_at},
            after={"state": state, "send_at": draft.send_at, "changed": changed},
        )
        return whole(connection, doing, found_by(connection, org, found.announcement))


@act("announcements.delete", "DELETE announcements/{announcement}", conditional=True)
def delete(doing: Doing, asked: DraftDeletion) -> DeletedDraft:
    """Delete a draft, as if it had never been. What an event asked for is cancelled instead: were it asked for again,
    it would be sent (S16)."""
    org = doing.organisation
    with doing.transaction() as connection:
        found = to_change(connection, org, asked.announcement, asked.version)
        doing.check_unchanged(whole(connection, doing, found))
        if found.state != "draft":
            raise NotAllowed(f"the announcement {found.announcement} is {found.state}; only a draft can be deleted")
        if announcements.is_from_event(connection, org.organisation, found.mailing):
            raise NotAllowed(
                f"an event asked for the announcement {found.announcement}, and could ask again: cancel it instead"
            )
        mail.delete_draft(connection, org.organisation, found.mailing)
        doing.record(connection, found.announcement, before={"state": found.state})
    return DeletedDraft(found.announcement)


def _or(said: Any, before: str) -> str:
    return before if said is UNSET else str(said)


def _stored(audience: Audience) -> dict[str, object]:
    """An audience as it is stored, nobody named twice."""
    parts = msgspec.to_builtins(audience)
    return {name: list(dict.fromkeys(part)) if isinstance(part, list) else part for name, part in parts.items()}


def _moment(send_at: str | None, time_zone: str | None) -> datetime | None:
    """When to send an announcement, as an instant that lies ahead."""
    zone = time_zone or "UTC"
    try:
        announcements.zone_named(zone)
    except announcements.BadSchedule as problem:
        raise _invalid("/time_zone", str(problem)) from None
    if send_at is None:
        return None
    try:
        found = announcements.moment_of(clock_time(send_at), zone)
    except (ValueError, OverflowError) as problem:
        raise _invalid("/send_at", str(problem)) from None
    if found <= clock.now():
        when = announcements.local_time(found, time_zone)
        raise _invalid("/send_at", PASSED(when=when))
    return found


def _check(connection: Connection, org: Organisation, draft: mail.Draft) -> None:
    """Refuse a draft with a mistake in it: in its words, or in whom it is for."""
    try:
        announcements.check_message(draft.subject, draft.body, org.name)
    except announcements.BadMessage as problem:
        raise _invalid(f"/{problem.part}", str(problem)) from None
    segments, named = draft.audience.get("segments", []), draft.audience.get("learners", [])
    assert isinstance(segments, list) and isinstance(named, list)  # noqa: S101, PT018 - as `Audience` has them
    saved = learners.saved_segments(connection, org.organisation, segments)
    for segment in segments:
        if segment not in saved:
            raise _invalid("/audience/segments", NO_SEGMENT(segment=repr(segment), organisation=repr(org.id)))
    if len(named) > announcements.MOST_LEARNERS:
        most = announcements.MOST_LEARNERS
        raise _invalid("/audience/learners", MANY_NAMED(named=len(named), most=most))
    unknown = announcements.unknown_learners(connection, org.organisation, named)
    if unknown:
        raise _invalid("/audience/learners", NO_LEARNER(learner=some_of(unknown), organisation=repr(org.id)))


def _invalid(pointer: str, problem: str) -> Invalid:
    return Invalid(problem, [BadField(pointer, problem)])
