"""What is planned once, whatever its parameters are, reads no more where learners are many (R31): also where the
organisation came since the last ANALYZE."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from config.database import autocommit, value
from config.engine import make_engine
from tasks.acts import learners
from tasks.acts.acting import perform
from tests.acts.asking import caller
from tests.acts.test_trips import SEEN
from tests.scale.large import has_a_large_neighbour, has_small_neighbours
from tests.world import World

FEW, MANY = 40, 400

#: What it may read more, for versions of rows that nobody has vacuumed; to read all that there is would be 360 more.
BESIDES = 100

READ = """
    SELECT sum(seq_tup_read) + sum(coalesce(idx_tup_fetch, 0))
         + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes) FROM pg_stat_user_tables
"""


@pytest.mark.parametrize("neighbours", [has_a_large_neighbour, has_small_neighbours])
def test_r31_an_activation_reads_no_more_where_learners_are_many(
    world: World, neighbours: Callable[[World], None]
) -> None:
    neighbours(world)

    few, many = _read_by_the_last_of_some(world, FEW), _read_by_the_last_of_some(world, MANY)

    assert 0 < many <= few + BESIDES


def _read_by_the_last_of_some(world: World, n: int) -> int:
    """The rows, and entries of indexes, that are read as one of so many learners is made active, by plans that others
    were made active by."""
    world.organisation = f"with-{n}"
    ids = [f"L{one}" for one in range(n)]
    world.has_organisation()
    world.has_learners(*ids)
    for course in ("safety", "fire"):
        world.has_course(course, "everyone")
    world.becomes("inactive", *ids[: SEEN + 1])
    engine = make_engine(world.runtime.endpoints.database_url, role="kept", pool=1, more=0)
    runtime = replace(world.runtime, engine=engine)
    read = []
    for one in ids[: SEEN + 1]:
        done = perform(runtime, caller(), learners.activate, learners.LearnerToggle(one), world.organisation)
        assert done.changed
        with autocommit(engine) as connection:
            value(connection, "SELECT pg_stat_force_next_flush()")
            read.append(int(value(connection, READ)))
            kept = value(connection, "SELECT count(*) FROM pg_prepared_statements WHERE generic_plans > 0")
    engine.dispose()
    assert kept > 15, "this is about plans that are kept"
    return read[-1] - read[-2]
