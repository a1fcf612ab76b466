"""Fan-outs: begun in the transaction of the event that causes them, done in chunks, one transaction each."""

from sqlalchemy import Connection

from config.database import retrying, share_organisation, transaction
from config.runtime import Runtime
from config.settings import Settings
from tasks import mail, work
from tasks.enrolments import courses, fanouts
from tasks.events import any_waiting_for_enrolment
from tasks.learners import chunks


def launch(connection: Connection, settings: Settings, fanout: fanouts.Fanout, total: int) -> bool:
    """Do a fan-out over `total` learners: at once where it fits one chunk, else write down a piece for each chunk.

    Whether it is done. At once means: in the transaction of the event, so that what follows in the same stream finds it
    done; a small organisation's events take effect in the order they were sent.
    """
    if total <= settings.rollcall_chunk:
        do_chunk(connection, settings, fanout, 1, total)
        return True
    work.add(
        connection,
        fanout.organisation,
        "tasks",
        "enrolments.chunk",
        fanout.fanout,
        chunks(total, settings.rollcall_chunk),
    )
    return False


def chunk(runtime: Runtime, piece: work.Piece) -> None:
    """Do one chunk of a fan-out: enrolments, their notices and the events that tell of them, or nothing of it."""
    for attempt in retrying():
        with attempt, transaction(runtime.engine, piece.organisation) as connection:
            share_organisation(connection, piece.organisation)
            fanout = fanouts.load(connection, piece.organisation, piece.subject, piece.low, piece.high)
            if fanout is not None:
                do_chunk(connection, runtime.settings, fanout, piece.low, piece.high)
                if any_waiting_for_enrolment(connection, piece.organisation, fanout.courses):
                    work.add(connection, piece.organisation, "tasks", "events.retake", fanout.fanout)
            work.finish(connection, piece)


def do_chunk(connection: Connection, settings: Settings, fanout: fanouts.Fanout, low: int, high: int) -> None:
    """One chunk: of the learners numbered from `low` to `high`, or of those the fan-out lists."""
    if fanout.learners is None:
        with fanouts.planned_for_sets(connection):
            _enrol_and_tell(connection, settings, fanout, low, high)
    elif fanout.learners:
        _enrol_and_tell(connection, settings, fanout, min(fanout.learners), max(fanout.learners))


def _enrol_and_tell(connection: Connection, settings: Settings, fanout: fanouts.Fanout, low: int, high: int) -> None:
    window = settings.rollcall_notice_window_seconds
    if fanout.cause == "request":
        counts = fanouts.follow_request(connection, fanout, low, high, window)
        fanouts.count_up(connection, fanout, counts)
        enrolled = counts.enrolled
    else:
        enrolled = 0
        for number in fanout.courses:
            course = courses.course_numbered(connection, fanout.organisation, number)
            enrolled += fanouts.follow_rules(connection, fanout, course, low, high, window).enrolled
    if fanout.mailing is not None and enrolled:
        mail.open_for_enrolled(connection, fanout.organisation, fanout.mailing, fanout.courses, fanout.cycle, low, high)
        mail.enqueue(connection, fanout.organisation, fanout.mailing, "mail", low, high, settings.rollcall_mail_batch)
