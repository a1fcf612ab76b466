"""Why something is as it is: of a learner, a course, an announcement, an entry of the ledger."""

from dataclasses import dataclass

from config.errors import NotFound
from config.phrases import NO_COURSE, NO_LEARNER
from tasks import enrolments, explaining, learners, mail
from tasks.acts.acting import Doing, act
from tasks.acts.announcements import found_by
from tasks.announcements import Announcement
from tasks.explaining import Explanation, Step


@dataclass(frozen=True, slots=True)
class LearnerExplained:
    """Whose story is asked for: the part of a course, of an announcement, or all of it."""

    learner: str
    course: str | None = None
    announcement: str | None = None


@dataclass(frozen=True, slots=True)
class EntryExplained:
    """Which entry of the ledger is asked about."""

    id: int


@act("learners.explain", "GET learners/{learner}/explain")
def learner(doing: Doing, asked: LearnerExplained) -> Explanation:
    """What led to how a learner stands, and what came of it: with a course, why they have access to it or not; with an
    announcement, why it went to them or not."""
    org = doing.organisation
    with doing.transaction() as connection:
        profile = learners.profile(connection, org.organisation, asked.learner)
        if profile is None:
            raise NotFound(NO_LEARNER(learner=repr(asked.learner), organisation=repr(org.id)))
        about = f"learner {profile.id}"
        steps = explaining.steps_of(connection, org.organisation, profile.learner, asked.course)
        if asked.announcement is not None:
            announcement = found_by(connection, org, asked.announcement)
            forgotten = mail.is_forgotten(connection, org.organisation, announcement.mailing)
            return _of_announcement(about, announcement, steps, forgotten=forgotten)
        held = explaining.unresolved_starts(connection, org.id, profile.id, asked.course)
        steps = explaining.in_order([*steps, *held])
        if asked.course is None:
            return explaining.explained(about, f"became {profile.standing}", steps)
        found = enrolments.explain(connection, org.organisation, profile.learner, asked.course)
        if found is None:
            raise NotFound(NO_COURSE(course=repr(asked.course), organisation=repr(org.id)))
        because = explaining.of_access(profile.standing == learners.Standing.ACTIVE, found.missing, steps)
        return explaining.explained(f"{about}, course {asked.course}", because, steps)


def _of_announcement(about: str, found: Announcement, steps: list[Step], *, forgotten: bool) -> Explanation:
    """Why an announcement went to a learner, or did not."""
    about = f"{about}, announcement {found.announcement}"
    mine = [one for one in steps if one.subject == found.announcement]
    rest = [one for one in steps if one.what in {"became active", "became inactive", "unsubscribed", "suppressed"}]
    if found.launched_at is None:
        return explaining.explained(about, "announcement not launched", rest)
    launched = explaining.step(found.launched_at, "announcement launched", subject=found.announcement)
    because = mine[0].what if mine else "mail no longer kept" if forgotten else "not selected"
    return explaining.explained(about, because, explaining.in_order([*rest, launched, *mine]))


@act("seats.explain", "GET seats/ledger/{id}/explain")
def entry(doing: Doing, asked: EntryExplained) -> Explanation:
    """Why a seat or credits were charged, and what became known of it later."""
    org = doing.organisation
    with doing.transaction() as connection:
        charge = explaining.charge_of(connection, org.organisation, asked.id)
        if charge is None:
            raise NotFound(f"There is no entry {asked.id} in the ledger of the organisation {org.id!r}.")
        steps = explaining.steps_of(connection, org.organisation, charge.learner, charge.course)
    own = [one for one in steps if one.subject in {None, str(asked.id)} or not one.what.startswith(_OF_ENTRIES)]
    about = f"entry {asked.id}, course {charge.course}"
    return explaining.explained(about, f"charged a {charge.unit}", own)


#: How the codes of steps begin that are about one entry.
_OF_ENTRIES = ("charged", "overdrawn", "flagged", "reviewed")
