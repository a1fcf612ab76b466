"""Applying what was stored: what waits though what it waits for is known, and what waits for its turn."""

import structlog

from config.database import lock_organisations, retrying, transaction
from config.runtime import Runtime
from tasks import events, organisations, work
from tasks.intake.batch import KILLED, NOT_APPLIED, RACES, Batch, is_away, judge_messages, say_why
from tasks.intake.waiting import MOST_FREED, portion
from tasks.work import LostLease, actor

log = structlog.get_logger()

#: Workers that tried an event by itself and never came back, after which it is set aside.
MOST_TRIES = 3


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
    (R31). Where that failed, or ended its process, the events are taken one by one, and the one at fault is set
    aside."""
    if piece.lost <= 1 and piece.begun is None:
        try:
            _take_next(runtime, piece.organisation, events.MOST_OF_TURN, piece)
        except LostLease:
            raise
        except Exception as problem:  # whatever it was, one event harms no other
            if is_away(problem):
                raise
            say_why("events.turn_not_taken", [], problem)
        else:
            return
    _take_one_by_one(runtime, piece)
    with transaction(runtime.engine, piece.organisation) as connection:
        events.finish_turn(connection, piece)


def _take_next(runtime: Runtime, number: int, most: int, piece: work.Piece | None = None) -> None:
    """Take so many events at most, in one transaction, which finishes the piece if there is one."""
    with transaction(runtime.engine, number) as connection:
        few = portion(events.next_of_turn(connection, number, most))
    judge_messages(runtime.engine, [event for _, event in few])
    for attempt in retrying():
        with attempt, transaction(runtime.engine, number) as connection:
            lock_organisations(connection, [number])
            left = events.next_of_turn(connection, number, max(len(few), 1))
            few = portion(left)
            for broken in left[:1] if not few else ():
                events.give_up_in_turn(connection, broken.seq, NOT_APPLIED)
            last = attempt.retry_state.attempt_number > RACES
            Batch(connection, runtime.settings, last=last).finish_stored(few)
            if piece is not None:
                events.finish_turn(connection, piece)


def _take_one_by_one(runtime: Runtime, piece: work.Piece) -> None:
    number = piece.organisation
    for _ in range(events.MOST_OF_TURN):
        with transaction(runtime.engine, number) as connection:
            first = next(iter(events.next_of_turn(connection, number, 1)), None)
            if first is None:
                return
            if first.seq != piece.begun:
                work.mark(connection, piece, first.seq, runtime.lease)
            elif piece.lost >= MOST_TRIES:
                log.error("events.given_up", organisation=number)
                events.give_up_in_turn(connection, first.seq, KILLED)
                continue
        try:
            _take_next(runtime, number, 1)
        except Exception as problem:  # whatever it was, one event harms no other
            if is_away(problem):
                raise
            say_why("events.turn_not_taken", [], problem)
            with transaction(runtime.engine, number) as connection:
                events.give_up_in_turn(connection, first.seq, NOT_APPLIED)
