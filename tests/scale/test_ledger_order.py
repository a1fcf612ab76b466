"""A ledger lies in the order in which it is sent, so that a batch of mail is a few pages of it. It stays so (R31)."""

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


def test_r31_what_became_of_a_mail_is_written_on_its_page_of_the_ledger_so_that_no_index_grows(world: World) -> None:
    addressed = {f"L{n}": f"firstname.lastname{n}@customer.example" for n in range(MANY)}
    world.send(*(world.event("learner.saved", world.learner(id_, email=email)) for id_, email in addressed.items()))
    world.mail.on_data = lambda _address: "250 2.0.0 Ok: queued as 4XpqRs2tUvz1Wk"
    world.announces()
    pages = "SELECT recipient, (CAST(CAST(ctid AS text) AS point))[0] FROM deliveries ORDER BY recipient"
    begun = world.rows(pages)

    world.settle()

    assert world.progress("news").accepted == len(begun) == MANY
    assert world.rows(pages) == begun
