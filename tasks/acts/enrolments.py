"""Enrolling and withdrawing learners by hand."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta

from config.errors import Conflict
from tasks import enrolments
from tasks.acts.acting import Doing, act
from tasks.acts.changing import (
    Cycle,
    begun,
    check_selection,
    document_of,
    happen,
    in_parts,
    known_course,
    known_learners,
    known_segments,
)
from tasks.acts.paging import Begun, UnderWay
from tasks.enrolments import EnrolmentCounts


@dataclass(frozen=True, slots=True)
class EnrolmentsAsked:
    """Whom to enrol: `learners` as ticked in a `tab`, or the members of a `segment`; `notify`: are they told?
    `dry_run`: only whether it can be asked for."""

    course: str
    learners: Annotated[list[str], Meta(max_length=100_000)] | None = None
    tab: Literal["active", "all"] | None = None
    segment: str | None = None
    cycle: Cycle = 1
    notify: bool = True
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class WithdrawalAsked:
    """Whom to withdraw from a course: in one cycle, or in all. `dry_run`: only whether all are known."""

    course: str
    learners: Annotated[list[str], Meta(max_length=100_000)]
    cycle: Cycle | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class WithdrawnLearners:
    """Who is not enrolled in a course any more."""

    course: str
    learners: list[str]
    cycle: int | None


@dataclass(frozen=True, slots=True)
class OneFanout:
    """Which of those that were begun."""

    fanout: int


def _sum(counts: list[EnrolmentCounts]) -> EnrolmentCounts:
    not_eligible = sum((Counter(one.not_eligible) for one in counts), Counter[str]())
    sums = {name: sum(getattr(one, name) for one in counts) for name in ("selected", "enrolled", "silent", "already")}
    return replace(counts[0], **sums, not_eligible=dict(not_eligible))


def _all_withdrawn(answers: list[WithdrawnLearners]) -> WithdrawnLearners:
    return replace(answers[0], learners=[id_ for answer in answers for id_ in answer.learners])


@act("enrolments.request", "POST courses/{course}/enrolments", each="learners", together=in_parts(_sum))
def request(doing: Doing, asked: EnrolmentsAsked) -> EnrolmentCounts | Begun[EnrolmentCounts]:
    """Enrol learners in a course (R8, R9, R11, R13, S16); answers the counts of R14."""
    check_selection(asked.learners, asked.tab, asked.segment)
    id_, at = doing.event_id(), datetime.now(UTC)
    said: dict[str, object] = {"request": id_, "course": asked.course, "cycle": asked.cycle, "notify": asked.notify}
    said |= {"segment": asked.segment} if asked.segment is not None else {"learners": asked.learners, "tab": asked.tab}
    with doing.transaction() as connection:
        known_course(connection, doing, asked.course)
        if asked.segment is not None:
            known_segments(connection, doing, [asked.segment])
        if asked.dry_run:
            return EnrolmentCounts(None, asked.course, 0, 0, 0, 0, {})
        doing.record(connection, asked.course, after=said, outcome="begun")
    happen(doing, "enrolment.requested", said, at)
    with doing.transaction() as connection:
        found = enrolments.fanout_details(connection, doing.organisation.organisation, request=id_)
        if found is None:
            raise Conflict("The request could not be applied: rollcall events quarantined says why.")
        doing.record(connection, asked.course, after=said)
        return begun(connection, doing, found.fanout) if found.left else found.counts()


@act("enrolments.show", "GET enrolments/{fanout}")
def show(doing: Doing, asked: OneFanout) -> UnderWay[EnrolmentCounts]:
    """Show how far the enrolling of many is, and what came of it (R14)."""
    with doing.transaction() as connection:
        return document_of(connection, doing, asked.fanout)


@act("enrolments.withdraw", "DELETE courses/{course}/enrolments", each="learners", together=_all_withdrawn)
def withdraw(doing: Doing, asked: WithdrawalAsked) -> WithdrawnLearners:
    """Withdraw learners from a course by name (R10, S4): no access, also if a rule or a segment still enrols them."""
    ids = list(dict.fromkeys(asked.learners))
    said: dict[str, object] = {"course": asked.course, "learners": ids}
    said |= {} if asked.cycle is None else {"cycle": asked.cycle}
    with doing.transaction() as connection:
        known_course(connection, doing, asked.course)
        known_learners(connection, doing, ids)
        if asked.dry_run:
            return WithdrawnLearners(asked.course, [], asked.cycle)
        doing.record(connection, asked.course, after=said, outcome="begun")
    if ids:
        happen(doing, "enrolment.withdrawn", said, datetime.now(UTC))
    with doing.transaction() as connection:
        doing.record(connection, asked.course, after=said)
    return WithdrawnLearners(asked.course, ids, asked.cycle)
