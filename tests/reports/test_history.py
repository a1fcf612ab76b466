"""The history of status, exported: R29, R30."""

from datetime import timedelta

from config.words import rfc3339
from tasks.reports import HISTORY, Tab
from tests.reports.reading import history, sheet
from tests.world import World, id_of


def test_r30_every_change_of_an_inactive_learner_is_a_row(world: World) -> None:
    world.has_learners("A", "B")
    created = id_of(world.sent[-2])
    world.becomes("inactive", "A")
    first, left = world.clock, id_of(world.sent[-1])
    world.becomes("active", "A", "B")
    world.becomes("inactive", "A", at=world.clock + timedelta(days=1))
    last, left_again = world.clock - timedelta(seconds=1) + timedelta(days=1), id_of(world.sent[-1])

    rows = history(world, Tab.ARCHIVED)

    assert {(row["organisation"], row["learner"], row["learner_status"]) for row in rows} == {("acme", "A", "inactive")}
    assert list(rows[0]) == ["organisation", "learner", "learner_status", "occurred_at", "status", "cause"]
    told = [(row["status"], row["occurred_at"], row["cause"]) for row in rows if row["cause"] != created]
    assert [status for status, _, _ in told] == ["inactive", "active", "inactive"]
    assert (told[0][1], told[-1][1]) == (rfc3339(first), rfc3339(last))
    assert left in told[0][2]
    assert left_again in told[-1][2]
    assert {row["learner"] for row in history(world, Tab.ACTIVE)} == {"B"}


def test_s01_the_last_row_of_a_learner_is_how_they_stand(world: World) -> None:
    world.has_learners("A")
    world.becomes("inactive", "A", version=7)
    world.becomes("active", "A", version=6, at=world.clock + timedelta(days=1))

    assert [row["status"] for row in history(world, Tab.ARCHIVED)][-1] == "inactive"
    assert [row["status"] for row in sheet(world, Tab.ARCHIVED, HISTORY)][-1] == "inactive"


def test_r31_the_history_holds_nobody_of_another_organisation(world: World) -> None:
    world.has_learners("A")
    world.becomes("inactive", "A")
    world.organisation = "other"
    world.has_organisation()
    world.has_learners("B")
    world.becomes("inactive", "B")

    assert {row["learner"] for row in history(world, Tab.ARCHIVED)} == {"B"}
