"""A ledger lies in the order in which it is sent, so that a batch of mail is a few pages of it (R31)."""

from collections.abc import Callable

import pytest

from tests.scale.large import has_a_large_neighbour, has_small_neighbours
from tests.world import World

MANY = 300


@pytest.mark.parametrize("neighbours", [has_a_large_neighbour, has_small_neighbours])
def test_r07_a_fan_out_writes_its_ledger_in_the_order_of_learners(
    world: World, neighbours: Callable[[World], None]
) -> None:
    neighbours(world)
    world.organisation = "new"
    world.has_organisation()
    world.has_learners(*(f"L{n}" for n in range(MANY)))

    world.has_course("safety", "everyone")

    written = world.ask("""
        SELECT array_agg(recipient ORDER BY d.ctid) FROM deliveries d JOIN organisations o USING (organisation)
        WHERE o.id = 'new'
    """)
    assert len(written) == MANY
    assert written == sorted(written)
