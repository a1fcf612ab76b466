"""Announcements as they will be read: who would get one, and a test of it."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from config.database import transaction
from config.errors import Conflict
from tasks import announcements, mail
from tasks.acts.acting import Doing, act
from tasks.acts.announcements import found_by
from tasks.events import Audience


@dataclass(frozen=True, slots=True)
class PreviewOf:
    """An announcement, as this learner reads it; or as the first who would get it."""

    announcement: str
    learner: str | None = None


@dataclass(frozen=True, slots=True)
class Writing:
    """What is being written, and to whom; as this learner reads it, or as the first who would get it. `count`: whether
    to say how many would, which takes seconds of a million."""

    subject: str
    body: str
    audience: Audience
    learner: str | None = None
    count: bool = True


@dataclass(frozen=True, slots=True)
class TrialOf:
    """An announcement, as this learner reads it, and the address to which it is sent."""

    announcement: str
    to: Annotated[str, Meta(min_length=1, max_length=320)]
    learner: str | None = None


@act("announcements.preview", "POST announcements/{announcement}/preview", changes=False)
def preview(doing: Doing, asked: PreviewOf) -> announcements.Preview:
    """Say who would get it were it launched now, who is left out and why, and what they would read (R16)."""
    org = doing.organisation
    with doing.transaction() as connection:
        found = found_by(connection, org, asked.announcement)
        return announcements.preview(connection, doing.runtime, org.organisation, found, asked.learner)


@act("announcements.see", "POST announcements/see", changes=False)
def see(doing: Doing, asked: Writing) -> announcements.SeenLetter:
    """Look at what is being written: its mistakes, each at its line; what a learner would read; who would get it, were
    it launched now, and who not and why (R16). Nothing is kept."""
    org = doing.organisation
    audience = msgspec.to_builtins(asked.audience)
    with doing.transaction() as connection:
        return announcements.see(
            connection, doing.runtime, org, asked.subject, asked.body, audience, asked.learner, count=asked.count
        )


@act("announcements.test", "POST announcements/{announcement}/test")
def test(doing: Doing, asked: TrialOf) -> announcements.Sent:
    """Send it to one address, marked as a test, and say what the mail server answered. It counts nowhere, and does not
    go to an address of an inactive learner (R15), nor to one that is suppressed."""
    with transaction(doing.runtime.engine) as connection:
        stopped = mail.paused(connection)
    if stopped is not None:
        raise Conflict(f"Nothing was sent. {stopped.in_words}")
    org = doing.organisation
    with doing.transaction() as connection:
        found = found_by(connection, org, asked.announcement)
        ready = announcements.trial(
            connection, doing.runtime, org.organisation, found, to=asked.to, learner=asked.learner
        )
        doing.record(connection, found.announcement, outcome="begun")
    sent = announcements.send_trial(doing.runtime, ready)
    with doing.transaction() as connection:
        doing.record(connection, found.announcement, after={"answer": sent.answer, "code": sent.code})
    return sent
