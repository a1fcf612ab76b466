"""How often an act asks the database and waits: that is what an answer takes, the more so where others are at work."""

import pytest

from tasks.acts import learners
from tasks.acts.acting import perform
from tests.acts.asking import caller
from tests.round_trips import counted
from tests.world import World

#: Times that psycopg needs to see a statement before it is prepared, and so asks once less for each.
SEEN = 6

#: Round trips of one change of status: of who it is and whether it may be, and the change itself.
MOST_TRIPS = 12


@pytest.mark.parametrize("before", ["active", "inactive"], ids=["again", "for the first time"])
def test_r04_a_change_of_status_waits_for_the_database_a_bounded_number_of_times(
    world: World, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    ids = [f"L{n}" for n in range(SEEN + 1)]
    world.has_learners(*ids)
    if before == "inactive":
        world.becomes("inactive", *ids)
    world.has_course("safety", "everyone")
    if before == "active":
        world.becomes("inactive", *ids)

    with counted(world.runtime, monkeypatch) as trips:
        for one in ids:
            trips.since()
            done = perform(trips.runtime, caller(), learners.activate, learners.LearnerToggle(one), "acme")
        told = trips.statements.copy()
        found = trips.since()

    assert done.changed
    assert found["postgresql"] <= MOST_TRIPS, told
    assert found["redis"] == 0
