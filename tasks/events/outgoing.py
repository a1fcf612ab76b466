"""The events that go out, as types: what Rollcall tells the platform, billing, and whoever else reads `rollcall:out`.

Written in the transaction that makes them true. Fields may be added; none goes away or changes its meaning.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from tasks.events.schemas import Id, Reason

#: Most learners named in one event; what is about more is told in several.
MOST_IDS = 5000

Learner: TypeAlias = Annotated[Id, Meta(description="the learner, by the platform's id")]
Course: TypeAlias = Annotated[Id, Meta(description="the course, by the platform's id")]
Cycle: TypeAlias = Annotated[int, Meta(ge=1, description="1, or that of a refresher")]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Some: TypeAlias = Annotated[list[Id], Meta(max_length=MOST_IDS)]
Reasons: TypeAlias = Annotated[
    dict[str, Count], Meta(description="how many, by reason; those without any are left out")
]


class EnrolmentFinished(Struct, frozen=True, kw_only=True):
    """A request is done: selected = enrolled + silent + already + not_eligible."""

    request: Annotated[Id, Meta(description="the request, by the platform's id")]
    course: Course
    selected: Annotated[Count, Meta(description="learners who were asked for")]
    enrolled: Annotated[Count, Meta(description="newly, with access")]
    silent: Annotated[Count, Meta(description="newly, without notice or access until they are active")]
    already: Annotated[Count, Meta(description="enrolled before; nothing changed")]
    not_eligible: Reasons


class EnrolmentChanged(Struct, frozen=True, kw_only=True):
    """Learners were enrolled in a course, or withdrawn from it; at most 5,000 of them, the others in further events."""

    course: Course
    cycle: Cycle
    cause: Annotated[
        Literal["request", "rule", "withdrawal"],
        Meta(description="a request, a rule of the course, or a withdrawal by name"),
    ]
    enrolled: Annotated[Some, Meta(description="learners who have access from now on")]
    silent: Annotated[Some, Meta(description="learners who are enrolled, and have access once they are active")]
    withdrawn: Annotated[Some, Meta(description="learners who are not enrolled any more")]


class AccessActivated(Struct, frozen=True, kw_only=True):
    """A learner is active again."""

    learner: Learner
    courses: Annotated[list[Id], Meta(description="every course the learner has access to from now on, sorted")]


class AccessSuspended(Struct, frozen=True, kw_only=True):
    """A learner is inactive, or was deleted: no access to the account, to any course or certificate."""

    learner: Learner


class PasswordVoid(Struct, frozen=True, kw_only=True):
    """A learner who signs in by username is active again: every earlier password is void, the username stays."""

    learner: Learner
    username: Annotated[str | None, Meta(description="the username, which is kept")]


class SeatConsumed(Struct, frozen=True, kw_only=True):
    """A course was started, and what it costs is in the ledger. Nothing is ever given back."""

    consumption: Annotated[
        str, Meta(description="the entry of the ledger; the same however often the start is received")
    ]
    learner: Learner
    course: Course
    cycle: Cycle
    unit: Annotated[Literal["seat", "credit"], Meta(description="what the organisation buys")]
    amount: Annotated[Count, Meta(description="how many of that unit")]
    occurred_at: Annotated[datetime, Meta(tz=True, description="when the course was started")]
    overdrawn: Annotated[bool, Meta(description="whether it went past the organisation's pool")]


class _AnnouncementEnded(Struct, frozen=True, kw_only=True):
    announcement: Annotated[Id, Meta(description="the announcement, by its id")]
    selected: Annotated[Count, Meta(description="recipients")]
    accepted: Annotated[Count, Meta(description="mails that the mail server took")]
    skipped: Reasons
    failed: Annotated[Count, Meta(description="recipients who can be tried again by `retry-failed`")]
    cancelled: Annotated[Count, Meta(description="recipients nothing was sent to any more")]
    uncertain: Annotated[Count, Meta(description="recipients of whom nobody knows whether the server took their mail")]
    pending: Annotated[Count, Meta(description="recipients still to be sent to: none")]


class AnnouncementFinished(_AnnouncementEnded, frozen=True, kw_only=True):
    """An announcement is finished: selected = accepted + skipped + failed + cancelled + uncertain. Said again after
    each retry."""

    state: Literal["finished", "finished with failures"]


class AnnouncementCancelled(_AnnouncementEnded, frozen=True, kw_only=True):
    """An announcement was cancelled, and nothing of it is under way any more; the counts add up as in `finished`."""

    state: Literal["cancelled"]


class PoolReached(Struct, frozen=True, kw_only=True):
    """Most (80 %), or all, of what an organisation bought is used; said once of each pool of a licence period."""

    unit: Annotated[Literal["seat", "credit"], Meta(description="what the organisation buys")]
    percent: Annotated[Literal[80, 100], Meta(description="how much of the pool, at least")]
    used: Annotated[Count, Meta(description="how many, with the start that reached it")]
    pool: Annotated[Count, Meta(description="how many were bought")]
    licence_starts: Annotated[datetime, Meta(tz=True, description="when the licence period begins")] | None
    licence_ends: Annotated[datetime, Meta(tz=True, description="the first moment after it")] | None


class WebhookDisabled(Struct, frozen=True, kw_only=True):
    """A webhook gets no more events until somebody enables it."""

    webhook: Annotated[str, Meta(description="the webhook, by its id")]
    reason: Annotated[Literal["gone", "failing", "killed"], Meta(description="why")]
    failing_since: Annotated[datetime, Meta(tz=True, description="of the tries in a row that failed, the first")] | None
    failures: Annotated[Count, Meta(description="how many tries in a row have failed")]
    problem: Annotated[str | None, Meta(description="what was wrong with the last one")]
    status: Annotated[int | None, Meta(description="its answer, where there was one")]


class EventQuarantined(Struct, frozen=True, kw_only=True):
    """An event in could not be taken, and waits for a person; some are taken by themselves later."""

    event: Annotated[str, Meta(description="its id, empty where none could be read")]
    source: Annotated[str, Meta(description="its source, empty where none could be read")]
    type: Annotated[str | None, Meta(description="its type, null where none could be read")]
    reason: Reason


OutgoingEvent: TypeAlias = (
    EnrolmentFinished
    | EnrolmentChanged
    | AccessActivated
    | AccessSuspended
    | PasswordVoid
    | SeatConsumed
    | AnnouncementFinished
    | AnnouncementCancelled
    | EventQuarantined
    | PoolReached
    | WebhookDisabled
)

#: The contract's name of each type of event out.
TYPES_OUT: dict[str, type[OutgoingEvent]] = {
    "rollcall.access.activated": AccessActivated,
    "rollcall.access.suspended": AccessSuspended,
    "rollcall.announcement.cancelled": AnnouncementCancelled,
    "rollcall.announcement.finished": AnnouncementFinished,
    "rollcall.enrolment.changed": EnrolmentChanged,
    "rollcall.enrolment.finished": EnrolmentFinished,
    "rollcall.event.quarantined": EventQuarantined,
    "rollcall.learner.password_void": PasswordVoid,
    "rollcall.pool.reached": PoolReached,
    "rollcall.seat.consumed": SeatConsumed,
    "rollcall.webhook.disabled": WebhookDisabled,
}


class Document(Struct, frozen=True, kw_only=True):
    """An event out as it is published: CloudEvents 1.0, with the extension that says whose it is."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(description="the event's own id; the same whenever it is published again")]
    source: Literal["rollcall"]
    type: str
    time: Annotated[datetime, Meta(tz=True, description="when it was written, in the transaction that made it true")]
    organisation: Annotated[str, Meta(description="whose it is, by the platform's id")]
    replayed: Annotated[Literal[True] | UnsetType, Meta(description="published once more, by hand")] = UNSET
    traceparent: Annotated[str | UnsetType, Meta(description="that of the event that caused it, if any")] = UNSET
    datacontenttype: Literal["application/json"]
    data: Any
