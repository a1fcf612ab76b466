"""Numbers over time, by course and by segment, and what is used of a pool: as pages show them, which do not count."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Annotated, Any, TypeVar

from msgspec import Meta
from sqlalchemy import Connection

from tasks import analytics, reports, seats
from tasks.acts.acting import Doing, Nothing, act
from tasks.acts.changing import known_course
from tasks.acts.paging import Page, PageAsked, keys_after, page, page_ending_at
from tasks.analytics import CountState, SegmentSummary, TrainingDay, UsedDay
from tasks.reports import CourseSummary

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class AnalyticsOf:
    """One course, or all; over so many days, up to today."""

    course: str | None = None
    days: Annotated[int, Meta(ge=7, le=366)] = 90


@dataclass(frozen=True, slots=True)
class Analytics:
    """What the active started and completed on each day (UTC) since one, up to today; and when it was counted: null if
    it is being counted for the first time. `counting`: it is being counted anew."""

    course: str | None
    counted_at: datetime | None
    counting: bool
    days: list[TrainingDay]


@dataclass(frozen=True, slots=True)
class ArchivedEnrolment:
    """An enrolment of somebody who is inactive, and how far it came."""

    course: str
    title: str
    cycle: int
    enrolled_at: datetime
    silent: bool
    started_at: datetime | None
    completed_at: datetime | None
    result: str | None
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class ArchivedLearner:
    """Somebody who is inactive, with their training history (R30)."""

    learner: str
    username: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    enrolments: list[ArchivedEnrolment]


@dataclass(frozen=True, slots=True)
class PoolUse:
    """What was used of the pool of the current licence period, by day (UTC); `ends` is the first moment after it.
    `periods`: what is used in each that there was, the latest first.
    `runs_out`: the day on which the pool is used up if use goes on as in the last `pace_days`, which is `per_day`;
    null: not within the period. `counted_at` and `counting`: see `Analytics`."""

    licence: str
    unit: str
    pool: int | None
    used: int
    entries: int
    overdrawn: int
    starts: datetime | None
    ends: datetime | None
    days: list[UsedDay]
    pace_days: int
    per_day: float
    runs_out: date | None
    periods: list[seats.KeptBalance]
    counted_at: datetime | None
    counting: bool


@act("reports.analytics", "GET reports/analytics")
def of_days(doing: Doing, asked: AnalyticsOf) -> Analytics:
    """Count what the active started and completed by day, in one course or in all (R29)."""
    number = doing.organisation.organisation
    with doing.transaction() as connection:
        if asked.course is not None:
            known_course(connection, doing, asked.course)
        known, counting = _state(connection, number)
        today = known.now.date()
        since = today - timedelta(days=asked.days - 1)
        found = {one.day: one for one in analytics.days(connection, number, asked.course, since, live=known.live)}
    each = (since + timedelta(days=n) for n in range(asked.days))
    return Analytics(
        asked.course,
        _counted_at(known),
        counting,
        [found.get(day) or TrainingDay(day, 0, 0) for day in each],
    )


@act("reports.by_course", "GET reports/by-course")
def by_course(doing: Doing, asked: PageAsked) -> Page[CourseSummary]:
    """List courses with how far the active have come in each, those with most enrolled first (R29)."""
    return _listed(doing, asked, analytics.courses, lambda one: (one.enrolled, one.course))


@act("reports.by_segment", "GET reports/by-segment")
def by_segment(doing: Doing, asked: PageAsked) -> Page[SegmentSummary]:
    """List segments with how far their active members have come, those with most enrolments first (R29)."""
    return _listed(doing, asked, analytics.segments, lambda one: (one.enrolled, one.segment))


@act("reports.archived", "GET reports/archived")
def archived(doing: Doing, asked: PageAsked) -> Page[ArchivedLearner]:
    """List the inactive with their training history, in the order in which they were added (R29, R30)."""
    number = doing.organisation.organisation
    (after,) = keys_after(asked.after, tuple[int], "reports.archived", number) or (0,)
    with doing.transaction() as connection:
        found = reports.archived(connection, number, after, asked.limit + 1)
    each = [[*rows] for _, rows in groupby(found, lambda row: row.number)]
    shown = each[: asked.limit]
    last = (shown[-1][0].number,) if len(each) > asked.limit else None
    return page_ending_at([_archived(rows) for rows in shown], last, "reports.archived", number)


@act("seats.use", "GET seats/use")
def use(doing: Doing, asked: Nothing) -> PoolUse:  # noqa: ARG001
    """Count what was used of the pool in this period by day, and say when it is used up if that goes on."""
    org = doing.organisation
    with doing.transaction() as connection:
        known, counting = _state(connection, org.organisation)
        days = analytics.used_days(connection, org, live=known.live)
        periods = seats.kept_balances(connection, org.organisation)
    starts, ends = org.licence_starts, org.licence_ends
    expected = analytics.forecast(org.pool, days, starts and starts.date(), ends and ends.date(), known.now.date())
    return PoolUse(
        org.licence,
        seats.unit_of(org),
        org.pool,
        sum(one.used for one in days),
        sum(one.entries for one in days),
        sum(one.overdrawn for one in days),
        starts,
        ends,
        days,
        expected.days,
        expected.per_day,
        expected.runs_out,
        periods,
        _counted_at(known),
        counting,
    )


def _state(connection: Connection, organisation: int) -> tuple[CountState, bool]:
    """How an organisation is counted, and whether a worker is at it: one is asked if it is time."""
    known = analytics.state(connection, organisation)
    return known, analytics.ask_for_count(connection, organisation, known)


def _counted_at(known: CountState) -> datetime | None:
    return known.now if known.live else known.counted_at


def _listed(
    doing: Doing, asked: PageAsked, find: Callable[..., list[Item]], keys: Callable[[Item], tuple[Any, ...]]
) -> Page[Item]:
    number = doing.organisation.organisation
    listed = (doing.act, number)
    after = keys_after(asked.after, tuple[int, str], *listed) or analytics.FIRST
    with doing.transaction() as connection:
        known, _ = _state(connection, number)
        found = find(connection, number, live=known.live, after=after, limit=asked.limit + 1)
    return page(found, asked.limit, keys, *listed)


def _archived(rows: list[reports.ArchivedRow]) -> ArchivedLearner:
    first = rows[0]
    return ArchivedLearner(
        first.learner,
        first.username,
        first.email,
        first.first_name,
        first.last_name,
        [
            ArchivedEnrolment(
                row.course,
                row.title or row.course,
                row.cycle or 1,
                row.enrolled_at,
                bool(row.silent),
                row.started_at,
                row.completed_at,
                row.result,
                row.withdrawn_at,
            )
            for row in rows
            if row.course is not None and row.enrolled_at is not None
        ],
    )
