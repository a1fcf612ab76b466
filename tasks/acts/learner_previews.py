"""What would come of a change of status, and how many learners stand how: said before anybody does it."""

from dataclasses import dataclass

from config.recent import Recent
from tasks import enrolments, learners
from tasks.acts.acting import Doing, Nothing, act
from tasks.acts.changing import known_learners
from tasks.acts.learners import LearnersStatus

#: Learners whom a preview names at most.
NAMED = 20

#: Inactive learners from which on they are counted anew after so many seconds, not for each who looks.
MANY, COUNTED_SECONDS = 10_000, 2.0

_COUNTED: Recent[learners.LearnerCounts] = Recent(COUNTED_SECONDS, lambda counted: counted.inactive >= MANY)


@dataclass(frozen=True, slots=True)
class StatusPreview:
    """What would come of it; selected = changed + already. Of those who change: `access`, the pairs of a learner and a
    course that open or close, in so many `courses`; `waiting`, those that were never open before (R4); `usernames`,
    who sign in by username, whose password becomes void (R5); `digests`, who are told by mail (R12); `first`, some of
    them by name."""

    status: str
    selected: int
    changed: int
    already: int
    access: int
    courses: int
    waiting: int
    usernames: int
    digests: int
    first: list[learners.LearnerSummary]


@act("learners.counts", "GET learner-counts")
def counts(doing: Doing, asked: Nothing) -> learners.LearnerCounts:  # noqa: ARG001
    """Count the learners of the tabs of the Users page."""
    number = doing.organisation.organisation
    with doing.transaction() as connection:
        return _COUNTED.ask(connection, number, lambda: learners.counts(connection, number))


@act("learners.preview", "POST learners/status/preview", changes=False)
def preview(doing: Doing, asked: LearnersStatus) -> StatusPreview:
    """Say what would come of a change of status: whose access ends or begins, whose password becomes void, who is told.
    Nothing is changed. Nothing is ever given back (R24), and becoming inactive sends no mail (R15)."""
    wanted, org = list(dict.fromkeys(asked.learners)), doing.organisation
    active = asked.status == "active"
    with doing.transaction() as connection:
        found = known_learners(connection, doing, wanted)
        changing = sorted(one.learner for one in found.values() if one.standing != asked.status)
        first = learners.summaries(connection, org.organisation, changing[:NAMED])
        stake = enrolments.at_stake(connection, org.organisation, changing)
    return StatusPreview(
        asked.status,
        len(wanted),
        len(changing),
        len(wanted) - len(changing),
        stake.access,
        stake.courses,
        stake.waiting if active else 0,
        stake.unreachable,
        stake.digests if active and org.reactivation_digest else 0,
        first,
    )
