"""Announcements: how they stand, who gets them, and their way from the launch on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta
from sqlalchemy import Connection

from config.database import transaction
from config.errors import Conflict, NotFound
from config.recent import Recent
from config.runtime import Runtime
from tasks import announcements, bounces, learners, mail
from tasks.acts.acting import Doing, act
from tasks.acts.exporting import exported
from tasks.acts.paging import USUAL, After, Limit, Page, Stream, keys_after, page, page_ending_at
from tasks.announcements import Announcement, Outline
from tasks.events import Audience
from tasks.mail import MOVES, Delivery, MailOutage
from tasks.organisations import Organisation
from tasks.reports import Format

#: The states an announcement can be in.
State = StrEnum("State", {s: s for moves in MOVES.values() for pair in moves.items() for s in pair})  # type: ignore[misc]

Version = Annotated[str, Meta(max_length=100, description="As `show` gave it: refused if it has changed since.")]

#: Learners among whom one page looks for the recipients who stand as is asked for: tens of milliseconds.
SCANNED = 100_000

#: Mails from which on those that are on their way are counted anew after so many seconds, not for each who looks.
MANY, STOOD_SECONDS = 100_000, 3.0

#: Learners that a search for recipients looks at, as that for learners does.
SEARCHED = 5000

#: Larger than the number of any mailing.
FIRST = 2**63 - 1


_STOOD: Recent[dict[int, list[mail.Tally]]] = Recent(
    STOOD_SECONDS, lambda stand: sum(one.n for those in stand.values() for one in those) >= MANY
)


@dataclass(frozen=True, slots=True)
class AnnouncementState:
    """How an announcement stands now."""

    announcement: str
    state: str


@dataclass(frozen=True, slots=True)
class AnnouncementDetails(announcements.Progress):
    """How an announcement stands; besides, where no mail goes if it has mail to send, why it, or all mail, is paused,
    and how many came back after the server had accepted them, by kind. None of these is there if there is nothing to
    say."""

    stopped: list[MailOutage] = field(default_factory=list)
    why: str | None = None
    came_back: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeAnnouncement(AnnouncementDetails):
    """An announcement, whole: how it stands, what it says, to whom and when, and what was done with it; and whether it
    is kept who got it, or its counts alone are."""

    version: str
    subject: str
    body: str
    audience: Audience
    policy: str
    send_at: datetime | None
    time_zone: str | None
    launched_at: datetime | None
    finished_at: datetime | None
    history: list[mail.MailingChange]
    recipients_kept: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """An announcement in a list, with its counts, which add up as those of `show` do."""

    announcement: str
    state: str
    subject: str
    send_at: datetime | None
    time_zone: str | None
    selected: int
    accepted: int
    skipped: dict[str, int]
    failed: int
    cancelled: int
    uncertain: int
    pending: int


@dataclass(frozen=True, slots=True)
class AnnouncementsPage:
    """Those in a state, or all."""

    state: State | None = None
    limit: Limit = USUAL
    after: After | None = None


@dataclass(frozen=True, slots=True)
class OneAnnouncement:
    """An announcement."""

    announcement: str


@dataclass(frozen=True, slots=True)
class RecipientsPage:
    """Of an announcement, those who stand so, for this reason, and are found by these words as learners are; or all."""

    announcement: str
    state: Delivery | None = None
    reason: str | None = None
    search: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    limit: Limit = USUAL
    after: After | None = None


@dataclass(frozen=True, slots=True)
class RecipientsExport:
    """The same, and how they are written."""

    announcement: str
    state: Delivery | None = None
    reason: str | None = None
    format: Format = Format.CSV


def found_by(connection: Connection, org: Organisation, announcement: str, *, lock: bool = False) -> Announcement:
    """The announcement with this id, or a refusal; with a `lock`, nobody else changes it until the transaction ends."""
    found = announcements.find(connection, org.organisation, announcement, lock=lock)
    if found is None:
        raise NotFound(f"There is no announcement {announcement!r} in the organisation {org.id!r}.")
    return found


def with_recipients(connection: Connection, org: Organisation, announcement: str) -> int:
    """The number of the announcement with this id, or a refusal; so if it is not kept any more who got it."""
    found = found_by(connection, org, announcement)
    announcements.check_kept(connection, org.organisation, found)
    return found.mailing


def to_change(connection: Connection, org: Organisation, announcement: str, version: str | None = None) -> Announcement:
    """The announcement with this id, which nobody else changes meanwhile; a refusal if it is not as it was shown."""
    found = found_by(connection, org, announcement, lock=True)
    if version is not None and version != announcements.version_of(found):
        raise Conflict(f"The announcement {announcement} was changed after it was shown: look at it again.")
    return found


@act("announcements.list", "GET announcements")
def list_(doing: Doing, asked: AnnouncementsPage) -> Page[Listed]:
    """List the announcements, newest first."""
    number = doing.organisation.organisation
    listed = ("announcements", number, asked.state)
    (before,) = keys_after(asked.after, tuple[int], *listed) or (FIRST,)
    with doing.transaction() as connection:
        those = announcements.listed(connection, number, state=asked.state, before=before, limit=asked.limit + 1)
        shown = page(those, asked.limit, lambda one: (one.mailing,), *listed)
        stand = _stand(connection, number, shown.items)
    return Page(
        [
            Listed(
                subject=one.subject,
                send_at=one.send_at,
                time_zone=one.time_zone,
                **asdict(announcements.progress(one.announcement, one.state, stand[one.mailing])),
            )
            for one in shown.items
        ],
        shown.next,
    )


@act("announcements.show", "GET announcements/{announcement}")
def show(doing: Doing, asked: OneAnnouncement) -> WholeAnnouncement:
    """Show it, and how it stands: selected = accepted + skipped + failed + cancelled + uncertain + pending (R18)."""
    with doing.transaction() as connection:
        it = whole(connection, doing, found_by(connection, doing.organisation, asked.announcement))
    if it.state != "sending":
        return it
    return replace(it, stopped=_stopped(doing.runtime, it), why=_all_paused(doing.runtime))


def whole(connection: Connection, doing: Doing, found: Announcement) -> WholeAnnouncement:
    """An announcement, whole, but for what stops all mail."""
    number = doing.organisation.organisation
    stand = _stand(connection, number, [found])[found.mailing]
    counts = announcements.progress(found.announcement, found.state, stand)
    return WholeAnnouncement(
        **asdict(counts),
        why=mail.why_paused(connection, number, found.mailing) if found.state == "paused" else None,
        came_back=bounces.came_back(connection, number, found.mailing),
        version=announcements.version_of(found),
        subject=found.subject,
        body=found.body,
        audience=msgspec.convert(found.audience, Audience),
        policy=found.policy,
        send_at=found.send_at,
        time_zone=found.time_zone,
        launched_at=found.launched_at,
        finished_at=found.finished_at,
        history=mail.history(connection, number, found.mailing),
        recipients_kept=found.finished_at is None or not mail.is_forgotten(connection, number, found.mailing),
    )


def _stand(connection: Connection, number: int, those: Sequence[Announcement | Outline]) -> dict[int, list[mail.Tally]]:
    """How the deliveries of these stand; of many that are on their way, how they stood a moment ago."""
    under_way = {one.mailing: one.state for one in those if one.launched_at is not None and one.finished_at is None}
    rest = [one.mailing for one in those if one.mailing not in under_way]
    stand = mail.tallies(connection, number, rest) if rest else {}
    if under_way:
        key = (number, *under_way.items())
        stand |= _STOOD.ask(connection, key, lambda: mail.tallies(connection, number, [*under_way]))
    return stand


def _stopped(runtime: Runtime, counts: announcements.Progress) -> list[MailOutage]:
    """Where no mail goes now, if it has mail to send."""
    if not counts.pending:
        return []
    from redis.exceptions import RedisError  # noqa: PLC0415 - most need no Redis

    from config.streams import make_redis  # noqa: PLC0415 - the same

    try:
        with make_redis(runtime.endpoints.redis_url) as client:
            return mail.current_outages(client, runtime.endpoints.mail_from)
    except RedisError:
        return []


def _all_paused(runtime: Runtime) -> str | None:
    with transaction(runtime.engine) as connection:
        stopped = mail.paused(connection)
    return None if stopped is None else stopped.in_words


@act("announcements.recipients", "GET announcements/{announcement}/recipients")
def recipients(doing: Doing, asked: RecipientsPage) -> Page[announcements.RecipientDetails]:
    """List the recipients: how they stand, why, what their server said, and every attempt (R18).

    With `state`, `reason` or `search`, a page looks at so many learners and may hold fewer than `limit`, even none: go
    on while `next` is not null.
    """
    org = doing.organisation
    listed = ("recipients", org.organisation, asked.announcement, asked.state, asked.reason, asked.search)
    (after,) = keys_after(asked.after, tuple[int], *listed) or (0,)
    if asked.search is not None:
        return _searched(doing, asked, asked.search, after, listed)
    last = org.learners if asked.state is asked.reason is None else min(after + SCANNED, org.learners)
    with doing.transaction() as connection:
        mailing = with_recipients(connection, org, asked.announcement)
        found = announcements.recipients_after(
            connection, org.organisation, mailing, after, asked.limit + 1, state=asked.state, reason=asked.reason,
            last=last,
        )  # fmt: skip
    if len(found) > asked.limit:
        found, last = found[: asked.limit], found[asked.limit - 1][0]
    return page_ending_at([one for _, one in found], (last,) if last < org.learners else None, *listed)


def _searched(
    doing: Doing, asked: RecipientsPage, words: str, after: int, listed: tuple[object, ...]
) -> Page[announcements.RecipientDetails]:
    number = doing.organisation.organisation
    with doing.transaction() as connection:
        mailing = with_recipients(connection, doing.organisation, asked.announcement)
    known = learners.LearnerFilter([learners.Standing.ACTIVE, learners.Standing.INACTIVE], None)
    with transaction(doing.runtime.engine, number) as connection:
        hits = learners.search(connection, number, words, after, known, SEARCHED, asked.limit + 1)
    matched = hits.matched[: asked.limit]
    with doing.transaction() as connection:
        found = announcements.recipients_after(
            connection, number, mailing, after, asked.limit, state=asked.state, reason=asked.reason, only=matched
        )
    end = matched[-1] if len(hits.matched) > asked.limit else hits.reached
    return page_ending_at([one for _, one in found], None if end is None else (end,), *listed)


@act("announcements.export", "GET announcements/{announcement}/recipients/export")
def export(doing: Doing, asked: RecipientsExport) -> Stream:
    """Export one row for each recipient: how they stand, why, what their server said, and every attempt (R18)."""
    org = doing.organisation
    with doing.transaction() as connection:
        mailing = with_recipients(connection, org, asked.announcement)
    return exported(
        doing,
        "recipients",
        asked.format,
        lambda connection: announcements.recipients(
            connection, org.organisation, mailing, asked.format, state=asked.state, reason=asked.reason
        ),
    )
