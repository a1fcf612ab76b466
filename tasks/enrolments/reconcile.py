"""Whether enrolments are what the rules say, and making them so."""

from datetime import datetime

from sqlalchemy import Connection

from config.settings import Settings
from tasks.enrolments import access, courses, fanouts, surveying
from tasks.enrolments.launching import launch
from tasks.organisations import Organisation


def off_the_rules(
    connection: Connection, organisation: int
) -> list[tuple[courses.Course, surveying.EnrolmentDifference]]:
    """The courses whose enrolments are not what their rules say (R7, R9, R10)."""
    looked_at = [
        (course, surveying.off_the_rules(connection, organisation, course))
        for course in courses.all_courses(connection, organisation)
    ]
    return [(course, off) for course, off in looked_at if off.missing or off.surplus]


def mend(connection: Connection, settings: Settings, organisation: Organisation, time: datetime) -> None:
    """Bring every course that is off in line with its rules, by a fan-out that mails nobody: many were told before."""
    off = [course.course for course, _ in off_the_rules(connection, organisation.organisation)]
    access.mend_unopened(connection, organisation.organisation)
    if off:
        fanout = fanouts.begin(
            connection,
            organisation.organisation,
            courses=off,
            cycle=1,
            cause="rule",
            occurred_at=time,
            mailing=None,
        )
        launch(connection, settings, fanout, organisation.learners)
