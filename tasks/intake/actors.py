"""Applying what was stored: what waits though what it waits for is known, and what waits for its turn."""

from math import ceil

import structlog

from config.database import lock_organisations, retrying, transaction
from config.runtime import Runtime
from tasks import events, organisations, work
from tasks.intake.batch import KILLED, NOT_APPLIED, RACES, Batch, is_away, judge_messages, say_why
from tasks.intake.waiting import MOST_FREED, portion
from tasks.work import actor

log = structlog.get_logger()

#: Workers that tried an event by itself and never came back, after which it is set aside.
MOST_TRIES = 3

#: Into how many parts is divided what a worker never came back from.
SMALLER = 8


@actor("events.retake")
def retake(runtime: Runtime, piece: work.Piece) -> None:
    """Take what waits though what it waits for is known: starts and completions whose enrolment has come (R27), and
    what was too much for the transaction that made it known, each time the next of them."""
    number = piece.organisation
    with transaction(runtime.engine, number) as connection:
        id_ = organisations.numbered(connection, number).id
        page = events.waiting_in_vain(connection, number, id_, piece.subject, MOST_FREED)
    judge_messages(runtime.engine, [event for _, event in portion(page.stored)])
    for attempt in retrying():
        with attempt, transaction(runtime.engine, number) as connection:
            lock_organisations(connection, [number])
            id_ = organisations.numbered(connection, number).id
            page = events.waiting_in_vain(connection, number, id_, piece.subject, MOST_FREED)
            few = portion(page.stored)
            last = attempt.retry_state.attempt_number > RACES
            Batch(connection, runtime.settings, last=last).finish_stored(few)
            if page.more or len(few) < len(page.stored):
                after = (few[-1][0] if few else page.stored[-1]).seq
                work.add(connection, number, "tasks", "events.retake", after)
            work.finish(connection, piece)


@actor("events.take_turn")
def take_turn(runtime: Runtime, piece: work.Piece) -> None:
    """Take the next of what waits for its organisation's turn, in its order, and leave the rest to the next piece
    (R31). What a worker began and never came back from is taken in smaller parts, and those in smaller ones, until the
    event at fault is by itself and is set aside: whoever is killed for another reason loses no more than a part."""
    number = piece.organisation
    begun = _begun(runtime, piece)
    if begun == 1 and piece.lost >= MOST_TRIES:
        log.error("events.given_up", organisation=number)
        _give_up_first(runtime, number, KILLED)
    else:
        size = ceil(begun / SMALLER) or events.MOST_OF_TURN
        for _ in range(0, max(begun, 1), size):
            _take_next(runtime, number, size, None if begun == 1 else piece)
    with transaction(runtime.engine, number) as connection:
        events.finish_turn(connection, piece)


def _begun(runtime: Runtime, piece: work.Piece) -> int:
    """How many of what has its turn next somebody began to take with this piece, and never came back."""
    if piece.begun is None:
        return 0
    with transaction(runtime.engine, piece.organisation) as connection:
        page = events.next_of_turn(connection, piece.organisation, events.MOST_OF_TURN)
    return sum(one.seq <= piece.begun for one in page)


def _take_next(runtime: Runtime, number: int, most: int, piece: work.Piece | None) -> None:
    """Take so many events at most, in one transaction; where that fails, in halves, until the one at fault is by itself
    and set aside. Before they are tried, the piece says which of them are. Raises `LostLease`."""
    with transaction(runtime.engine, number) as connection:
        few = portion(events.next_of_turn(connection, number, most))
        if piece is not None and few:
            work.mark(connection, piece, few[-1][0].seq, runtime.lease)
    judge_messages(runtime.engine, [event for _, event in few])
    try:
        for attempt in retrying():
            with attempt, transaction(runtime.engine, number) as connection:
                last = attempt.retry_state.attempt_number > RACES
                _apply_next(Batch(connection, runtime.settings, last=last), number, max(len(few), 1))
    except Exception as problem:  # whatever it was, one event harms no other
        if is_away(problem):
            raise
        say_why("events.turn_not_taken", [event for _, event in few], problem)
    else:
        return
    if len(few) <= 1:
        _give_up_first(runtime, number, NOT_APPLIED)
    else:
        half = len(few) // 2
        _take_next(runtime, number, half, piece)
        _take_next(runtime, number, len(few) - half, piece)


def _apply_next(batch: Batch, number: int, most: int) -> None:
    """Apply so many events at most of what has its turn next; where none of it is an event, all of it is set aside."""
    lock_organisations(batch.connection, [number])
    left = events.next_of_turn(batch.connection, number, most)
    few = portion(left)
    if not few:
        for entry in left:
            events.give_up_in_turn(batch.connection, entry.seq, NOT_APPLIED)
    batch.finish_stored(few)


def _give_up_first(runtime: Runtime, number: int, detail: str) -> None:
    """Set aside what has its turn next."""
    with transaction(runtime.engine, number) as connection:
        for first in events.next_of_turn(connection, number, 1):
            events.give_up_in_turn(connection, first.seq, detail)
