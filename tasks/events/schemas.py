"""The events that come in, as types; and the one way from bytes to a typed event.

The types are the contract: unknown fields are ignored, wrong ones refused with a sentence a person understands.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from config import tracing
from config.phrases import NO_TIME

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, description="the platform's own id")]
Name: TypeAlias = Annotated[str, Meta(max_length=1000)]
Whole: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
Cycle: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
Bound: TypeAlias = Annotated[str, Meta(max_length=64, description="a date, or a time with its offset (RFC 3339)")]
Moment: TypeAlias = Annotated[datetime, Meta(tz=True, description="RFC 3339, with its offset")]
Status: TypeAlias = Literal["active", "inactive"]
Learners: TypeAlias = Annotated[list[Id], Meta(max_length=100_000)]


#: Times outside of these are mistakes; inside, arithmetic on them and their time zones is safe.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

#: Where a logo may be: the web, encrypted, written in the characters of a URL (RFC 3986), without a name or password.
LOGO = re.compile(r"https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]{1,5})?([/?][A-Za-z0-9._~:/?#@!$&'()*+,;=%-]*)?")
COLOUR = re.compile("#[0-9A-Fa-f]{6}")

#: A text that contains the character NUL: its escape, not itself escaped.
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def instant(bound: str | None, *, end: bool = False) -> datetime | None:
    """A licence's bound as an instant (UTC): a date begins at its midnight and, as an `end`, lasts the whole day."""
    if bound is None:
        return None
    try:
        if len(bound) == len("2026-01-01"):
            day = date.fromisoformat(bound)
            if end and day == date.max:
                return datetime.max.replace(tzinfo=UTC)
            return datetime.combine(day, time(), UTC) + timedelta(days=int(end))
        moment = datetime.fromisoformat(bound)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{bound!r} is neither a date nor a time") from None
    raise ValueError(f"the time {bound!r} has no offset")


def clock_time(said: str) -> datetime:
    """A time as people and forms write it (ISO 8601): seconds and the offset may be missing.

    Raises `ValueError` with a sentence.
    """
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        raise ValueError(NO_TIME(said=repr(said))) from None


class Reason(StrEnum):
    """Why an event was not taken."""

    MALFORMED = "malformed"
    UNKNOWN_ORGANISATION = "unknown organisation"
    UNKNOWN_LEARNER = "unknown learner"
    UNKNOWN_COURSE = "unknown course"
    UNKNOWN_SEGMENT = "unknown segment"
    NOT_ENROLLED = "not enrolled"
    LEARNER_INACTIVE = "learner inactive"
    BAD_TEMPLATE = "bad template"
    BAD_SCHEDULE = "bad schedule"
    INTERNAL_ERROR = "internal error"
    ITS_TURN = "its turn"


#: What a person is to do about each; `docs/states.md` has the same sentences.
WHAT_TO_DO: Mapping[Reason, str] = {
    Reason.MALFORMED: "have it corrected and sent again, its id is not used up; then discard this one",
    Reason.UNKNOWN_ORGANISATION: "nothing: it is taken by itself once the organisation is saved; discard it if none"
    " will be",
    Reason.UNKNOWN_LEARNER: "nothing: it is taken by itself once the learner is saved; discard it if none will be,"
    " unless it is a change of status",
    Reason.UNKNOWN_COURSE: "nothing: it is taken by itself once the course is saved; discard it if none will be",
    Reason.UNKNOWN_SEGMENT: "nothing: it is taken by itself once the segment is saved; discard it if none will be",
    Reason.NOT_ENROLLED: "nothing: it is taken by itself once the enrolment is there; release a start to take it"
    " without one, or discard it",
    Reason.LEARNER_INACTIVE: "release it if the start is to count and to be charged, otherwise discard it; it is judged"
    " again by itself when an earlier change of status arrives",
    Reason.BAD_TEMPLATE: "have the text corrected and sent under a new event id; then discard this one",
    Reason.BAD_SCHEDULE: "have the time corrected and sent under a new event id; then discard this one",
    Reason.INTERNAL_ERROR: "report it as a bug, with what the log says; release it once that is mended",
    Reason.ITS_TURN: "nothing: it is taken by itself, after what its organisation sent before it",
}


class OrganisationSaved(Struct, frozen=True):
    """An organisation is described: what it buys, and how its mail looks."""

    name: Name
    licence: Literal["seats", "credits"]
    pool: Whole | None = None
    licence_starts: Bound | None = None
    licence_ends: Bound | None = None
    admin_emails: Annotated[list[Annotated[str, Meta(max_length=320)]], Meta(max_length=100)] = []
    reactivation_digest: bool = False
    logo: Annotated[str, Meta(max_length=2000, description="an https URL")] | None = None
    colour: Annotated[str, Meta(max_length=7, description="#rrggbb")] | None = None

    def __post_init__(self) -> None:
        self.period()
        if self.logo is not None and not LOGO.fullmatch(self.logo):
            raise ValueError("the logo is not the address of a picture, https://…")
        if self.colour is not None and not COLOUR.fullmatch(self.colour):
            raise ValueError("the colour is not written as #rrggbb")

    def period(self) -> tuple[datetime | None, datetime | None]:
        """When the licence begins, and the first moment after it (UTC)."""
        return instant(self.licence_starts), instant(self.licence_ends, end=True)


class LearnerSaved(Struct, frozen=True):
    """A learner is described; without `status` that stays as it is, active at first."""

    learner: Id
    username: Name | None = None
    email: Annotated[str, Meta(max_length=320)] | None = None
    first_name: Name | None = None
    last_name: Name | None = None
    locale: Annotated[str, Meta(max_length=35)] | None = None
    time_zone: Annotated[str, Meta(max_length=64)] | None = None
    status: Status | None = None
    version: Whole | None = None


class StatusChanged(Struct, frozen=True):
    """A learner is made active or inactive."""

    learner: Id
    status: Status
    version: Whole | None = None


class LearnerDeleted(Struct, frozen=True):
    """A learner is deleted: personal data are erased, the ledger stays."""

    learner: Id


class SegmentSaved(Struct, frozen=True):
    """A segment is described."""

    segment: Id
    name: Name


class SegmentJoined(Struct, frozen=True):
    """Learners join a segment."""

    segment: Id
    learners: Learners


class SegmentLeft(Struct, frozen=True):
    """Learners leave a segment."""

    segment: Id
    learners: Learners


class CourseSaved(Struct, frozen=True):
    """A course is described; its method enrols whom it covers, those who come later too."""

    course: Id
    title: Name
    cost: Whole = 0
    on_hold: bool = False
    method: Literal["manual", "everyone", "segments"] = "manual"
    segments: Annotated[list[Id], Meta(max_length=10_000)] = []


class EnrolmentRequested(Struct, frozen=True):
    """An admin asks for learners, or a segment, to be enrolled; answered by `rollcall.enrolment.finished`."""

    request: Id
    course: Id
    cycle: Cycle = 1
    notify: bool = True
    learners: Learners | UnsetType = UNSET
    tab: Literal["active", "all"] | UnsetType = UNSET
    segment: Id | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.learners is UNSET) == (self.segment is UNSET):
            raise ValueError("either `learners` with `tab`, or `segment`, is needed")
        if self.learners is not UNSET and self.tab is UNSET:
            raise ValueError("`learners` needs a `tab`: active or all")


class EnrolmentWithdrawn(Struct, frozen=True):
    """An admin withdraws learners from a course, in one cycle or in all."""

    course: Id
    learners: Learners
    cycle: Cycle | None = None


class CourseStarted(Struct, frozen=True):
    """A learner starts a course; the first time, it costs a seat or credits."""

    learner: Id
    course: Id
    cycle: Cycle = 1


class CourseCompleted(Struct, frozen=True):
    """A learner completes a course."""

    learner: Id
    course: Id
    cycle: Cycle = 1
    result: Annotated[str, Meta(max_length=200)] | None = None
    score: float | None = None


class Audience(Struct, frozen=True):
    """Whom an announcement is for: exactly one of the three."""

    everyone: Literal[True] | UnsetType = UNSET
    segments: Annotated[list[Id], Meta(max_length=10_000)] | UnsetType = UNSET
    learners: Learners | UnsetType = UNSET

    def __post_init__(self) -> None:
        if sum(part is not UNSET for part in (self.everyone, self.segments, self.learners)) != 1:
            raise ValueError("the audience is exactly one of everyone, segments and learners")


class AnnouncementRequested(Struct, frozen=True):
    """An admin sends an announcement, now or at `send_at`; answered by `rollcall.announcement.finished`."""

    announcement: Id
    subject: Annotated[str, Meta(min_length=1, max_length=998)]
    body: Annotated[str, Meta(max_length=5_000_000)]
    audience: Audience
    send_at: (
        Annotated[str, Meta(max_length=64, description="ISO 8601, as 2026-12-01T09:00; without offset, in `time_zone`")]
        | None
    ) = None
    time_zone: Annotated[str, Meta(max_length=64, description="an IANA name; UTC unless given")] | None = None

    def __post_init__(self) -> None:
        try:
            at = self.at()
        except ValueError as problem:
            raise ValueError(f"`send_at`: {problem}") from None
        if at is not None and not EARLIEST <= (at if at.tzinfo else at.replace(tzinfo=UTC)) <= LATEST:
            raise ValueError("`send_at` lies before 1970 or after 9998")

    def at(self) -> datetime | None:
        """When it is to go; without an offset, on the clocks of `time_zone`."""
        return None if self.send_at is None else clock_time(self.send_at)


Data: TypeAlias = (
    OrganisationSaved
    | LearnerSaved
    | StatusChanged
    | LearnerDeleted
    | SegmentSaved
    | SegmentJoined
    | SegmentLeft
    | CourseSaved
    | EnrolmentRequested
    | EnrolmentWithdrawn
    | CourseStarted
    | CourseCompleted
    | AnnouncementRequested
)

#: The contract's name of each type of event in.
TYPES: dict[str, type[Data]] = {
    "platform.organisation.saved": OrganisationSaved,
    "platform.learner.saved": LearnerSaved,
    "platform.learner.status_changed": StatusChanged,
    "platform.learner.deleted": LearnerDeleted,
    "platform.segment.saved": SegmentSaved,
    "platform.segment.joined": SegmentJoined,
    "platform.segment.left": SegmentLeft,
    "platform.course.saved": CourseSaved,
    "platform.enrolment.requested": EnrolmentRequested,
    "platform.enrolment.withdrawn": EnrolmentWithdrawn,
    "platform.course.started": CourseStarted,
    "platform.course.completed": CourseCompleted,
    "platform.announcement.requested": AnnouncementRequested,
}


class CloudEventEnvelope(Struct, frozen=True):
    """What CloudEvents 1.0 asks of every event, and the extension that says whose it is."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1, max_length=200)]
    source: Annotated[str, Meta(min_length=1, max_length=400)]
    type: Annotated[str, Meta(min_length=1, max_length=200)]
    time: Moment
    organisation: Id
    data: msgspec.Raw
    traceparent: Annotated[Any, Meta(description="W3C Trace Context: carried on to the events out; else ignored")] = (
        None
    )


class Cause(Protocol):
    """What makes something happen: an event, or what a person does."""

    @property
    def key(self) -> tuple[str, str]:
        """Its source and its id."""

    @property
    def time(self) -> datetime:
        """When it happened."""

    @property
    def traceparent(self) -> str | None:
        """The trace that it belongs to."""


@dataclass(frozen=True, slots=True)
class KnownCause:
    """A cause of which no more is known."""

    key: tuple[str, str]
    time: datetime
    traceparent: str | None = None


#: The organisation, the source and the id of an event.
Identity = tuple[str, str, str]


class Event(Struct, frozen=True):
    """One event, understood. A struct, as one is made for each of thousands a second."""

    id: str
    source: str
    type: str
    time: datetime
    organisation: str
    data: Data
    body: bytes
    traceparent: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What identifies it in its organisation: its source and its id."""
        return self.source, self.id

    @property
    def identity(self) -> Identity:
        """What identifies it among those of all organisations, of which two may call theirs the same (R31)."""
        return self.organisation, self.source, self.id


@dataclass(frozen=True, slots=True)
class Malformed:
    """One entry that is not an event: what could be read of it, and what is wrong with it."""

    id: str
    source: str
    type: str | None
    organisation: str | None
    detail: str
    body: bytes


_envelope = msgspec.json.Decoder(CloudEventEnvelope)
_data = {name: msgspec.json.Decoder(kind) for name, kind in TYPES.items()}


def decode(body: bytes, *, now: datetime, skew: timedelta) -> Event | Malformed:
    """Read one event; what is wrong is answered, never raised."""
    try:
        envelope = _envelope.decode(body)
        if objection := _objection(envelope, body, now + skew):
            return read_malformed(body, objection)
        data = _data[envelope.type].decode(envelope.data)
    except msgspec.ValidationError as problem:
        return read_malformed(body, str(problem))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        return read_malformed(body, f"not JSON: {problem}")
    except Exception as problem:  # noqa: BLE001 - whatever it was, those behind it go on
        return read_malformed(body, f"it cannot be read: {type(problem).__name__}")
    return Event(
        envelope.id,
        envelope.source,
        envelope.type,
        envelope.time.astimezone(UTC),
        envelope.organisation,
        data,
        body,
        tracing.read(envelope.traceparent),
    )


def read_stored(body: bytes) -> Event | Malformed:
    """Read an event that was taken as one before."""
    return decode(body, now=datetime.max.replace(tzinfo=UTC), skew=timedelta())


def _objection(envelope: CloudEventEnvelope, body: bytes, latest: datetime) -> str | None:
    """What is wrong with an event whatever its data are, or None."""
    if envelope.type not in _data:
        return f"the type {envelope.type} is not known"
    if envelope.time > latest:
        return f"its time {envelope.time.isoformat()} is in the future"
    if envelope.time < EARLIEST:
        return f"its time {envelope.time.isoformat()} is before 1970"
    has_nul = rb"\u0000" in body and NUL.search(body)  # the first takes a tenth of the second's time
    return "a text contains the character NUL" if has_nul else None


class _Names(Struct):
    """What may name a broken event; all else in it is passed over, however much it is."""

    id: msgspec.Raw = msgspec.Raw()
    source: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()
    organisation: msgspec.Raw = msgspec.Raw()


_names = msgspec.json.Decoder(_Names)
_text = msgspec.json.Decoder(str)


def read_malformed(body: bytes, detail: str) -> Malformed:
    """Name what can be named of a broken event, so that a person can find its sender."""
    try:
        found = _names.decode(body)
    except Exception:  # noqa: BLE001 - what cannot be read has no names
        found = _Names()

    def named(field: msgspec.Raw) -> str | None:
        try:
            return _text.decode(field)[:400].replace("\0", "")
        except Exception:  # noqa: BLE001 - nor here
            return None

    id_, source = named(found.id) or "", named(found.source) or ""
    return Malformed(id_, source, named(found.type), named(found.organisation), detail.replace("\0", ""), body)
