"""What decides about announcements: what may be said, when it is to go, and that the counts add up."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from config.errors import Conflict
from config.phrases import LARGE_BODY, LONG_SUBJECT, NO_BODY, NO_SUBJECT, NO_ZONE, ONE_LINE, TIME_SKIPPED, TIME_TWICE
from tasks import mail

#: Characters of a subject, at most; a header's line holds no more (RFC 5322 2.1.1).
LONGEST_SUBJECT = 998

#: Bytes of a body as it is written, in UTF-8, at most: every recipient gets them twice, as text and as HTML.
LARGEST_BODY = 262_144

#: Characters of an id, at most, as the contract has it.
LONGEST_ID = 200

#: The learners that an announcement may name.
MOST_LEARNERS = 100_000

#: What ends a line, or is no text at all.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class NotAllowed(Conflict):
    """The announcement stands so that this cannot be done with it."""


class BadMessage(ValueError):
    """What is wrong with a subject or a body: of the `part` that is named, on a line of the body if one is to blame."""

    def __init__(self, says: str, part: str = "body", line: int | None = None) -> None:
        super().__init__(says)
        self.part, self.line = part, line


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake in the `subject` or the `body`, with the line of the body, counted from 1, if one is to blame."""

    part: str
    line: int | None
    says: str


#: Mistakes that are named at once.
MOST_FAULTS = 20


class BadSchedule(ValueError):
    """What is wrong with a time, or with its time zone, and what can be written in its place."""


def check_message(subject: str, body: str, organisation: str) -> None:
    """Refuse what no mail of the organisation with this name could say, or none should. Raises `BadMessage`."""
    if not subject.strip():
        raise BadMessage(NO_SUBJECT(), "subject")
    if _CONTROL.search(subject):
        raise BadMessage(ONE_LINE(), "subject")
    if len(subject) > LONGEST_SUBJECT:
        raise BadMessage(LONG_SUBJECT(characters=len(subject), most=LONGEST_SUBJECT), "subject")
    if not body.strip():
        raise BadMessage(NO_BODY())
    if "\0" in body:
        raise BadMessage("The body contains the character NUL, which no text may.")
    try:
        size = len(body.encode())
        subject.encode()
    except UnicodeEncodeError:
        raise BadMessage("The subject and the body must be text in UTF-8.") from None
    if size > LARGEST_BODY:
        raise BadMessage(LARGE_BODY(bytes=size, most=LARGEST_BODY))
    try:
        mail.check_template(subject, body, organisation)
    except mail.MergeError as problem:
        part = "subject" if isinstance(problem, mail.SubjectError) else "body"
        raise BadMessage(str(problem), part, problem.line) from None


def faults(subject: str, body: str, organisation: str) -> list[Fault]:
    """The mistakes in a message: all that are wrong with merge fields, or else the first of any other sort."""
    found = [Fault("subject", None, str(one)) for one in mail.merge_problems(subject, MOST_FAULTS, "Subject")]
    found += [Fault("body", one.line, str(one)) for one in mail.merge_problems(body, MOST_FAULTS)]
    if not found:
        try:
            check_message(subject, body, organisation)
        except BadMessage as problem:
            found = [Fault(problem.part, problem.line, str(problem))]
    return found[:MOST_FAULTS]


def zone_named(name: str) -> ZoneInfo:
    """The time zone with this IANA name. Raises `BadSchedule`."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadSchedule(NO_ZONE(zone=repr(name))) from None


def moment_of(send_at: datetime, time_zone: str) -> datetime:
    """A time as an instant (UTC): one with an offset as it is, one without on the clocks of the time zone.

    A time that those clocks skip, or show twice, is not guessed at. Raises `BadSchedule`.
    """
    zone = zone_named(time_zone)
    if send_at.tzinfo is not None:
        return send_at.astimezone(UTC)
    first, second = (send_at.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    before, after = first.utcoffset(), second.utcoffset()
    assert before is not None and after is not None  # noqa: S101, PT018 - a time zone has one for every time
    if before > after:
        raise BadSchedule(TIME_TWICE(clock=_clock(send_at), zone=time_zone, first=_clock(first), second=_clock(second)))
    if before < after:
        after_it = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
        raise BadSchedule(TIME_SKIPPED(clock=_clock(send_at), zone=time_zone, next=_clock(after_it)))
    return first.astimezone(UTC)


def _clock(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds" if moment.second else "minutes")


def local_time(moment: datetime, time_zone: str | None) -> str:
    """An instant as the clocks of a time zone show it: `2026-12-01 09:00 Europe/Amsterdam`."""
    name = time_zone or "UTC"
    return f"{moment.astimezone(zone_named(name)):%Y-%m-%d %H:%M} {name}"


@dataclass(frozen=True, slots=True)
class Progress:
    """The counts of an announcement: selected = accepted + skipped + failed + cancelled + uncertain + pending (R18)."""

    announcement: str
    state: str
    selected: int = 0
    accepted: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    cancelled: int = 0
    uncertain: int = 0
    pending: int = 0


def progress(announcement: str, state: str, tallies: Sequence["mail.Tally"]) -> Progress:
    """Add up how the deliveries stand."""
    counts: Counter[str] = Counter()
    skipped: dict[str, int] = {}
    for tally in tallies:
        counts[tally.state] += tally.n
        if tally.state == "skipped":
            skipped[tally.reason or "unknown"] = tally.n
    return Progress(
        announcement,
        state,
        counts.total(),
        counts["accepted"],
        skipped,
        counts["failed"],
        counts["cancelled"],
        counts["uncertain"],
        counts["pending"],
    )


def pace(history: Sequence["mail.MailingChange"], sent: int, now: datetime) -> float | None:
    """Mails a second, on average over the time in which the announcement was being sent; None if that is unknown."""
    seconds, until = 0.0, now
    for change in reversed(history):
        if change.after == "sending":
            seconds += (until - change.at).total_seconds()
        until = change.at
    return sent / seconds if sent and seconds > 0 else None
