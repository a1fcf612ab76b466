"""What `announcements launch` looks at first: how many will receive it, and whether the mail server takes our mail."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import typer
from sqlalchemy import Connection

from config.runtime import Runtime
from config.settings import SmtpServer, sender_address
from config.words import counted
from tasks import announcements, mail, organisations
from tasks.mail import UNREACHABLE, About
from workers.commands.common import UNASKED, Refused

#: What no mail of ours would be taken for. Of a limit, or of one recipient, the first look says nothing.
STOPS_EVERYBODY = {UNREACHABLE, About.SIGN_IN, About.SENDER, About.REPUTATION, About.POLICY}

#: Reply codes from which on the server has refused for good.
FOR_GOOD = 500


@dataclass(frozen=True, slots=True)
class Readiness:
    """How many would receive an announcement, and the address of the first; whether no mail to anybody was accepted
    yet."""

    announcement: str
    will_receive: int
    address: str | None
    first: bool


def readiness(
    connection: Connection,
    runtime: Runtime,
    org: organisations.Organisation,
    found: announcements.Announcement,
    *,
    now: bool,
) -> Readiness | None:
    """What there is to look at; None if it was launched, or can never be. Raises `Refused` if its time has passed."""
    if found.launched_at is not None or found.state == "cancelled":
        return None
    grace = timedelta(seconds=runtime.settings.rollcall_grace_seconds)
    if found.state == "draft" and found.send_at and not now and datetime.now(UTC) - found.send_at > grace:
        when = announcements.local_time(found.send_at, found.time_zone)
        raise Refused(f"Its time, {when}, has passed: --now sends it all the same, edit gives it another.")
    announcements.check_words(found, org.name)
    judged = {one.verdict: one.n for one in mail.judged(connection, org.organisation, found.mailing)}
    first = not mail.any_accepted(connection, org.organisation)
    reader = mail.some_recipient(connection, org.organisation, found.mailing) if first else None
    return Readiness(
        found.announcement, judged.get(mail.Verdict.SEND, 0), None if reader is None else reader.address, first
    )


def approve(ready: Readiness) -> None:
    """Ask a person before many are mailed; where there is none, refuse."""
    if ready.will_receive <= UNASKED:
        return
    what = f"{counted(ready.will_receive, 'learner')} would receive {ready.announcement}"
    if not at_a_terminal():
        raise Refused(f"It was not launched: {what}. Say --yes if they are to.")
    if not typer.confirm(f"{what}. Launch it?", err=True):
        raise Refused("It was not launched.")


def at_a_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def check_server(runtime: Runtime, ready: Readiness) -> None:
    """Before the first mail of all, refuse where the mail server would take none: all would fail or wait."""
    settings = runtime.settings
    if settings.smtp_url is None or not ready.first or ready.address is None:
        return
    sender = sender_address(runtime.endpoints.mail_from)
    server = SmtpServer.parse(runtime.endpoints.smtp_url)
    try:
        seen = mail.check_server(server, sender, ready.address, timeout=settings.rollcall_smtp_timeout_seconds)
    except ValueError:
        return  # the first recipient has no address that mail can be sent to: it says nothing of the server
    if not seen.ok and seen.about in STOPS_EVERYBODY and (seen.code is None or seen.code >= FOR_GOOD):
        raise Refused(f"It was not launched. {seen.in_words} Or say --no-check to launch it all the same.")
