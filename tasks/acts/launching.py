"""An announcement's way from the launch on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated

from msgspec import Meta
from sqlalchemy import Connection

from config import clock
from config.addresses import sender_address
from config.database import lock_organisations
from config.errors import Conflict
from config.phrases import LATE, NOT_LAUNCHED
from config.runtime import Runtime
from config.settings import SmtpServer
from config.words import counted
from tasks import announcements, mail, organisations
from tasks.acts.acting import Doing, act
from tasks.acts.announcements import AnnouncementState, OneAnnouncement, Version, found_by, to_change
from tasks.announcements import Announcement, NotAllowed, local_time
from tasks.mail import UNREACHABLE, About

#: What no mail of ours would be taken for. Of a limit, or of one recipient, the first look says nothing.
STOPS_EVERYBODY = {UNREACHABLE, About.SIGN_IN, About.SENDER, About.REPUTATION, About.POLICY}

#: Reply codes from which on the server has refused for good.
FOR_GOOD = 500


@dataclass(frozen=True, slots=True)
class Launched(AnnouncementState):
    """The same, and how many were to receive it; null if it had been launched before."""

    will_receive: int | None


@dataclass(frozen=True, slots=True)
class Readiness:
    """How many would receive an announcement, were it launched now, and which version of it; null if it was launched,
    or can never be."""

    announcement: str
    will_receive: int | None
    version: str


@dataclass(frozen=True, slots=True)
class ReadinessOf:
    """An announcement that is to be launched; `now`: though its time is ahead, or has passed."""

    announcement: str
    now: bool = False


@dataclass(frozen=True, slots=True)
class Launching:
    """What to launch; `now`: though its time is ahead, or has passed; `check`: before the first mail of an
    organisation, look whether the mail server takes our mail. `will_receive` and `version`: what was shown. If more
    would receive it by now, or if it says something else, it is not launched."""

    announcement: str
    now: bool = False
    check: bool = True
    will_receive: Annotated[int, Meta(ge=0)] | None = None
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class Scheduling:
    """What to launch at its time, as it was shown."""

    announcement: str
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """What to send again to those who failed; `uncertain`: also to those of whom it is uncertain whether they got it,
    and of whom some get it twice."""

    announcement: str
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Settling:
    """What a person found out of those of whom it is uncertain whether they got the mail, of these learners or all, and
    how they know."""

    announcement: str
    sent: bool
    why: Annotated[str, Meta(min_length=1, max_length=1000)]
    learners: Annotated[list[str], Meta(min_length=1, max_length=100_000)] | None = None


@dataclass(frozen=True, slots=True)
class _Audience:
    """How many would receive an announcement, and the address of the first, if no mail to anybody was accepted yet."""

    will_receive: int
    address: str | None


def _recipients(connection: Connection, doing: Doing, found: Announcement, *, now: bool) -> _Audience | None:
    """Who would receive it; None if it was launched, or can never be. Raises `Conflict` if its time has passed."""
    org = doing.organisation
    if found.launched_at is not None or found.state == "cancelled":
        return None
    grace = timedelta(seconds=doing.runtime.settings.rollcall_grace_seconds)
    if found.state == "draft" and found.send_at and not now and clock.now() - found.send_at > grace:
        when = local_time(found.send_at, found.time_zone)
        raise Conflict(LATE(when=when))
    announcements.check_words(found, org.name)
    counted = announcements.judged_of(connection, doing.runtime, org.organisation, found.audience)
    judged = {one.verdict: one.n for one in counted}
    first = not mail.any_accepted(connection, org.organisation)
    reader = mail.some_recipient(connection, org.organisation, found.audience) if first else None
    return _Audience(judged.get(mail.Verdict.SEND, 0), None if reader is None else reader.address)


@act("announcements.ready", "GET announcements/{announcement}/ready")
def ready(doing: Doing, asked: ReadinessOf) -> Readiness:
    """Say how many would receive it were it launched now. A launch takes that number, and the version, as confirmed."""
    with doing.transaction() as connection:
        found = found_by(connection, doing.organisation, asked.announcement)
        seen = _recipients(connection, doing, found, now=asked.now)
    return Readiness(found.announcement, None if seen is None else seen.will_receive, announcements.version_of(found))


@act("announcements.launch", "POST announcements/{announcement}/launch")
def launch(doing: Doing, asked: Launching) -> Launched:
    """Send it now, or at its time. Launched twice, it launches once. Before the first mail of an organisation it looks
    whether the mail server takes our mail."""
    org, by = doing.organisation, doing.caller.who
    with doing.transaction() as connection:
        seen = _recipients(connection, doing, found_by(connection, org, asked.announcement), now=asked.now)
    if seen is not None:
        if asked.will_receive is not None and seen.will_receive > asked.will_receive:
            raise Conflict(
                f"It was not launched: {counted(seen.will_receive, 'learner')} would receive {asked.announcement} by"
                f" now, and {asked.will_receive} had been shown. Look at it again."
            )
        if asked.check:
            _check_server(doing.runtime, seen)
    with doing.transaction() as connection:
        lock_organisations(connection, [org.organisation])
        found = to_change(connection, org, asked.announcement, asked.version)
        if found.state == "draft" and found.send_at is not None and not asked.now and not found.passed:
            announcements.schedule(connection, org, found, by=by)
        else:
            current = organisations.numbered(connection, org.organisation)
            announcements.launch(connection, doing.runtime.settings, current, found, by=by)
        state = found_by(connection, org, asked.announcement).state
        will_receive = None if seen is None else seen.will_receive
        doing.record(
            connection,
            found.announcement,
            before={"state": found.state},
            after={"state": state, "will_receive": will_receive},
        )
    return Launched(found.announcement, state, will_receive)


def _check_server(runtime: Runtime, seen: _Audience) -> None:
    """Before the first mail of all, refuse where the mail server would take none: all would fail or wait."""
    settings = runtime.settings
    if settings.smtp_url is None or seen.address is None:
        return
    sender = sender_address(runtime.endpoints.mail_from)
    server = SmtpServer.parse(runtime.endpoints.smtp_url)
    try:
        said = mail.check_server(server, sender, seen.address, timeout=settings.rollcall_smtp_timeout_seconds)
    except ValueError:
        return  # the first recipient has no address that mail can be sent to: it says nothing of the server
    if not said.ok and said.about in STOPS_EVERYBODY and (said.code is None or said.code >= FOR_GOOD):
        raise Conflict(NOT_LAUNCHED(why=said.in_words))


def _moved(
    doing: Doing, announcement: str, move: Callable[..., object], *, version: str | None = None
) -> AnnouncementState:
    """Move an announcement on, as `announcements.pause` does, and say how it stands then."""
    org = doing.organisation
    with doing.transaction() as connection:
        found = to_change(connection, org, announcement, version)
        move(connection, org.organisation, found, by=doing.caller.who)
        state = found_by(connection, org, found.announcement).state
        doing.record(connection, found.announcement, before={"state": found.state}, after={"state": state})
    return AnnouncementState(found.announcement, state)


@act("announcements.schedule", "POST announcements/{announcement}/schedule")
def schedule(doing: Doing, asked: Scheduling) -> AnnouncementState:
    """Have a draft launched at the time that it has."""

    def move(connection: Connection, _organisation: int, found: Announcement, *, by: str) -> None:
        if found.state == "draft" and (found.send_at is None or found.passed):
            lacks = "no time" if found.send_at is None else "a time that has passed"
            raise NotAllowed(f"the announcement {found.announcement} has {lacks}: edit gives it one")
        announcements.schedule(connection, doing.organisation, found, by=by)

    return _moved(doing, asked.announcement, move, version=asked.version)


@act("announcements.unschedule", "POST announcements/{announcement}/unschedule")
def unschedule(doing: Doing, asked: OneAnnouncement) -> AnnouncementState:
    """Make what is scheduled, or late, a draft again."""
    return _moved(doing, asked.announcement, partial(announcements.move, move_="unschedule"))


@act("announcements.pause", "POST announcements/{announcement}/pause")
def pause(doing: Doing, asked: OneAnnouncement) -> AnnouncementState:
    """Stop sending within a second; what is under way is finished (R20)."""
    return _moved(doing, asked.announcement, announcements.pause)


@act("announcements.resume", "POST announcements/{announcement}/resume")
def resume(doing: Doing, asked: OneAnnouncement) -> AnnouncementState:
    """Go on with what was paused."""
    return _moved(doing, asked.announcement, announcements.resume)


@act("announcements.cancel", "POST announcements/{announcement}/cancel")
def cancel(doing: Doing, asked: OneAnnouncement) -> AnnouncementState:
    """Send no more of it, for good (R20)."""
    return _moved(doing, asked.announcement, announcements.cancel)


@act("announcements.retry", "POST announcements/{announcement}/retry")
def retry(doing: Doing, asked: Retry) -> announcements.RetriedAnnouncement:
    """Send a finished announcement again to those alone who failed. Whom the gate holds back now stays failed (R18)."""
    org = doing.organisation
    with doing.transaction() as connection:
        found = to_change(connection, org, asked.announcement)
        retried = announcements.retry(
            connection, doing.runtime.settings, org, found, uncertain=asked.uncertain, by=doing.caller.who
        )
        doing.record(
            connection,
            found.announcement,
            before={"state": found.state},
            after={"state": retried.state, "pending": retried.pending, "held_back": retried.held_back},
        )
    return retried


@act("announcements.settle", "POST announcements/{announcement}/settle")
def settle(doing: Doing, asked: Settling) -> announcements.SettledAnnouncement:
    """Say of the uncertain, once all is done, that they got the mail, or that they did not: then a retry sends it to
    them again (R19)."""
    number = doing.organisation.organisation
    with doing.transaction() as connection:
        found = to_change(connection, doing.organisation, asked.announcement)
        done = announcements.settle(
            connection, number, found, asked.learners, sent=asked.sent, by=doing.caller.who, why=asked.why
        )
        doing.record(
            connection,
            found.announcement,
            before={"state": found.state},
            after={"state": done.state, "sent": asked.sent, "settled": done.settled},
        )
    return done
