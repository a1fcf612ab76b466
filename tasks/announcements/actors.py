"""An announcement's work: who is in its audience, its launch at its time, and cancelling what nobody works on."""

import time
from datetime import timedelta

import structlog

from config import clock
from config.database import lock_organisations, share_organisation, transaction
from config.runtime import Runtime
from tasks import mail, organisations, work
from tasks.announcements import store
from tasks.announcements.lifecycle import RESUMED, launch, make_audience, make_audiences, move
from tasks.announcements.rules import NotAllowed
from tasks.mail import SYSTEM
from tasks.work import actor

log = structlog.get_logger()


#: Seconds that cancelling goes on before others get their turn (R31).
TURN_SECONDS = 2.0


@actor("announcements.survey")
def survey(runtime: Runtime, piece: work.Piece) -> None:
    """Find out who of a stretch of learners is in an audience."""
    with transaction(runtime.engine, piece.organisation) as connection:
        share_organisation(connection, piece.organisation)
        make_audiences(
            connection, runtime.settings, piece.organisation, piece.subject, piece.low, piece.high, part_of=piece
        )
        work.finish(connection, piece)


@actor("announcements.audience")
def audience(runtime: Runtime, piece: work.Piece) -> None:
    """Make the part of an audience that lies in one stretch of learners."""
    with transaction(runtime.engine, piece.organisation) as connection:
        share_organisation(connection, piece.organisation)
        make_audience(connection, runtime.settings, piece.organisation, piece.subject, piece.low, piece.high)
        work.finish(connection, piece)


@actor("announcements.launch")
def launch_scheduled(runtime: Runtime, piece: work.Piece) -> None:
    """Launch what was scheduled for now; what is later than its grace, or cannot be sent as it is written, asks instead
    of firing (R20). What was scheduled anew meanwhile, for later, has another piece; one that is due before its time,
    by another clock, waits for it."""
    number = piece.organisation
    with transaction(runtime.engine, number) as connection:
        lock_organisations(connection, [number])
        found = store.numbered(connection, number, piece.subject)
        if found is not None and found.state == "scheduled" and found.send_at is not None:
            if not found.passed:
                work.release(connection, piece, after=found.send_at - clock.now(), failed=False)
                return
            grace = timedelta(seconds=runtime.settings.rollcall_grace_seconds)
            if clock.now() - found.send_at > grace:
                move(connection, number, found, "pass over", by=SYSTEM)
                log.warning("announcement.late", announcement=found.announcement)
            else:
                current = organisations.numbered(connection, number)
                try:
                    launch(connection, runtime.settings, current, found, by=SYSTEM)
                except NotAllowed:
                    move(connection, number, found, "pass over", by=SYSTEM)
                    log.warning("announcement.bad_template", announcement=found.announcement)
        work.finish(connection, piece)


@actor("announcements.cancel")
def cancel_rest(runtime: Runtime, piece: work.Piece) -> None:
    """Cancel what nobody works on, many pieces in one transaction each."""
    turn_ends = time.monotonic() + TURN_SECONDS
    while True:
        with transaction(runtime.engine, piece.organisation) as connection:
            if not mail.cancel_idle(connection, piece.organisation, piece.subject):
                work.resume(connection, piece.organisation, RESUMED, piece.subject)  # begun, and then paused
                work.finish(connection, piece)
                return
            if runtime.stopping.is_set() or time.monotonic() >= turn_ends:
                work.release(connection, piece, after=timedelta(), failed=False)
                return
