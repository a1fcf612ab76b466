"""What decides about mail: the states of a delivery and a mailing, and what a server's answer means."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from tasks.mail.answers import ABOUT_US, About
from tasks.work import pause_before


class Kind(StrEnum):
    """What a mailing is about; the KIND of its Feedback-ID."""

    ANNOUNCEMENT = "announcement"
    ENROLMENT = "enrolment"
    DIGEST = "digest"
    PASSWORD = "password"  # noqa: S105 - a kind of mail
    SEATS = "seats"


class Delivery(StrEnum):
    """How one recipient of one mailing stands (R18)."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNCERTAIN = "uncertain"


class Verdict(StrEnum):
    """What the gate says of one recipient, now (R15, S9). All but `send` and `paused` settle the delivery."""

    SEND = "send"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    INACTIVE = "inactive"
    UNKNOWN = "unknown"
    NO_ADDRESS = "no address"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"
    NOTHING_TO_TELL = "nothing to tell"


class Answer(StrEnum):
    """What became of one attempt."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    REFUSED_US = "refused us"
    DEFERRED = "deferred"
    THROTTLED = "throttled"
    UNREACHABLE = "unreachable"
    AMBIGUOUS = "ambiguous"
    WORKER_LOST = "worker lost"
    IMPOSSIBLE = "impossible address"
    TOO_LARGE = "too large"


#: Replies that ask for patience: they slow the sender down and use up no attempt (R21).
THROTTLING = frozenset({421, 450, 451, 452, 454})


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)  # frozen ones take four times as long to make, and one is made for each mail
class Attempt:
    """One attempt of one message, and what the server said to it."""

    recipient: int
    answer: Answer
    at: datetime = field(default_factory=_now)
    code: int | None = None
    reply: str | None = None
    on_recipient: bool = False
    about: About | None = None


@dataclass(slots=True)
class Outcome:
    """What an attempt, or the gate, leaves in the ledger."""

    recipient: int
    state: Delivery
    at: datetime
    reason: str | None = None
    code: int | None = None
    reply: str | None = None
    tried: bool = True
    due_at: datetime | None = None
    suppress: bool = False
    address: str | None = None


def answer_to(code: int, about: About) -> Answer:
    """What a reply that is not acceptance means for the message (RFC 5321 4.2.1, R21): to be patient, to try again, or
    that it is refused."""
    if code >= 500:
        patience = {About.RATE: Answer.THROTTLED, About.GREYLISTED: Answer.DEFERRED}
        return patience.get(about, Answer.REFUSED)
    patient = code in THROTTLING or about in ABOUT_US or about is About.GREYLISTED
    return Answer.THROTTLED if patient else Answer.DEFERRED


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a mail is tried, `most`, also where it is uncertain whether it went, or a server that hangs up would
    get it for ever; how long its recipient is left in peace first; how long a server is, that asks for patience."""

    most: int
    pause: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True)
class Before:
    """What became of a mail before: attempts that counted, how often it was put off besides, and since when."""

    tried: int = 0
    put_off: int = 0
    since: datetime | None = None


#: What became of a mail that nobody has tried.
FIRST = Before()


def outcome_of(attempt: Attempt, before: Before, patience: Patience, *, policy: str) -> Outcome:  # noqa: PLR0911
    """What to write down for an attempt (R18, R19, R21)."""
    if attempt.answer is Answer.ACCEPTED:
        return Outcome(attempt.recipient, Delivery.ACCEPTED, attempt.at, None, attempt.code, attempt.reply)
    said = Outcome(attempt.recipient, Delivery.PENDING, attempt.at, attempt.answer.value, attempt.code, attempt.reply)
    match attempt.answer:
        case Answer.REFUSED | Answer.IMPOSSIBLE | Answer.TOO_LARGE:
            return replace(said, state=Delivery.FAILED, suppress=attempt.about is About.MAILBOX)
        case Answer.THROTTLED | Answer.UNREACHABLE:
            if before.since is not None and attempt.at - before.since > patience.longest:
                return replace(said, state=Delivery.FAILED, tried=False)
            return replace(said, tried=False, due_at=attempt.at + pause_before(before.put_off, patience.pause))
        case Answer.DEFERRED if before.tried + 1 >= patience.most:
            return replace(said, state=Delivery.FAILED)
        case Answer.DEFERRED:
            return replace(said, due_at=attempt.at + pause_before(before.tried, patience.pause))
        case Answer.AMBIGUOUS | Answer.WORKER_LOST if policy == "resend" and before.tried + 1 < patience.most:
            return replace(said, due_at=attempt.at + pause_before(before.tried, patience.pause))
        case Answer.AMBIGUOUS | Answer.WORKER_LOST:
            return replace(said, state=Delivery.UNCERTAIN)


def skipped(recipient: int, verdict: Verdict) -> Outcome:
    """What the gate's refusal leaves in the ledger."""
    state = Delivery.CANCELLED if verdict is Verdict.CANCELLED else Delivery.SKIPPED
    return Outcome(recipient, state, _now(), verdict.value, tried=False)


#: Who makes the moves that nobody asks for.
SYSTEM = "rollcall"

#: What may become of a mailing, and by which move: the one table of allowed moves.
MOVES: dict[str, dict[str, str]] = {
    "edit": {"draft": "draft"},
    "schedule": {"draft": "scheduled"},
    "unschedule": {"scheduled": "draft", "late": "draft"},
    "pass over": {"scheduled": "late"},
    "launch": {"draft": "sending", "scheduled": "sending", "late": "sending"},
    "pause": {"sending": "paused"},
    "resume": {"paused": "sending"},
    "cancel": dict.fromkeys(("draft", "scheduled", "late", "sending", "paused"), "cancelled"),
    "finish": {"sending": "finished"},
    "finish with failures": {"sending": "finished with failures"},
    "retry": {"finished": "sending", "finished with failures": "sending"},
}
