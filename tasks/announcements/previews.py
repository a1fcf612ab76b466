"""What an announcement will be, before it is launched: who gets it, what they read, and one to look at (R16)."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from email import message_from_bytes, policy
from email.message import EmailMessage

from sqlalchemy import Connection

from config.database import transaction
from config.errors import NotFound
from config.phrases import NO_LEARNER_HERE
from config.recent import Recent
from config.runtime import Runtime
from config.settings import SmtpServer
from tasks import mail, organisations
from tasks.announcements.lifecycle import check_words
from tasks.announcements.rules import Fault, NotAllowed, faults
from tasks.announcements.store import Announcement
from tasks.mail import (
    NOBODY,
    AudienceVerdict,
    Envelope,
    MailAttempt,
    Mailer,
    Mailing,
    MailResult,
    MergeField,
    Recipient,
    compose,
    identity,
    without_default,
)
from tasks.mail import mailing as mailing_numbered

#: What stands in a preview for what proves that somebody may unsubscribe, and for the address of nobody.
HIDDEN, NOWHERE = "…", "nobody@example.org"

#: What the subject of a test begins with.
MARK = "[Test] "

#: Learners of an audience from which on they are counted anew after so many seconds, not for each who looks.
MANY, COUNTED_SECONDS = 100_000, 3.0

_JUDGED: Recent[list[AudienceVerdict]] = Recent(COUNTED_SECONDS, lambda counted: sum(one.n for one in counted) >= MANY)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A merge field without a default, and how many of those who will receive the announcement have no value for it."""

    field: str
    without_value: int
    of: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What one learner will read."""

    learner: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Preview:
    """Who would get an announcement were it launched now (R16): selected = will_receive + those left out, by reason."""

    announcement: str
    state: str
    selected: int
    will_receive: int
    left_out: dict[str, int]
    mistakes: list[Mistake]
    sample: Sample | None


@dataclass(frozen=True, slots=True)
class Hole:
    """A merge field without a default that has nothing to say for so many of those who will receive the mail; in the
    `subject` or the `body`, there on the first `line` that has it."""

    part: str
    line: int | None
    field: str
    without_value: int
    of: int


@dataclass(frozen=True, slots=True)
class SeenMail:
    """What one learner will read, as both their mail programs show it; `learner` is null if nobody would get it. Their
    link to unsubscribe leads nowhere here."""

    learner: str | None
    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class SeenLetter:
    """What was written, seen before it is kept: its mistakes; if it has none, what a learner will read; and, if they
    were to be counted, who will receive it, and who is left out and why."""

    faults: list[Fault]
    mail: SeenMail | None
    selected: int | None = None
    will_receive: int | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    holes: list[Hole] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sent:
    """What the mail server said to a test."""

    announcement: str
    to: str
    learner: str | None
    subject: str
    answer: str
    code: int | None
    reply: str | None


def preview(
    connection: Connection, runtime: Runtime, organisation: int, found: Announcement, learner: str | None
) -> Preview:
    """Judge the audience as the gate would now, look for holes in the text, and render it for one of them, or for the
    `learner` who is named. Raises `NotAllowed` where it was launched, where it cannot be sent as it is written, and
    `NotFound` where that learner is not known."""
    if found.launched_at is not None or found.state == "cancelled":
        raise NotAllowed(
            f"the announcement {found.announcement} is {found.state}: show says how it stands, a preview comes before"
        )
    mailing = _mailing(connection, organisation, found)
    check_words(found, mailing.organisation_name)
    holes = without_default(found.subject, found.body)
    key = (organisation, found.mailing, repr(found.audience), frozenset(holes))
    counted = _JUDGED.ask(connection, key, lambda: judged_of(connection, runtime, organisation, found.audience, holes))
    judged = {one.verdict: one for one in counted}
    will = judged.pop("send", None)
    lacking = {} if will is None else asdict(will)
    mistakes = [
        Mistake(field.value, lacking[field.value], lacking["n"])
        for field in MergeField
        if field in holes and lacking.get(field.value)
    ]
    reader = _reader(connection, organisation, found.audience, learner)
    sample = None if reader is None else _as_read(mailing, reader, runtime)
    if learner is not None and sample is None:
        raise NotAllowed(f"the learner {learner} has no address that mail can be sent to")
    left_out = {verdict: one.n for verdict, one in judged.items()}
    received = 0 if will is None else will.n
    return Preview(
        found.announcement,
        found.state,
        received + sum(left_out.values()),
        received,
        left_out,
        mistakes,
        sample,
    )


def judged_of(
    connection: Connection,
    runtime: Runtime,
    organisation: int,
    audience: Mapping[str, object],
    fields: Collection[MergeField] = (),
) -> list[AudienceVerdict]:
    """How many of an audience would get an announcement now, and how many not and why (R16); and for how many of those
    who would these merge fields are empty."""
    if "everyone" not in audience or MergeField.USERNAME in fields:
        return mail.judged_audience(connection, organisation, audience, fields)
    with transaction(runtime.engine, organisation) as owner:
        return mail.judged_everyone(owner, organisation, fields)


def see(
    connection: Connection,
    runtime: Runtime,
    organisation: organisations.Organisation,
    subject: str,
    body: str,
    audience: Mapping[str, object],
    learner: str | None,
    *,
    count: bool,
) -> SeenLetter:
    """Look at what was written, though nobody keeps it yet, as this learner reads it, or the first who would get it;
    and, if they are to be counted, at how many would."""
    number = organisation.organisation
    wrong = faults(subject, body, organisation.name)
    mailing = Mailing(
        number, organisation.id, organisation.name, 0, mail.Kind.ANNOUNCEMENT, "", "preview", "draft", "hold",
        subject, body, organisation.logo, organisation.colour,
    )  # fmt: skip
    letter = None if wrong else _as_seen(mailing, _reader(connection, number, audience, learner), runtime)
    if not count:
        return SeenLetter(wrong, letter)
    fields = set() if wrong else without_default(subject, body)
    judged = {one.verdict: one for one in judged_of(connection, runtime, number, audience, fields)}
    will = judged.pop("send", None)
    left_out = {verdict: one.n for verdict, one in judged.items()}
    received = 0 if will is None else will.n
    holes = [] if will is None or wrong else _holes(subject, body, asdict(will))
    return SeenLetter(wrong, letter, received + sum(left_out.values()), received, left_out, holes)


def _holes(subject: str, body: str, lacking: Mapping[str, int]) -> list[Hole]:
    return [
        Hole(part, line if part == "body" else None, name.value, lacking[name.value], lacking["n"])
        for part, text in (("subject", subject), ("body", body))
        for name, line in mail.first_lines_without_default(text).items()
        if lacking.get(name.value)
    ]


def _as_seen(mailing: Mailing, reader: Recipient | None, runtime: Runtime) -> SeenMail | None:
    """The message in both forms; of nobody in particular if nobody would get it."""
    who = reader or mail.nobody_in_particular(NOWHERE)
    message = _composed(mailing, who, runtime)
    if message is None:
        return None
    plain, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
    return SeenMail(None if reader is None else reader.id, str(message["Subject"]), html, plain)


def _reader(
    connection: Connection, organisation: int, audience: Mapping[str, object], learner: str | None
) -> Recipient | None:
    """The learner who is named, or else the first of the audience who would get it; None where nobody would."""
    if learner is None:
        return mail.some_recipient(connection, organisation, audience)
    found = mail.as_recipient(connection, organisation, learner)
    if found is None:
        raise NotFound(NO_LEARNER_HERE(learner=repr(learner)))
    return found


def _mailing(connection: Connection, organisation: int, found: Announcement) -> Mailing:
    mailing = mailing_numbered(connection, organisation, found.mailing)
    assert mailing is not None  # noqa: S101 - it was found a moment ago, and no mailing is ever deleted
    return mailing


def _as_read(mailing: Mailing, reader: Recipient, runtime: Runtime) -> Sample | None:
    """The message as the one who gets it reads it; None where no server would take it."""
    message = _composed(mailing, reader, runtime)
    if message is None:
        return None
    body = message.get_body(("plain",))
    return Sample(reader.id, str(message["Subject"]), "" if body is None else body.get_content())


def _composed(mailing: Mailing, reader: Recipient, runtime: Runtime) -> EmailMessage | None:
    """The message as it would be sent, but for the link to unsubscribe: nobody but the reader is to have that (R34)."""
    us = identity(runtime)
    try:
        envelope = compose(mailing, reader, us)
    except ValueError:
        return None
    message = message_from_bytes(envelope.message, policy=policy.default)
    assert isinstance(message, EmailMessage)  # noqa: S101 - its policy makes one
    if us.links:
        token = us.links.token(mailing.organisation, reader.recipient)
        for part in message.iter_parts():
            part.set_content(part.get_content().replace(token, HIDDEN), subtype=part.get_content_subtype())
    return message


@dataclass(frozen=True, slots=True)
class Trial:
    """A test, ready to go."""

    announcement: str
    learner: str | None
    subject: str
    envelope: Envelope


def trial(
    connection: Connection, runtime: Runtime, organisation: int, found: Announcement, *, to: str, learner: str | None
) -> Trial:
    """A test of an announcement: what the `learner` named would get, or the first who would, to the address that its
    admin names.

    It passes the gate that all mail passes: nothing goes to an inactive learner (R15), or to an address that is
    suppressed. It has no part in the ledger, and its Message-ID is its own: else a mail program would take the real
    one for a copy of it. Raises `NotAllowed` where it may not go.
    """
    verdict = mail.verdict_on(connection, organisation, to)
    if verdict != "send":
        raise NotAllowed(f"nothing was sent to {to}: the gate holds back who is {verdict}")
    reader = _reader(connection, organisation, found.audience, learner)
    mailing = _mailing(connection, organisation, found)
    check_words(found, mailing.organisation_name)
    marked = replace(mailing, subject=MARK + mailing.subject)
    stand_in = replace(reader or mail.nobody_in_particular(to), recipient=NOBODY, id=f"test {uuid.uuid4()}", address=to)
    try:
        envelope = compose(marked, stand_in, identity(runtime))
    except ValueError as problem:
        raise NotAllowed(f"nothing was sent: {problem}") from None
    subject = str(message_from_bytes(envelope.message, policy=policy.default)["Subject"])
    return Trial(found.announcement, None if reader is None else reader.id, subject, envelope)


def send_trial(runtime: Runtime, ready: Trial) -> Sent:
    """Send a test through the engine that sends all mail; what the server said."""
    patience = runtime.settings.rollcall_smtp_timeout_seconds
    mailer = Mailer(SmtpServer.parse(runtime.endpoints.smtp_url), connections=1, timeout=patience)
    try:
        (attempt,) = mailer.send([ready.envelope], within=patience) or [MailAttempt(NOBODY, MailResult.UNREACHABLE)]
    finally:
        mailer.close()
    return Sent(
        ready.announcement,
        ready.envelope.address,
        ready.learner,
        ready.subject,
        attempt.answer.value,
        attempt.code,
        attempt.reply,
    )
