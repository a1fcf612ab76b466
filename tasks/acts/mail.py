"""Mail: whether it goes, and what is sent again."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO, Annotated

from msgspec import Meta

from config.addresses import sender_address
from config.errors import BadField, Conflict, Invalid
from config.settings import SmtpServer
from tasks import mail
from tasks.acts.acting import Doing, Nothing, act
from tasks.events import Moment
from tasks.mail import NOTICES, Kind, MailPaused

#: The kinds of notices.
NoticeKind = StrEnum("NoticeKind", {kind.name: kind.value for kind in NOTICES})  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class MailNow:
    """How the pause of all mail stands; null: mail leaves."""

    paused: MailPaused | None


@dataclass(frozen=True, slots=True)
class MailState:
    """Whether all mail is paused; and whether that is news."""

    changed: bool
    paused: MailPaused | None


@dataclass(frozen=True, slots=True)
class ServerCheckTo:
    """A recipient to name; the sender of our mail otherwise."""

    to: Annotated[str, Meta(max_length=320)] | None = None


@dataclass(frozen=True, slots=True)
class NoticesRetry:
    """What has failed since then: of these kinds alone, if some are named; `uncertain`: also those of whom it is
    uncertain whether they got it, and of whom some get it twice."""

    since: Moment
    kind: list[NoticeKind] | None = None
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class ServerLog:
    """The log of a mail server, as it is read."""

    file: IO[bytes] = field(metadata={"format": "binary"})


@act("mail.show", "GET /mail")
def show(doing: Doing, asked: Nothing) -> MailNow:  # noqa: ARG001 - nothing is asked
    """Say whether all mail is paused, since when and by whom."""
    with doing.transaction() as connection:
        return MailNow(mail.paused(connection))


@act("mail.check", "POST /mail/check", changes=False)
def check(doing: Doing, asked: ServerCheckTo) -> mail.ServerCheck:
    """Connect to the mail server, encrypt, sign in, name a sender and a recipient, and leave: nothing is sent."""
    endpoints, settings = doing.runtime.endpoints, doing.runtime.settings
    sender = sender_address(endpoints.mail_from)
    server = SmtpServer.parse(endpoints.smtp_url)
    try:
        return mail.check_server(server, sender, asked.to or sender, timeout=settings.rollcall_smtp_timeout_seconds)
    except ValueError as problem:
        raise Invalid(f"{problem}.", [BadField("/to", str(problem))]) from None


@act("mail.pause", "POST /mail/pause")
def pause(doing: Doing, asked: Nothing) -> MailState:  # noqa: ARG001 - nothing is asked
    """Let no mail leave, of any organisation, password mail included; every worker obeys within a second (R20)."""
    with doing.transaction() as connection:
        changed = mail.pause_all(connection, doing.caller.who)
        doing.record(connection, before={"paused": not changed}, after={"paused": True})
        return MailState(changed, mail.paused(connection))


@act("mail.resume", "POST /mail/resume")
def resume(doing: Doing, asked: Nothing) -> MailState:  # noqa: ARG001 - nothing is asked
    """Let mail leave again; announcements that are paused themselves stay so."""
    with doing.transaction() as connection:
        if mail.awaits_decision(connection):
            raise Conflict("The database was restored from a backup: first say rollcall restored, or mail goes twice.")
        changed = mail.resume_all(connection)
        doing.record(connection, before={"paused": changed}, after={"paused": False})
    return MailState(changed, None)


@act("mail.retry", "POST mail/retry")
def retry(doing: Doing, asked: NoticesRetry) -> list[mail.RetriedNotices]:
    """Send notices again that have failed. Whom the gate holds back now stays as they are."""
    kinds = [Kind(kind.value) for kind in asked.kind or NoticeKind]
    number, size = doing.organisation.organisation, doing.runtime.settings.rollcall_mail_batch
    with doing.transaction() as connection:
        retried = mail.retry_notices(connection, number, kinds, asked.since, size=size, uncertain=asked.uncertain)
        doing.record(connection, after={"pending": {one.kind: one.pending for one in retried}})
    return retried


@act("mail.sent_since", "POST /mail/log")
def sent_since(doing: Doing, asked: ServerLog) -> mail.SentInLog:
    """Read from a mail server's log which of our mails it took, by their Message-IDs; for after a restore (R19)."""
    with doing.transaction() as connection:
        doing.record(connection, outcome="begun")
    result = mail.record_log(doing.runtime, (line.decode(errors="replace") for line in asked.file))
    with doing.transaction() as connection:
        doing.record(connection, after={"accepted": result.accepted, "uncertain": result.uncertain})
    return result
