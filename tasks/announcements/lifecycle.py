"""An announcement's way from draft to finished."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import structlog
from sqlalchemy import Connection

from config.database import execute, fits, say, scoped
from config.settings import Settings
from tasks import mail, organisations, work
from tasks.announcements import store
from tasks.announcements.rules import BadMessage, NotAllowed, check_message, progress
from tasks.chores import one_by_one
from tasks.events import emit
from tasks.learners import chunks
from tasks.mail import MOVES, SYSTEM, Delivery

log = structlog.get_logger()

#: Chunks of which one survey finds out who is in the audience.
SURVEYED = 50

#: What of an announcement may rest.
RESUMED = ("mail.deliver", "announcements.audience")


def move(
    connection: Connection,
    organisation: int,
    announcement: store.Announcement,
    move_: str,
    *,
    by: str,
    why: str | None = None,
) -> str:
    """Move an announcement on as the table of moves allows, and keep who did; the state it is in now, or
    `NotAllowed`."""
    state = mail.make_move(
        connection, organisation, announcement.mailing, move_, expected=announcement.state, by=by, why=why
    )
    if state is None:
        allowed = " or ".join(sorted(MOVES[move_]))
        raise NotAllowed(
            f"the announcement {announcement.announcement} is {announcement.state}; to {move_} it, it has to be"
            f" {allowed}"
        )
    execute(connection, "NOTIFY rollcall_relay, 'mailings'")  # a mailing to nobody leaves no work that would say so
    what = "mailing.launched" if move_ == "launch" else "mailing.moved"
    say(connection, what, organisation=organisation, mailing=announcement.mailing, move=move_, state=state)
    return state


def check_kept(connection: Connection, organisation: int, found: store.Announcement) -> None:
    """Raises `NotAllowed` where it is not kept any more who got an announcement, and what became of each mail (R35)."""
    if found.finished_at is not None and mail.is_forgotten(connection, organisation, found.mailing):
        raise NotAllowed(
            f"it is no longer kept who got the announcement {found.announcement}: it ended on"
            f" {found.finished_at:%Y-%m-%d}, and its counts alone are kept"
        )


def check_words(found: store.Announcement, organisation: str) -> None:
    """Raises `NotAllowed` for an announcement that cannot be sent as it is written: what may be said can have changed
    since it was drafted."""
    try:
        check_message(found.subject, found.body, organisation)
    except BadMessage as problem:
        raise NotAllowed(
            f"the announcement {found.announcement} cannot be sent as it is: {problem} Correct it with edit."
        ) from None


def schedule(
    connection: Connection, organisation: organisations.Organisation, found: store.Announcement, *, by: str
) -> str:
    """Have an announcement launched at its time."""
    check_words(found, organisation.name)
    number = organisation.organisation
    state = move(connection, number, found, "schedule", by=by)
    work.add(connection, number, "tasks", "announcements.launch", found.mailing, scheduled_for=found.send_at)
    return state


def launch(
    connection: Connection,
    settings: Settings,
    organisation: organisations.Organisation,
    found: store.Announcement,
    *,
    by: str,
) -> None:
    """Launch: the audience is made now (S9), at once where it fits one chunk. Launched twice, it launches once.

    Whom a message names is looked up at once; where members, or all, are many, to find out who they are is work.
    """
    check_words(found, organisation.name)
    number, size = organisation.organisation, settings.rollcall_chunk
    move(connection, number, found, "launch", by=by)
    if fits(connection, organisation.learners, size):
        make_audience(connection, settings, number, found.mailing, 1, organisation.learners)
    elif "learners" in found.audience:
        make_audiences(connection, settings, number, found.mailing, 1, organisation.learners)
    else:
        surveys = chunks(organisation.learners, size * SURVEYED)
        work.add(connection, number, "tasks", "announcements.survey", found.mailing, surveys)


def make_audiences(
    connection: Connection,
    settings: Settings,
    organisation: int,
    mailing: int,
    low: int,
    high: int,
    *,
    part_of: work.Piece | None = None,
) -> None:
    """Make what there is of an audience in a stretch of learners: at once where it fits one chunk, else write down a
    piece for each chunk of it; nothing where there is nobody (R13, R22). `part_of`: as for `work.add`."""
    size = settings.rollcall_chunk
    pieces = mail.audience_stretches(connection, organisation, mailing, low, high, size)
    if len(pieces) == 1 and fits(connection, size, size):
        make_audience(connection, settings, organisation, mailing, *pieces[0])
    elif pieces:
        work.add(connection, organisation, "tasks", "announcements.audience", mailing, pieces, part_of=part_of)


def make_audience(
    connection: Connection, settings: Settings, organisation: int, mailing: int, low: int, high: int
) -> None:
    """Open the ledger for a stretch of learners, and write down the work of sending."""
    if mail.open_for_audience(connection, organisation, mailing, low, high):
        mail.enqueue(connection, organisation, mailing, "bulk", low, high, settings.rollcall_mail_batch)


def pause(connection: Connection, organisation: int, found: store.Announcement, *, by: str) -> str:
    """Send no more of it until it is resumed (R20); the making of the audience goes on, which is as of the launch."""
    state = move(connection, organisation, found, "pause", by=by)
    work.hold(connection, organisation, "mail.deliver", found.mailing)
    return state


def resume(connection: Connection, organisation: int, found: store.Announcement, *, by: str) -> str:
    """Go on with what was paused."""
    state = move(connection, organisation, found, "resume", by=by)
    work.resume(connection, organisation, RESUMED, found.mailing)
    return state


def cancel(connection: Connection, organisation: int, found: store.Announcement, *, by: str) -> str:
    """Send no more of it, for good (R20): the gate says so from now on, and what nobody works on is cancelled as a
    whole."""
    state = move(connection, organisation, found, "cancel", by=by)
    if found.launched_at is not None:
        work.add(connection, organisation, "tasks", "announcements.cancel", found.mailing)
    return state


@dataclass(frozen=True, slots=True)
class RetriedAnnouncement:
    """What became of those who had failed, and of the uncertain if they were asked for: so many are pending again; the
    gate would not let the others through now, for these reasons, and they stay as they are."""

    announcement: str
    state: str
    pending: int
    held_back: dict[str, int]


def retry(
    connection: Connection,
    settings: Settings,
    organisation: organisations.Organisation,
    found: store.Announcement,
    *,
    uncertain: bool,
    by: str,
) -> RetriedAnnouncement:
    """Send again to those alone who failed, or also to those of whom it is uncertain whether they got it (R18, R19)."""
    number = organisation.organisation
    check_kept(connection, number, found)
    state = move(connection, number, found, "retry", by=by)
    states = [Delivery.FAILED.value, *([Delivery.UNCERTAIN.value] if uncertain else [])]
    pending = mail.make_pending(connection, number, found.mailing, states)
    held_back = mail.left_settled(connection, number, found.mailing, states)
    if not pending:
        asked_for = " or ".join(states)
        why = ", ".join(f"{n} {verdict}" for verdict, n in held_back.items())
        raise NotAllowed(
            f"nobody of the announcement {found.announcement} can be tried again: "
            + (f"of those who are {asked_for}, the gate holds back {why}" if why else f"nobody is {asked_for}")
        )
    mail.enqueue(connection, number, found.mailing, "bulk", 1, organisation.learners, settings.rollcall_mail_batch)
    return RetriedAnnouncement(found.announcement, state, pending, held_back)


@dataclass(frozen=True, slots=True)
class SettledAnnouncement:
    """Of how many a person said whether they got the mail, and how the announcement stands."""

    announcement: str
    state: str
    settled: int


def settle(
    connection: Connection,
    organisation: int,
    found: store.Announcement,
    learners: Sequence[str] | None,
    *,
    sent: bool,
    by: str,
    why: str,
) -> SettledAnnouncement:
    """Write of the uncertain, of these learners or all, that they got the mail, or did not and may be sent it again
    (R19). It ends again at once, and its new counts go out."""
    check_kept(connection, organisation, found)
    named = f"settle as {'sent' if sent else 'not sent'}"
    state = move(connection, organisation, found, named, by=by, why=why)
    settled = mail.settle_uncertain(connection, organisation, found.mailing, learners, sent=sent)
    if not settled:
        whom = "nobody" if learners is None else "none of these"
        raise NotAllowed(f"nothing was changed: of the announcement {found.announcement}, {whom} is uncertain")
    return SettledAnnouncement(found.announcement, state, settled)


def finish_mailings(connection: Connection, *, in_savepoints: bool = False) -> int:
    """Close the mailings of which nothing is left to do, and say how an announcement ended, with its counts (R18): of
    what was cancelled it is never said that it is finished."""
    done, after = 0, (0, 0)
    while found := {(one.organisation, one.mailing): one for one in mail.unworked(connection, after)}:
        if in_savepoints:
            done += one_by_one(connection, "finish mailing", found, lambda key: _finish(connection, found[key]))
        else:
            done += sum(_finish(connection, mailing) for mailing in found.values())
        after = max(found)
    return done + mail.keep_counts(connection)


def _finish(connection: Connection, mailing: mail.Mailing) -> bool:
    with scoped(connection, mailing.organisation):
        return _finished(connection, mailing)


def _finished(connection: Connection, mailing: mail.Mailing) -> bool:
    counts = progress(mailing.id, mailing.state, mail.tally(connection, mailing.organisation, mailing.mailing))
    if counts.pending:
        log.error("mailing.pending_without_work", mailing=mailing.mailing, pending=counts.pending)
        return False
    if mailing.state == "cancelled":
        state = "cancelled" if mail.close_cancelled(connection, mailing.organisation, mailing.mailing) else None
    else:
        ended = "finish with failures" if counts.failed else "finish"
        state = mail.make_move(
            connection, mailing.organisation, mailing.mailing, ended, expected=mailing.state, by=SYSTEM
        )
    if state is None:
        return False  # paused or cancelled meanwhile
    if mailing.kind is mail.Kind.ANNOUNCEMENT:
        ended_as = "cancelled" if state == "cancelled" else "finished"
        data = [{**asdict(counts), "state": state}]
        emit(connection, mailing.organisation, f"rollcall.announcement.{ended_as}", data, [mailing.traceparent])
        ended_with = {name: n for name, n in asdict(counts).items() if name not in {"announcement", "state", "pending"}}
        numbers = {"organisation": mailing.organisation, "mailing": mailing.mailing}
        say(connection, "mailing.finished", **numbers, state=state, **ended_with)
    return True
