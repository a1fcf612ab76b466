"""An organisation that arrived since the last ANALYZE looks empty to the planner. Then a nested loop looks cheap, and
takes a minute here, days for a large one."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from config.database import execute
from tasks.reports import TRAINING, Format, Tab, course_counts, stream, summary
from tests.world import World

LEARNERS = 15_000

#: What makes an organisation of so many: learners, their memberships, their enrolments.
STATEMENTS = (
    """
    INSERT INTO learners (organisation, learner, id, standing, version)
    SELECT :organisation, 10 + n, 'L' || n, 'active', 1 FROM generate_series(1, :learners) AS n
    """,
    """
    INSERT INTO memberships (organisation, segment, learner, member, since)
    SELECT organisation, segment, learner, true, now() FROM segments JOIN learners USING (organisation)
    WHERE organisation = :organisation
    """,
    """
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at)
    SELECT organisation, course, 1, learner, false, 1, now() FROM courses JOIN learners USING (organisation)
    WHERE organisation = :organisation
    """,
)


def training(connection: Connection, organisation: int) -> int:
    """The rows of the training report."""
    report = b"".join(stream(connection, TRAINING, organisation, Tab.ACTIVE, Format.JSONL))
    return min(report.count(b'"segments":["nurses"]'), report.count(b'"sources":["segment:nurses"]'))


def analytics(connection: Connection, organisation: int) -> int:
    """The enrolments that the summary counts."""
    return sum(course.enrolled for course in summary(connection, organisation))


def counts(connection: Connection, organisation: int) -> int:
    """The enrolments that the counts by course count."""
    return sum(course.enrolled for course in course_counts(connection, organisation))


@pytest.mark.parametrize("asked", [training, analytics, counts])
def test_what_is_asked_of_it_takes_no_longer(world: World, asked: Callable[[Connection, int], int]) -> None:
    for world.organisation in ("acme", "new"):
        world.has_organisation()
        world.has_segment("nurses")
        world.has_course("safety", "segments", segments=["nurses"])
        with world.about() as (connection, org):
            number = org.organisation
            for statement in STATEMENTS:
                scope = {"organisation": number} | ({"learners": LEARNERS} if ":learners" in statement else {})
                execute(connection, statement, **scope)
            if world.organisation == "acme":
                execute(connection, "ANALYZE")

    with world.about() as (connection, _):
        execute(connection, "SET LOCAL statement_timeout = '4s'")
        assert asked(connection, number) == LEARNERS
