"""What an announcement will be, before it is launched: who gets it, what they read, and one to look at (R16)."""

import uuid
from dataclasses import asdict, dataclass, replace
from email import message_from_bytes, policy

from sqlalchemy import Connection

from config.errors import NotFound
from config.runtime import Runtime
from config.settings import SmtpServer
from tasks import mail
from tasks.announcements.lifecycle import check_words
from tasks.announcements.rules import NotAllowed
from tasks.announcements.store import Announcement
from tasks.mail import (
    NOBODY,
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

#: What the subject of a test begins with.
MARK = "[Test] "


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
    judged = {one.verdict: one for one in mail.judged(connection, organisation, found.mailing)}
    will = judged.pop("send", None)
    lacking = {} if will is None else asdict(will)
    holes = without_default(found.subject, found.body)
    mistakes = [
        Mistake(field.value, lacking[field.value], lacking["n"])
        for field in MergeField
        if field in holes and lacking.get(field.value)
    ]
    if learner is None:
        reader = mail.some_recipient(connection, organisation, found.mailing)
    else:
        reader = _known(connection, organisation, learner)
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


def _known(connection: Connection, organisation: int, learner: str) -> Recipient:
    found = mail.as_recipient(connection, organisation, learner)
    if found is None:
        raise NotFound(f"there is no learner {learner!r} in this organisation")
    return found


def _mailing(connection: Connection, organisation: int, found: Announcement) -> Mailing:
    mailing = mailing_numbered(connection, organisation, found.mailing)
    assert mailing is not None  # noqa: S101 - it was found a moment ago, and no mailing is ever deleted
    return mailing


def _as_read(mailing: Mailing, reader: Recipient, runtime: Runtime) -> Sample | None:
    """The message as it would be sent, read as the one who gets it reads it; None where no server would take it."""
    try:
        envelope = compose(mailing, reader, identity(runtime))
    except ValueError:
        return None
    message = message_from_bytes(envelope.message, policy=policy.default)
    body = message.get_body(("plain",))
    return Sample(reader.id, str(message["Subject"]), "" if body is None else body.get_content())


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
    if learner is None:
        reader = mail.some_recipient(connection, organisation, found.mailing)
    else:
        reader = _known(connection, organisation, learner)
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
