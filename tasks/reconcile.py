"""The reconciling pass: what is derived is compared with what it is derived from, and made to agree.

Events keep the two in line by themselves. After a restore of part of the tables, or a change by hand, this finds what
is off and mends it: standing from the history of status, memberships from that of segments, enrolments from the rules.
"""

import uuid
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from config import clock
from config.database import lock_organisations, without_nested_loops
from config.settings import Settings
from tasks import enrolments, intake, learners
from tasks.events import KnownCause
from tasks.organisations import Organisation

#: Learners restated at once.
SLICE = 1000


class Deviation(StrEnum):
    """What can be off."""

    STANDING = "standing"
    MEMBERSHIP = "membership"
    ACTIVATION = "activation"
    MISSING = "missing"
    SURPLUS = "surplus"


@dataclass(frozen=True, slots=True)
class DeviationCount:
    """How many learners, or enrolments of a course, are not as they should be."""

    organisation: str
    deviation: str
    course: str | None
    n: int


def deviations(connection: Connection, organisation: Organisation) -> list[DeviationCount]:
    """What is off, of one organisation; nothing of it while a fan-out is running means anything."""
    number = organisation.organisation
    without_nested_loops(connection)
    found = [
        (Deviation.STANDING, None, len(learners.standings_off(connection, number))),
        (Deviation.MEMBERSHIP, None, learners.memberships_off(connection, number)),
        (Deviation.ACTIVATION, None, enrolments.unopened(connection, number)),
    ]
    by_course = [
        entry
        for course, off in enrolments.off_the_rules(connection, number)
        for entry in ((Deviation.MISSING, course.id, off.missing), (Deviation.SURPLUS, course.id, off.surplus))
    ]
    return [DeviationCount(organisation.id, kind.value, course, n) for kind, course, n in [*found, *by_course] if n]


def repair(connection: Connection, settings: Settings, organisation: Organisation) -> None:
    """Mend what is off. What the platform must know of it is told as ever: access that began or ended, enrolments that
    changed. Nobody is mailed of an enrolment; large repairs are left to the workers, as fan-outs."""
    number = organisation.organisation
    lock_organisations(connection, [number])
    without_nested_loops(connection)
    cause = KnownCause(("rollcall:reconcile", f"repair-{uuid.uuid4()}"), clock.now())
    context = intake.EventContext(connection, settings, organisation)
    off = learners.standings_off(connection, number)
    for low in range(0, len(off), SLICE):
        changes = learners.restate(connection, number, off[low : low + SLICE])
        intake.follow(context, changes, {change.learner: cause for change in changes})
    intake.mail_admins(connection, context.effects)
    learners.mend_memberships(connection, number)
    enrolments.mend(connection, settings, organisation, cause.time)
    context.know_enrolments()
    intake.apply_waiting(connection, settings, context.effects)
