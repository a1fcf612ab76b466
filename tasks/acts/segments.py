"""Segments, and who is in them."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from config.errors import Conflict, NotFound
from config.phrases import NO_SEGMENT
from config.recent import Recent
from config.words import some_of
from tasks import learners
from tasks.acts.acting import Doing, act
from tasks.acts.changing import begun, happen, in_parts, known_learners, known_segments, moment_after, under_way
from tasks.acts.paging import Begun, Page, PageAsked, keys_after, page
from tasks.enrolments import EnrolmentCounts
from tasks.learners import MemberCounts, SegmentDetails

#: Memberships that are counted at most: tens of milliseconds.
COUNTED = 20_000

#: Members from which on they are counted anew after so many seconds, not for each who looks.
MANY, COUNTED_SECONDS = 5000, 3.0

_RECENT: Recent[MemberCounts] = Recent(
    COUNTED_SECONDS, lambda counted: counted.more or counted.active + counted.inactive >= MANY
)


@dataclass(frozen=True, slots=True)
class OneSegment:
    """Which segment."""

    segment: str


@dataclass(frozen=True, slots=True)
class NamedSegment:
    """A segment and its name."""

    segment: str
    name: Annotated[str, Meta(max_length=1000)]


@dataclass(frozen=True, slots=True)
class MembersNamed:
    """Who is to join a segment, or to leave it. `dry_run`: only for how many that would be a change."""

    segment: str
    learners: Annotated[list[str], Meta(max_length=100_000)]
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Members:
    """Whose membership was named, and for how many of them that was a change."""

    segment: str
    learners: list[str]
    changed: int


def _all(members: list[Members]) -> Members:
    named = [id_ for one in members for id_ in one.learners]
    return Members(members[0].segment, named, sum(one.changed for one in members))


@act("segments.list", "GET segments")
def list_(doing: Doing, asked: PageAsked) -> Page[SegmentDetails]:
    """List segments, in the order of their ids."""
    number = doing.organisation.organisation
    (after,) = keys_after(asked.after, tuple[str], "segments", number) or ("",)
    with doing.transaction() as connection:
        found = learners.segments_after(connection, number, after, asked.limit + 1)
    return page(found, asked.limit, lambda one: (one.segment,), "segments", number)


@act("segments.show", "GET segments/{segment}")
def show(doing: Doing, asked: OneSegment) -> SegmentDetails:
    """Show a segment."""
    with doing.transaction() as connection:
        found = learners.segment_details(connection, doing.organisation.organisation, asked.segment)
    if found is None:
        raise NotFound(NO_SEGMENT(segment=repr(asked.segment), organisation=repr(doing.organisation.id)))
    return found


@act("segments.counts", "GET segments/{segment}/counts")
def counts(doing: Doing, asked: OneSegment) -> MemberCounts:
    """Count the members of a segment: active, and inactive ones, who stay in it (R9)."""
    number = doing.organisation.organisation
    with doing.transaction() as connection:
        segment = known_segments(connection, doing, [asked.segment])[asked.segment]
        return _RECENT.ask(
            connection, (number, segment), lambda: learners.member_counts(connection, number, segment, COUNTED)
        )


@act("segments.save", "PUT segments/{segment}", conditional=True)
def save(doing: Doing, asked: NamedSegment) -> SegmentDetails:
    """Name a segment, and make it if there is none."""
    with doing.alone(f"segment {asked.segment}"):
        return _save(doing, asked)


def _save(doing: Doing, asked: NamedSegment) -> SegmentDetails:
    with doing.transaction() as connection:
        before = learners.segment_details(connection, doing.organisation.organisation, asked.segment)
        doing.check_unchanged(before)
        was, is_now = None if before is None else {"name": before.name}, {"name": asked.name}
        doing.record(connection, asked.segment, before=was, after=is_now, outcome="begun")
    at = moment_after(None if before is None else before.saved_at)
    happen(doing, "segment.saved", {"segment": asked.segment, "name": asked.name}, at)
    with doing.transaction() as connection:
        doing.record(connection, asked.segment, before=was, after=is_now)
    return show.does(doing, OneSegment(asked.segment))


@act("segments.join", "POST segments/{segment}/members", each="learners", together=in_parts(_all))
def join(doing: Doing, asked: MembersNamed) -> Members | Begun[EnrolmentCounts]:
    """Let learners join a segment; the courses that are linked to it enrol them (R9, R10)."""
    return _move(doing, asked, member=True)


@act("segments.leave", "DELETE segments/{segment}/members", each="learners", together=in_parts(_all))
def leave(doing: Doing, asked: MembersNamed) -> Members | Begun[EnrolmentCounts]:
    """Let learners leave a segment; who is in a course by it alone is withdrawn (R9, R10)."""
    return _move(doing, asked, member=False)


def _move(doing: Doing, asked: MembersNamed, *, member: bool) -> Members | Begun[EnrolmentCounts]:
    number, ids = doing.organisation.organisation, list(dict.fromkeys(asked.learners))
    with doing.transaction() as connection:
        segment = known_segments(connection, doing, [asked.segment])[asked.segment]
        numbers = {one.learner: id_ for id_, one in known_learners(connection, doing, ids).items()}
        inside = {*learners.members_among(connection, number, segment, list(numbers))}
        newest = learners.newest_membership(connection, number, segment, list(numbers))
        if asked.dry_run:
            return Members(asked.segment, ids, sum((one in inside) != member for one in numbers))
        doing.record(connection, asked.segment, after={"member": member, "learners": ids}, outcome="begun")
    at = moment_after(newest)
    if ids:
        event = "segment.joined" if member else "segment.left"
        happen(doing, event, {"segment": asked.segment, "learners": ids}, at)
    with doing.transaction() as connection:
        now = {*learners.members_among(connection, number, segment, list(numbers))}
        ahead = [id_ for one, id_ in numbers.items() if (one in now) != member]
        if ahead:
            raise Conflict(f"A change that came meanwhile holds for {some_of(ahead)}: ask again.")
        doing.record(connection, asked.segment, after={"member": member, "learners": ids})
        fanout = under_way(connection, doing, at)
        changed = sum((one in inside) != member for one in numbers)
        return Members(asked.segment, ids, changed) if fanout is None else begun(connection, doing, fanout)
