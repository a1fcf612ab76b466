"""Enrolling and withdrawing learners by hand."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from msgspec import Meta

from config import clock
from config.errors import Conflict
from config.phrases import REQUEST_NOT_APPLIED
from tasks import enrolments
from tasks.acts.acting import Doing, Nothing, act
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
from tasks.acts.paging import USUAL, After, Begun, Limit, Page, UnderWay, keys_after, page_ending_at
from tasks.enrolments import EnrolledLearner, EnrolmentCounts, RunningFanout

#: Enrolments that one page of a list looks at: tens of milliseconds.
SCANNED = 20_000


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
class RosterAsked:
    """Whose enrolments in a course: those that stand, those that were withdrawn, or all.

    A page looks at so many enrolments and may hold fewer than `limit`, even none: go on while `next` is not null.
    """

    course: str
    state: Literal["enrolled", "withdrawn", "all"] = "enrolled"
    limit: Limit = USUAL
    after: After | None = None


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
    id_, at = doing.event_id(), clock.now()
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
            raise Conflict(REQUEST_NOT_APPLIED())
        doing.record(connection, asked.course, after=said)
        return begun(connection, doing, found.fanout) if found.left else found.counts()


@act("enrolments.show", "GET enrolments/{fanout}")
def show(doing: Doing, asked: OneFanout) -> UnderWay[EnrolmentCounts]:
    """Show how far the enrolling of many is, and what came of it (R14)."""
    with doing.transaction() as connection:
        return document_of(connection, doing, asked.fanout)


@act("enrolments.running", "GET enrolments")
def running(doing: Doing, asked: Nothing) -> list[RunningFanout]:  # noqa: ARG001
    """List what enrols many at this moment, the oldest first; a hundred at most."""
    with doing.transaction() as connection:
        return enrolments.running(connection, doing.organisation.organisation, USUAL)


@act("courses.enrolments", "GET courses/{course}/enrolments")
def roster(doing: Doing, asked: RosterAsked) -> Page[EnrolledLearner]:
    """List who is enrolled in a course, in each cycle; who is inactive is shown as such, and keeps the enrolment."""
    number = doing.organisation.organisation
    listed = ("roster", number, asked.course, asked.state)
    after = keys_after(asked.after, tuple[int, int], *listed) or (0, 0)
    end: tuple[int, int] | None
    states = ["enrolled", "withdrawn"] if asked.state == "all" else [asked.state]
    with doing.transaction() as connection:
        course = known_course(connection, doing, asked.course)
        found = enrolments.enrolled_after(connection, number, course.course, after, states, SCANNED, asked.limit + 1)
        if len(found) > asked.limit:
            learner, last = found[asked.limit - 1]
            end = (last.cycle, learner)
        else:
            end = enrolments.roster_scanned_to(connection, number, course.course, after, SCANNED)
    return page_ending_at([one for _, one in found[: asked.limit]], end, *listed)


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
        happen(doing, "enrolment.withdrawn", said, clock.now())
    with doing.transaction() as connection:
        doing.record(connection, asked.course, after=said)
    return WithdrawnLearners(asked.course, ids, asked.cycle)
