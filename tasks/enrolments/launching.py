"""Doing a fan-out: at once where it is small, else chunk by chunk."""

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta

from sqlalchemy import Connection

from config.database import fits, planned_for_sets
from config.settings import Settings
from tasks import mail, work
from tasks.enrolments import courses, enrolling, fanouts, overtaken
from tasks.enrolments.settling import settle
from tasks.learners import chunks

#: Chunks that one survey looks through.
SURVEYED = 50


def launch(connection: Connection, settings: Settings, fanout: fanouts.Fanout, total: int) -> None:
    """Do a fan-out over `total` learners: at once where it fits, with what the transaction did before, one chunk, else
    write down a piece for each chunk.

    At once means: in the transaction of the event, so that what follows in the same stream finds it done; a small
    organisation's events take effect in the order they were sent. Where it is about all learners, a survey comes first:
    numbers that were only mentioned, and what is in line with the rules, make no chunk.
    """
    if fits(connection, total * len(fanout.courses), settings.rollcall_chunk):
        do_chunk(connection, settings, fanout, 1, total)
        return
    if fanout.learners is None:
        actor, size = "enrolments.survey", settings.rollcall_chunk * SURVEYED
    else:
        actor, size = "enrolments.chunk", learners_in_chunk(settings, fanout)
    work.add(connection, fanout.organisation, "tasks", actor, fanout.fanout, chunks(total, size))


def learners_in_chunk(settings: Settings, fanout: fanouts.Fanout) -> int:
    """Of how many learners a chunk is: each may be enrolled in every course of the fan-out."""
    return max(settings.rollcall_chunk // max(len(fanout.courses), 1), 1)


def do_chunk(connection: Connection, settings: Settings, fanout: fanouts.Fanout, low: int, high: int) -> None:
    """One chunk: of the learners numbered from `low` to `high`, or of those the fan-out lists."""
    if fanout.learners is not None:
        if not fanout.learners:
            return
        low, high = min(fanout.learners), max(fanout.learners)
    late = overtaken.overtaken(connection, fanout, low, high)
    with planned_for_sets(connection) if fanout.learners is None else nullcontext():
        followed = _enrol(connection, settings, fanout, low, high)
    again = any(counts.again.enrolled for counts in followed)
    told = again or any(counts.new.enrolled for counts in followed)
    _settle_overtaken(connection, settings, fanout, late)
    if fanout.mailing is not None and told:
        number, mailing, size = fanout.organisation, fanout.mailing, settings.rollcall_mail_batch
        if again:
            with planned_for_sets(connection):
                mail.open_for_enrolled(connection, number, mailing, fanout.courses, fanout.cycle, low, high)
        mail.enqueue(connection, number, mailing, "mail", low, high, size)
    if fanout.cause == "request":
        fanouts.count_up(connection, fanout, followed[0])  # the last: every other chunk waits for this row


def _enrol(
    connection: Connection, settings: Settings, fanout: fanouts.Fanout, low: int, high: int
) -> list[fanouts.Counts]:
    """What became of them, by course."""
    window = settings.rollcall_notice_window_seconds
    if fanout.cause == "request":
        return [enrolling.follow_request(connection, fanout, low, high, window)]
    ruled = courses.courses_numbered(connection, fanout.organisation, fanout.courses)
    return enrolling.follow_rules(connection, fanout, ruled, low, high, window)


def _settle_overtaken(
    connection: Connection, settings: Settings, fanout: fanouts.Fanout, late: Sequence[tuple[int, int]]
) -> None:
    """Where something newer was heard of a learner before this, their past is told anew (R6)."""
    if late and fanout.cause == "request":
        overtaken.remember_selected(connection, fanout, [learner for _, learner in late])
    settle(connection, fanout.organisation, late, timedelta(seconds=settings.rollcall_start_lead_seconds))
