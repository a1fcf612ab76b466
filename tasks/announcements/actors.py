"""An announcement's way from draft to finished."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Connection

from config.database import lock_organisations, scoped, share_organisation, transaction
from config.runtime import Runtime
from config.settings import Settings
from tasks import mail, organisations, work
from tasks.announcements import store
from tasks.events import emit
from tasks.learners import chunks

log = structlog.get_logger()


class NotAllowed(Exception):
    """The announcement stands so that this cannot be done with it."""


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


def progress(announcement: str, state: str, tallies: Sequence[mail.Tally]) -> Progress:
    """Add up how the deliveries stand."""
    counts: dict[str, int] = {}
    skipped: dict[str, int] = {}
    for tally in tallies:
        counts[tally.state] = counts.get(tally.state, 0) + tally.n
        if tally.state == "skipped":
            skipped[tally.reason or "unknown"] = tally.n
    return Progress(
        announcement,
        state,
        sum(counts.values()),
        counts.get("accepted", 0),
        skipped,
        counts.get("failed", 0),
        counts.get("cancelled", 0),
        counts.get("uncertain", 0),
        counts.get("pending", 0),
    )


def move(connection: Connection, organisation: int, announcement: store.Announcement, by: str) -> str:
    """Move an announcement on as the table of moves allows; the state it is in now, or `NotAllowed`."""
    target = mail.MOVES[by].get(announcement.state)
    if target is None or not mail.set_state(
        connection, organisation, announcement.mailing, target, expected=announcement.state
    ):
        allowed = ", ".join(sorted(mail.MOVES[by]))
        raise NotAllowed(
            f"the announcement {announcement.announcement} is {announcement.state}; only what is {allowed} can be"
            f" made to {by}"
        )
    return target


def launch(
    connection: Connection, settings: Settings, organisation: organisations.Organisation, found: store.Announcement
) -> None:
    """Launch: the audience is made now (S9), at once where it fits one chunk. Launched twice, it launches once."""
    number = organisation.organisation
    move(connection, number, found, "launch")
    if organisation.learners <= settings.rollcall_chunk:
        make_audience(connection, settings, number, found.mailing, 1, organisation.learners)
    else:
        pieces = chunks(organisation.learners, settings.rollcall_chunk)
        work.add(connection, number, "tasks", "announcements.audience", found.mailing, pieces)


def make_audience(
    connection: Connection, settings: Settings, organisation: int, mailing: int, low: int, high: int
) -> None:
    """Open the ledger for a stretch of learners, and write down the work of sending."""
    told = mail.open_for_audience(connection, organisation, mailing, low, high)
    if told:
        size = settings.rollcall_mail_batch
        mail.enqueue(connection, organisation, mailing, "bulk", low, high, told=told, size=size)


def audience(runtime: Runtime, piece: work.Piece) -> None:
    """Make the part of an audience that lies in one stretch of learners."""
    with transaction(runtime.engine, piece.organisation) as connection:
        share_organisation(connection, piece.organisation)
        make_audience(connection, runtime.settings, piece.organisation, piece.subject, piece.low, piece.high)
        work.finish(connection, piece)


def launch_scheduled(runtime: Runtime, piece: work.Piece) -> None:
    """Launch what was scheduled for now; what is later than its grace asks instead of firing (R20)."""
    with transaction(runtime.engine, piece.organisation) as connection:
        lock_organisations(connection, [piece.organisation])
        found = store.numbered(connection, piece.organisation, piece.subject)
        if found is not None and found.state == "scheduled" and found.send_at is not None:
            grace = timedelta(seconds=runtime.settings.rollcall_grace_seconds)
            if datetime.now(UTC) - found.send_at > grace:
                mail.set_state(connection, piece.organisation, piece.subject, "late", expected="scheduled")
                log.warning("announcement.late", announcement=found.announcement)
            else:
                launch(connection, runtime.settings, organisations.numbered(connection, piece.organisation), found)
        work.finish(connection, piece)


def finish_mailings(connection: Connection) -> int:
    """Close the mailings of which nothing is left to do, and say how an announcement ended (R18)."""
    done = 0
    for mailing in mail.unworked(connection):
        with scoped(connection, mailing.organisation):
            done += _finish(connection, mailing)
    return done


def _finish(connection: Connection, mailing: mail.Mailing) -> bool:
    counts = progress(mailing.id, "finished", mail.tally(connection, mailing.organisation, mailing.mailing))
    if counts.pending:
        log.error("mailing.pending_without_work", mailing=mailing.mailing, pending=counts.pending)
        return False
    state = "finished with failures" if counts.failed else "finished"
    if not mail.set_state(connection, mailing.organisation, mailing.mailing, state, expected="sending"):
        return False  # paused or cancelled meanwhile
    if mailing.kind is mail.Kind.ANNOUNCEMENT:
        emit(
            connection,
            mailing.organisation,
            "rollcall.announcement.finished",
            [
                {
                    "announcement": counts.announcement,
                    "state": state,
                    "selected": counts.selected,
                    "accepted": counts.accepted,
                    "skipped": counts.skipped,
                    "failed": counts.failed,
                    "cancelled": counts.cancelled,
                    "uncertain": counts.uncertain,
                    "pending": counts.pending,
                }
            ],
        )
    return True
