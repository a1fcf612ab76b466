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
MOST_TRIPS = 15


def test_r04_a_change_of_status_waits_for_the_database_a_bounded_number_of_times(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    asked = learners.LearnerToggle("A")

    with counted(world.runtime, monkeypatch) as trips:
        for what in [learners.deactivate, learners.activate] * SEEN:
            perform(trips.runtime, caller(), what, asked, "acme")
        trips.since()
        perform(trips.runtime, caller(), learners.deactivate, asked, "acme")
        trips.since()
        done = perform(trips.runtime, caller(), learners.activate, asked, "acme")
        told = trips.statements.copy()
        found = trips.since()

    assert done.changed
    assert found["postgresql"] <= MOST_TRIPS, told
    assert found["redis"] == 0
