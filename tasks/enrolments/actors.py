"""Fan-outs that were begun in the transaction of the event that caused them: chunks, one transaction each."""

from sqlalchemy import Connection

from config.database import planned_for_sets, retrying, share_organisation, transaction
from config.runtime import Runtime
from tasks import organisations, work
from tasks.enrolments import courses, fanouts, intake, surveying
from tasks.enrolments.launching import SURVEYED, do_chunk, learners_in_chunk
from tasks.events import any_waiting_for_enrolment
from tasks.work import actor

#: Learners of whom a chunk is divided at least: smaller ones cost a fan-out more than who waits gains.
DIVIDED = 4000


@actor("enrolments.survey")
def survey(runtime: Runtime, piece: work.Piece) -> None:
    """Write down a piece for each chunk of a fan-out by rule in which there is anything to do; where that is long to
    find out, a survey for each part of the learners."""
    for attempt in retrying():
        with attempt, transaction(runtime.engine, piece.organisation) as connection:
            number = piece.organisation
            fanout = fanouts.load(connection, number, piece.subject, piece.low, piece.high)
            if fanout is not None:
                size = learners_in_chunk(runtime.settings, fanout)
                parts = surveying.saved_stretches(connection, fanout, piece.low, piece.high, size * SURVEYED)
                if len(parts) > 1:
                    work.add(connection, number, "tasks", "enrolments.survey", piece.subject, parts, part_of=piece)
                for low, high in parts if len(parts) == 1 else ():
                    ranges = _chunks_to_do(connection, fanout, low, high, size)
                    work.add(connection, number, "tasks", "enrolments.chunk", piece.subject, ranges, part_of=piece)
            work.finish(connection, piece)


def _chunks_to_do(
    connection: Connection, fanout: fanouts.Fanout, low: int, high: int, size: int
) -> list[tuple[int, int]]:
    """Where nobody is enrolled yet, everybody is to be looked at."""
    if not surveying.any_enrolled(connection, fanout.organisation, fanout.courses):
        return surveying.saved_stretches(connection, fanout, low, high, size)
    to_do: set[int] = set()
    with planned_for_sets(connection):
        for course in courses.courses_numbered(connection, fanout.organisation, fanout.courses):
            to_do.update(surveying.chunks_to_do(connection, fanout, course, low, high, size))
    return [(max(place * size + 1, low), min((place + 1) * size, high)) for place in sorted(to_do)]


@actor("enrolments.chunk")
def chunk(runtime: Runtime, piece: work.Piece) -> None:
    """Do one chunk of a fan-out: enrolments, their notices and the events that tell of them, or nothing of it. While
    somebody changes the organisation, who waits for each chunk, it does half of one, and leaves the rest."""
    for attempt in retrying():
        with attempt, transaction(runtime.engine, piece.organisation) as connection:
            high = piece.high
            if not share_organisation(connection, piece.organisation) and high - piece.low + 1 >= DIVIDED:
                high = (piece.low + high) // 2
                rest = [(high + 1, piece.high)]
                work.add(connection, piece.organisation, "tasks", "enrolments.chunk", piece.subject, rest)
            fanout = fanouts.load(connection, piece.organisation, piece.subject, piece.low, high)
            if fanout is not None and fanout.times is not None:
                organisation = organisations.numbered(connection, piece.organisation)
                intake.follow_part(connection, runtime.settings, organisation, fanout)
            elif fanout is not None:
                do_chunk(connection, runtime.settings, fanout, piece.low, high)
            if fanout is not None and any_waiting_for_enrolment(connection, piece.organisation, fanout.courses or None):
                work.add(connection, piece.organisation, "tasks", "events.retake", 0)
            work.finish(connection, piece)
