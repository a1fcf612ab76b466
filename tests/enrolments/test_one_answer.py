"""What is asked in Python as well, or in SQL of another shape, has the answer of the view or function that is asked
everywhere else: `tests/architecture/test_questions.py` lists where."""

from datetime import timedelta
from itertools import combinations, product

from config.database import rows
from config.sql import query
from tasks.enrolments.access import AccessFound
from tasks.enrolments.causes import EnrolmentCauses, EnrolmentKey, people_of
from tasks.enrolments.fragments import LINKED_LISTED
from tests.enrolments.test_rules import DAWN, SECOND, at
from tests.world import World

HOURS = (1, 2, 3)

#: Every history of two changes of status, the second of the same version or of a higher one, and of deletions.
HISTORIES = [
    (changes, deletions)
    for changes in product(product((1,), HOURS, (True, False)), product((1, 2), HOURS, (True, False)))
    if changes[0][:2] != changes[1][:2]
    for n in range(3)
    for deletions in combinations(HOURS, n)
]


def test_s01_the_status_at_a_time_is_the_same_in_python_and_in_sql(world: World) -> None:
    world.has_organisation()
    changed = [(n, *change) for n, (changes, _) in enumerate(HISTORIES, 1) for change in changes]
    deleted = [(n, hour) for n, (_, deletions) in enumerate(HISTORIES, 1) for hour in deletions]
    world.execute(
        "INSERT INTO learners (organisation, learner, id, standing, version, saved_version, saved_at)"
        " SELECT 1, n, n, 'active', 0, 0, :dawn FROM generate_series(1, CAST(:most AS int)) n",
        dawn=DAWN,
        most=len(HISTORIES),
    )
    world.execute(
        """
        INSERT INTO status_changes (organisation, learner, version, occurred_at, active, cause)
        SELECT 1, unnest(CAST(:learners AS int[])), unnest(CAST(:versions AS int[])),
               unnest(CAST(:times AS timestamptz[])), unnest(CAST(:actives AS boolean[])), 'test'
        """,
        learners=[learner for learner, *_ in changed],
        versions=[version for _, version, _, _ in changed],
        times=[at(hour) for _, _, hour, _ in changed],
        actives=[active for *_, active in changed],
    )
    world.execute(
        "INSERT INTO deletions (organisation, learner, occurred_at)"
        " SELECT 1, unnest(CAST(:learners AS int[])), unnest(CAST(:times AS timestamptz[]))",
        learners=[learner for learner, _ in deleted],
        times=[at(hour) for _, hour in deleted],
    )
    moments = [at(hour) + off for hour in HOURS for off in (-SECOND, timedelta(), SECOND)]
    with world.about() as (connection, org):
        found = people_of(connection, {"organisation": org.organisation, "learners": [*range(1, len(HISTORIES) + 1)]})
    in_sql = world.rows(
        "SELECT l.learner, m, status_at(1, l.learner, m) FROM learners l, unnest(CAST(:moments AS timestamptz[])) m",
        moments=moments,
    )

    assert len(in_sql) == len(HISTORIES) * len(moments)
    assert {(who, moment): active for who, moment, active in in_sql} == {
        (who, moment): person.active_at(moment) for who, (person, _) in found.items() for moment in moments
    }


def test_r10_who_is_linked_by_segment_is_the_same_looked_up_and_of_all(world: World) -> None:
    world.has_organisation()
    world.has_learners("A", "B", "C", "D")
    world.has_segment("red", "A", "B")
    world.has_segment("blue", "B", "C")
    world.has_segment("none")
    world.say("segment.left", segment="blue", learners=["C"])
    for course, segments in {"one": ["red"], "two": ["red", "blue", "none"], "three": ["none"], "four": []}.items():
        world.has_course(course, "segments", segments=segments)
    linked = world.rows("SELECT DISTINCT course, learner FROM linked")
    looked_up = world.rows(
        "SELECT c.course, l.learner FROM courses c JOIN learners l USING (organisation) WHERE "
        + LINKED_LISTED.format(of="l", of_course="c.course")
    )

    assert len(linked) == len({"one A", "one B", "two A", "two B"})
    assert {*linked} == {*looked_up}


def test_r10_s04_who_was_withdrawn_by_name_is_the_same_in_python_and_in_sql(world: World) -> None:
    world.has_organisation()
    world.has_learners("A", "B", "C", "D")
    world.has_course("safety")
    world.withdraws("safety", "A")
    world.withdraws("safety", "B", cycle=1)
    world.withdraws("safety", "C", cycle=2)
    withdrawn = {
        (cycle, learner, time)
        for cycle in (1, 2, 3)
        for learner, time in world.rows("SELECT learner, occurred_at FROM withdrawn_by_name(:cycle)", cycle=cycle)
    }
    learners = world.list("SELECT learner FROM learners")
    pairs = {"courses": [1] * len(learners), "learners": learners}
    with world.about() as (connection, org):
        causes = EnrolmentCauses(connection, {"organisation": org.organisation, **pairs})

    assert len(withdrawn) == len({"A 1", "A 2", "A 3", "B 1", "C 2"})
    assert withdrawn == {
        (cycle, learner, time)
        for cycle, learner in product((1, 2, 3), learners)
        for time in causes.at(EnrolmentKey(1, cycle, learner)).withdrawals
    }


def test_r03_what_is_missing_is_named_where_the_view_grants_no_access_and_nowhere_else(world: World) -> None:
    world.has_organisation()
    world.has_learners("A", "B", "C")
    for course, method, on_hold in (("open", "everyone", False), ("held", "everyone", True), ("none", "manual", False)):
        world.has_course(course, method, on_hold=on_hold)
    world.settle()
    world.becomes("inactive", "B")
    world.withdraws("open", "C")
    granted = {*world.rows("SELECT l.id, c.id FROM access a JOIN learners l USING (learner)"
                           " JOIN courses c USING (course) WHERE granted")}  # fmt: skip
    with world.about() as (connection, _):
        asked = {
            (learner, course): rows(
                connection,
                AccessFound,
                query("enrolments.access_of"),
                of=world.organisation,
                learner=learner,
                course=course,
            )[0]
            for learner, course in product("ABC", ("open", "held", "none"))
        }
    full = ["active", "enrolled", "not withdrawn", "not on hold"]

    assert granted == {("A", "open")}
    assert {pair for pair, said in asked.items() if said.access} == granted
    assert {pair for pair, said in asked.items() if said.because == full} == granted
    assert all({*said.because} < {*full} and said.because for pair, said in asked.items() if pair not in granted)
