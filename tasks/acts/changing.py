"""What acts that change learners, courses and segments share: they go the way of events, at once (S1)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

from msgspec import Meta
from sqlalchemy import Connection

from config import clock
from config.errors import Conflict, Invalid, NotFound
from config.phrases import NO_COURSE, NOT_APPLIED
from config.words import as_json, some_of
from tasks import enrolments, events, intake, learners
from tasks.acts.acting import Doing
from tasks.acts.paging import Begun, UnderWay

Counts = TypeVar("Counts")
Known = TypeVar("Known", learners.Learner, learners.DatedStanding)

#: A cycle of a course.
Cycle = Annotated[int, Meta(ge=1, le=2**31 - 1)]


def event_of(doing: Doing, type_: str, data: Mapping[str, object], at: datetime, part: str = "") -> bytes:
    """A change by hand, as an event like any other, without a version (S1); `part` tells those of one act apart."""
    return as_json(
        {
            "specversion": "1.0",
            "id": doing.event_id(part),
            "source": doing.source,
            "type": f"platform.{type_}",
            "time": at,
            "organisation": doing.organisation.id,
            "data": data,
        }
    )


def happen(doing: Doing, type_: str, data: Mapping[str, object], at: datetime) -> None:
    """Let something happen as if the platform said so; in effect when this returns. Raises `Invalid` for what no event
    can say, and `Conflict` where it could not be applied."""
    body = event_of(doing, type_, data, at)
    read = events.decode(body, now=at, skew=timedelta(seconds=1))
    if isinstance(read, events.Malformed):
        raise Invalid(f"It cannot be taken: {read.detail}.")
    known = {doing.organisation.id: doing.organisation.organisation}
    done = intake.process_batch(doing.runtime.engine, doing.runtime.settings, [body], at_once=True, known=known)
    if done.deferred:
        raise Conflict(NOT_APPLIED())


def check_selection(
    named: Sequence[str] | None, tab: str | None, segment: str | None, *, method: str | None = None
) -> None:
    """Raise `Invalid` unless it is said in one way whom something is about."""
    ways = [named is not None, segment is not None, method is not None]
    if sum(ways) != 1 or (tab is not None) != (named is not None):
        raise Invalid("Say whom: `learners` with `tab` (active or all), or `segment`.")


def moment_after(newest: datetime | None, now: datetime | None = None) -> datetime:
    """Now, or just after the newest that is known: what a person does holds, though a clock elsewhere is ahead (S1)."""
    now = now or clock.now()
    return now if newest is None else max(now, newest + timedelta(microseconds=1))


def known_learners(connection: Connection, doing: Doing, ids: Sequence[str]) -> dict[str, learners.Learner]:
    """These learners as they are, or a refusal that names those who are not known."""
    return all_known(doing, learners.find(connection, doing.organisation.organisation, ids), ids)


def all_known(doing: Doing, found: dict[str, Known], ids: Sequence[str]) -> dict[str, Known]:
    """What was found of these learners, or a refusal that names those who are not known."""
    known = {learners.Standing.ACTIVE, learners.Standing.INACTIVE}
    unknown = [id_ for id_ in ids if id_ not in found or found[id_].standing not in known]
    if unknown:
        raise NotFound(f"Nothing was changed: {doing.organisation.id!r} has no learner {some_of(unknown)}.")
    return found


def known_course(connection: Connection, doing: Doing, id_: str) -> enrolments.Course:
    """A course, or a refusal."""
    found = enrolments.find_course(connection, doing.organisation.organisation, id_)
    if found is None:
        raise NotFound(NO_COURSE(course=repr(id_), organisation=repr(doing.organisation.id)))
    return found


def known_segments(connection: Connection, doing: Doing, ids: Sequence[str]) -> dict[str, int]:
    """The numbers of these segments, or a refusal that names those that are not known."""
    found = learners.saved_segments(connection, doing.organisation.organisation, ids)
    unknown = [id_ for id_ in ids if id_ not in found]
    if unknown:
        raise NotFound(f"Nothing was changed: {doing.organisation.id!r} has no segment {some_of(unknown)}.")
    return found


def in_parts(
    add: Callable[[list[Counts]], Counts],
) -> Callable[[list[Counts | Begun[enrolments.EnrolmentCounts]]], Counts | Begun[enrolments.EnrolmentCounts]]:
    """What the answers to the parts of one request are: added up; or, if any is still under way, the last that is."""

    def answer(
        answers: list[Counts | Begun[enrolments.EnrolmentCounts]],
    ) -> Counts | Begun[enrolments.EnrolmentCounts]:
        running = [one for one in answers if isinstance(one, Begun)]
        return running[-1] if running else add([one for one in answers if not isinstance(one, Begun)])

    return answer


def under_way(connection: Connection, doing: Doing, at: datetime) -> int | None:
    """The fan-out that an event at this moment began, if it is not done yet."""
    return next(iter(enrolments.unfinished_since(connection, doing.organisation.organisation, at)), None)


def begun(connection: Connection, doing: Doing, fanout: int) -> Begun[enrolments.EnrolmentCounts]:
    """A large fan-out, which goes on by itself."""
    return Begun(f"enrolments/{fanout}", document_of(connection, doing, fanout))


def document_of(connection: Connection, doing: Doing, fanout: int) -> UnderWay[enrolments.EnrolmentCounts]:
    """How far a fan-out is."""
    found = enrolments.fanout_details(connection, doing.organisation.organisation, fanout=fanout)
    if found is None:
        raise NotFound(f"There is no fan-out {fanout} in the organisation {doing.organisation.id!r}.")
    if found.left:
        return UnderWay("running", max(0, found.total - found.left), found.total)
    return UnderWay("done", found.total, found.total, found.counts())
