"""Fan-outs: begun in the transaction of the event that causes them, done in chunks, one transaction each."""

from sqlalchemy import Connection

from config.database import retrying, share_organisation, transaction
from config.runtime import Runtime
from config.settings import Settings
from tasks import mail, work
from tasks.enrolments import courses, fanouts
from tasks.events import any_waiting_for_enrolment
from tasks.learners import chunks

#: Chunks that one survey looks through.
SURVEYED = 50

#: Listed learners for whom the planner may well look one by one.
FEW = 100


def launch(connection: Connection, settings: Settings, fanout: fanouts.Fanout, total: int) -> bool:
    """Do a fan-out over `total` learners: at once where it fits one chunk, else write down a piece for each chunk.

    Whether it is done. At once means: in the transaction of the event, so that what follows in the same stream finds it
    done; a small organisation's events take effect in the order they were sent. Where some are enrolled already, a
    survey comes first: what is in line with the rules costs a look, not a chunk.
    """
    organisation, size = fanout.organisation, settings.rollcall_chunk
    if total <= size:
        do_chunk(connection, settings, fanout, 1, total)
        return True
    if fanout.learners is None and fanouts.any_enrolled(connection, organisation, fanout.courses):
        surveys = chunks(total, size * SURVEYED)
        work.add(connection, organisation, "tasks", "enrolments.survey", fanout.fanout, surveys)
    else:
        work.add(connection, organisation, "tasks", "enrolments.chunk", fanout.fanout, chunks(total, size))
    return False


def survey(runtime: Runtime, piece: work.Piece) -> None:
    """Write down a piece for each chunk of a fan-out by rule in which there is anything to do."""
    size = runtime.settings.rollcall_chunk
    for attempt in retrying():
        with attempt, transaction(runtime.engine, piece.organisation) as connection:
            fanout = fanouts.load(connection, piece.organisation, piece.subject, 1, 0)
            if fanout is not None:
                to_do: set[int] = set()
                with fanouts.planned_for_sets(connection):
                    for number in fanout.courses:
                        course = courses.course_numbered(connection, piece.organisation, number)
                        to_do.update(fanouts.chunks_to_do(connection, fanout, course, piece.low, piece.high, size))
                ranges = [(place * size + 1, min((place + 1) * size, piece.high)) for place in sorted(to_do)]
                work.add(connection, piece.organisation, "tasks", "enrolments.chunk", piece.subject, ranges)
            work.finish(connection, piece)


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
    listed = fanout.learners
    if listed is not None and len(listed) < FEW:
        if listed:
            _enrol_and_tell(connection, settings, fanout, min(listed), max(listed))
        return
    with fanouts.planned_for_sets(connection):
        if listed is None:
            _enrol_and_tell(connection, settings, fanout, low, high)
        else:
            _enrol_and_tell(connection, settings, fanout, min(listed), max(listed))


def _enrol_and_tell(connection: Connection, settings: Settings, fanout: fanouts.Fanout, low: int, high: int) -> None:
    window = settings.rollcall_notice_window_seconds
    if fanout.cause == "request":
        followed = [fanouts.follow_request(connection, fanout, low, high, window)]
        fanouts.count_up(connection, fanout, followed[0])
    else:
        followed = [
            fanouts.follow_rules(
                connection,
                fanout,
                courses.course_numbered(connection, fanout.organisation, number),
                low,
                high,
                window,
            )
            for number in fanout.courses
        ]
    told = sum(counts.new.enrolled + counts.again.enrolled for counts in followed)
    if fanout.mailing is None or not told:
        return
    number, mailing, size = fanout.organisation, fanout.mailing, settings.rollcall_mail_batch
    if any(counts.again.enrolled for counts in followed):
        mail.open_for_enrolled(connection, number, mailing, fanout.courses, fanout.cycle, low, high)
    mail.enqueue(connection, number, mailing, "mail", low, high, told=told, size=size)
