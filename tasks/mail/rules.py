"""What decides about mail: the states of a delivery and a mailing, and what a server's answer means."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from config import clock
from tasks.mail.sending import ABOUT_US, MEETS_EVERYBODY, About, Stage, about
from tasks.work import LONGEST_PAUSE, pause_before


class Kind(StrEnum):
    """What a mailing is about; the KIND of its Feedback-ID."""

    ANNOUNCEMENT = "announcement"
    ENROLMENT = "enrolment"
    DIGEST = "digest"
    PASSWORD = "password"  # noqa: S105 - a kind of mail
    SEATS = "seats"


class RecipientKind(StrEnum):
    """Who a recipient is: a learner of the organisation, one of its admins, or nobody, who gets a test."""

    LEARNER = "learner"
    ADMIN = "admin"
    NOBODY = "nobody"


#: The recipient of a test, and of an attempt that began no mail: what is said of it touches nobody.
NOBODY = 0


def kind_of(recipient: int) -> RecipientKind:
    """Whom a recipient's number stands for: a learner has their own, the admins of a notice are counted down from -1,
    as PostgreSQL's `is_admin` has it."""
    if recipient == NOBODY:
        return RecipientKind.NOBODY
    return RecipientKind.LEARNER if recipient > NOBODY else RecipientKind.ADMIN


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


class MailResult(StrEnum):
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


#: The longest pause of a mail that met an outage: so soon it goes once that is over.
LONGEST_OUT = timedelta(seconds=60)


def _now() -> datetime:
    return clock.now()


@dataclass(slots=True)  # frozen ones take four times as long to make, and one is made for each mail
class MailAttempt:
    """One attempt of one message, and what the server said to it."""

    recipient: int
    answer: MailResult
    at: datetime = field(default_factory=_now)
    code: int | None = None
    reply: str | None = None
    on_recipient: bool = False
    about: About | None = None
    stage: Stage | None = None


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


def answer_to(code: int, what: About) -> MailResult:
    """What a reply that is not acceptance means for the message (RFC 5321 4.2.1, R21): to be patient, to try again, or
    that it is refused."""
    if code >= 500:
        patience = {
            About.RATE: MailResult.THROTTLED,
            About.CONNECTIONS: MailResult.THROTTLED,
            About.GREYLISTED: MailResult.DEFERRED,
        }
        return patience.get(what, MailResult.REFUSED)
    patient = code in THROTTLING or what in ABOUT_US or what is About.GREYLISTED
    return MailResult.THROTTLED if patient else MailResult.DEFERRED


def refusal(recipient: int, code: int, reply: str, stage: Stage) -> MailAttempt:
    """What was said against a mail, and what that is about and means."""
    what = about(code, reply, stage=stage)
    trouble = stage is Stage.MAIL and code < 500  # the server's own: no recipient was named
    return MailAttempt(
        recipient,
        MailResult.THROTTLED if trouble else answer_to(code, what),
        code=code,
        reply=reply,
        on_recipient=stage is Stage.RCPT,
        about=what,
        stage=stage,
    )


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`most`: how often a mail is tried, also if it is uncertain whether it went, or a server that always hangs up gets
    it for ever. `pause`: how long to wait at first before it is tried again. `longest`: for how long it is tried if the
    server asks for patience or cannot be reached, which counts as no attempt."""

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


def _would_meet_everybody(attempt: MailAttempt) -> bool:
    """Whether what was said is about us, and not about one mail or one mailing, which stop no other (R31)."""
    match attempt.answer:
        case MailResult.REFUSED:
            about_contents = attempt.stage is Stage.END and attempt.about is About.POLICY
            return attempt.about in MEETS_EVERYBODY and not about_contents
        case MailResult.THROTTLED:  # our quota is used up, or we are to sign in: patience alone mends neither
            for_good = (attempt.code or 0) >= 500
            return attempt.about is About.SIGN_IN or (attempt.about is About.RATE and for_good)
        case _:
            return False


#: How long a domain is waited for that alone refuses us, while the server takes the mail of others.
LONGEST_ALONE = timedelta(hours=1)

#: What an acceptance of any domain's mail is remembered under.
ANYWHERE = ""


def hold_back(
    attempts: Sequence[tuple[str, MailAttempt]], before: Mapping[int, Before], taken: Mapping[str, datetime]
) -> None:
    """Find the refusals that would meet everybody, and make them what uses up no attempt (R21).

    `attempts`, each with its domain, are in the order of their answers; `taken` says when the server last took a mail,
    by domain. A refusal is about one mail after all if the server took others of its domain after that, or since it
    refused this one first; or mail of other domains alone, for longer than a domain is waited for.
    """
    last = {domain: place for place, (domain, one) in enumerate(attempts) if one.answer is MailResult.ACCEPTED}
    for place, (domain, attempt) in enumerate(attempts):
        if not _would_meet_everybody(attempt) or place < last.get(domain, -1):
            continue
        since = before.get(attempt.recipient, FIRST).since or attempt.at
        same = taken.get(domain, since) > since
        others = taken.get(ANYWHERE, since) > since and attempt.at - since > LONGEST_ALONE
        if not same and not others:
            attempt.answer = MailResult.REFUSED_US


#: Answers of one mailing, accepted or refused for good, that are looked at together; how many are a sample; the part
#: of them that is nearly everybody.
LAST_ANSWERS = 100
SAMPLE = 20
NEARLY_ALL = 0.9


def refused_by_nearly_all(refused: Collection[bool]) -> bool:
    """Whether nearly everybody's server refuses a mailing, by its last answers: then it is to be looked at first."""
    return len(refused) >= SAMPLE and sum(refused) >= NEARLY_ALL * len(refused)


def deferred_by_pause(outcome: Outcome) -> Outcome:
    """What is left of a refusal that paused its mailing: it is tried again once a person has looked. A mailbox that is
    not there stays so."""
    if outcome.state is not Delivery.FAILED or outcome.suppress:
        return outcome
    return replace(outcome, state=Delivery.PENDING, tried=False, due_at=outcome.at)


def outcome_of(attempt: MailAttempt, before: Before, patience: RetryPolicy, *, policy: str) -> Outcome:  # noqa: PLR0911
    """What to write down for an attempt (R18, R19, R21)."""
    if attempt.answer is MailResult.ACCEPTED:
        return Outcome(attempt.recipient, Delivery.ACCEPTED, attempt.at, None, attempt.code, attempt.reply)
    said = Outcome(attempt.recipient, Delivery.PENDING, attempt.at, attempt.answer.value, attempt.code, attempt.reply)
    match attempt.answer:
        case MailResult.REFUSED | MailResult.IMPOSSIBLE | MailResult.TOO_LARGE:
            return replace(said, state=Delivery.FAILED, suppress=attempt.about is About.MAILBOX)
        case MailResult.THROTTLED | MailResult.UNREACHABLE | MailResult.REFUSED_US:
            if before.since is not None and attempt.at - before.since > patience.longest:
                return replace(said, state=Delivery.FAILED, tried=False)
            if attempt.answer is MailResult.THROTTLED:  # soon enough for one that greylists; not everybody at once
                waited = attempt.at - (before.since or attempt.at)
                pause = min(max(patience.pause, waited * (0.5 + attempt.recipient % 16 / 128)), LONGEST_PAUSE)
            else:  # the circuit says when somebody is to try
                pause = min(pause_before(before.put_off, patience.pause), LONGEST_OUT)
            return replace(said, tried=False, due_at=attempt.at + pause)
        case MailResult.DEFERRED if before.tried + 1 >= patience.most:
            return replace(said, state=Delivery.FAILED)
        case MailResult.DEFERRED:
            return replace(said, due_at=attempt.at + pause_before(before.tried, patience.pause))
        case MailResult.AMBIGUOUS | MailResult.WORKER_LOST if policy == "resend" and before.tried + 1 < patience.most:
            return replace(said, due_at=attempt.at + pause_before(before.tried, patience.pause))
        case MailResult.AMBIGUOUS | MailResult.WORKER_LOST:
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
    # It is finished again by whoever closes what is left with nothing to do, who says the new counts.
    "settle as sent": {"finished": "sending", "finished with failures": "sending", "cancelled": "cancelled"},
    "settle as not sent": {"finished": "sending", "finished with failures": "sending", "cancelled": "cancelled"},
}
