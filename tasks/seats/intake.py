"""What a course start and a completion do, in the transaction that takes them."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection

from config.counting import counts
from config.database import after_commit
from tasks.events import CourseCompleted, CourseStarted, Event, emit
from tasks.intake import EventContext
from tasks.organisations import Organisation
from tasks.seats import flags, pools, store
from tasks.seats.rules import (
    Facts,
    Occurrence,
    crossings,
    is_simple,
    judge_completion,
    judge_start,
    period_of,
    price,
    reached,
    reviews,
    unit_of,
)


def course_started(context: EventContext, events: Sequence[Event], lead: timedelta) -> list[tuple[int, int]]:
    """Count the starts that count, charge those that are the first, announce each charge with it (R23 to R28); where
    one may change when an enrolment stood: (course, learner) each.

    No learner is named by two of these events; the caller holds the organisation's lock.
    """
    connection, organisation, released = context.connection, context.organisation, context.released
    judged = _judge(connection, organisation, events, lead)
    counted = []
    for event, place, known in judged:
        why = judge_start(known, place, lead, released=released)
        if why is not None:
            context.defer(event, why)
        else:
            assert known.learner is not None and known.course is not None  # noqa: S101, PT018 - judged above
            start = store.StartRecord(
                known.learner, known.course, place.cycle, place.time, simple=is_simple(known, place) and not released
            )
            counted.append((event, known, start))
    store.record_starts(connection, organisation.organisation, [start for *_, start in counted], released=released)
    _charge(connection, organisation, [entry for entry in counted if not entry[1].charged])
    flagged = [
        (start, review, event.id)
        for event, known, start in counted
        for review in reviews(organisation, known, event.time)
    ]
    flags.flag(connection, organisation.organisation, flagged)
    for event, known, start in counted:
        if not known.active_then:  # so it was released
            flags.settle_released(connection, organisation.organisation, start, event.id)
    return [(start.course, start.learner) for *_, start in counted if not start.simple]


def _charge(
    connection: Connection, organisation: Organisation, counted: Sequence[tuple[Event, Facts, store.StartRecord]]
) -> None:
    if not counted:
        return
    unit, period = unit_of(organisation), period_of(organisation)
    total = before = store.used(connection, organisation)
    charges = []
    for event, known, start in counted:
        amount = price(organisation, known.cost)
        total += amount
        overdrawn = organisation.pool is not None and amount > 0 and total > organisation.pool
        charges.append(store.Charge(start.learner, start.course, start.cycle, amount, overdrawn, event.time, event.id))
    entries = store.consume(connection, organisation.organisation, unit, period, charges)
    after_commit(connection, lambda: counts.count("rollcall_starts_charged_total", len(entries), unit=unit.value))
    emit(
        connection,
        organisation.organisation,
        "rollcall.seat.consumed",
        [
            {
                "consumption": str(entries[charge.learner]),
                "learner": event.data.learner,
                "course": event.data.course,
                "cycle": charge.cycle,
                "unit": unit.value,
                "amount": charge.amount,
                "occurred_at": charge.occurred_at,
                "overdrawn": charge.overdrawn,
            }
            for (event, *_), charge in zip(counted, charges, strict=True)
            if isinstance(event.data, CourseStarted)
        ],
        [event.traceparent for event, *_ in counted],
    )
    if reached(organisation.pool, total) != reached(organisation.pool, before):
        charged = ((charge.amount, event.key) for (event, *_), charge in zip(counted, charges, strict=True))
        pools.warn(connection, organisation, crossings(organisation.pool, before, charged))


def course_completed(context: EventContext, events: Sequence[Event]) -> None:
    """Record completions; they never charge (S14)."""
    connection, organisation = context.connection, context.organisation
    done = []
    for event, place, known in _judge(connection, organisation, events, timedelta()):
        why = judge_completion(known, place)
        if why is not None:
            context.defer(event, why)
        else:
            data = event.data
            assert isinstance(data, CourseCompleted)  # noqa: S101 - the table of handlers says so
            assert known.learner is not None and known.course is not None  # noqa: S101, PT018 - judged above
            done.append(store.Completion(known.learner, known.course, place.cycle, event.time, data.result, data.score))
    if done:
        store.record_completions(connection, organisation.organisation, done)


def _judge(
    connection: Connection, organisation: Organisation, events: Sequence[Event], lead: timedelta
) -> list[tuple[Event, Occurrence, Facts]]:
    places = [
        Occurrence(organisation.organisation, event.data.learner, event.data.course, event.data.cycle, event.time)
        for event in events
        if isinstance(event.data, CourseStarted | CourseCompleted)
    ]
    known = store.facts(connection, organisation, places, lead)
    return list(zip(events, places, known, strict=True))
