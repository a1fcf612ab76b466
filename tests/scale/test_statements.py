"""What an event lists is asked and written in sets: however long the list, the statements are as many (R31)."""

import pytest

from tests.scale.explained import counted
from tests.scale.life import Life
from tests.world import World

FEW, MANY = 15, 90

#: A piece of work for each mail; its statements grow with the mails.
BY_MAIL = {"settled", "settled_again"}

#: Events about the whole organisation, which do not commute: each is taken by itself, in so many statements at most.
BY_EVENT = {"many_segments": 6}


def test_r31_the_statements_of_an_event_do_not_grow_with_what_it_lists(world: World) -> None:
    runs: dict[int, dict[str, int]] = {}
    for n in (FEW, MANY):
        runs[n] = {}
        for name, step in Life(world, n).steps():
            with counted(world.runtime.engine) as found:
                step()
            runs[n][name] = sum(cost.runs for cost in found.values())
        world.settle()

    more = {
        name: (before, runs[MANY][name])
        for name, before in runs[FEW].items()
        if name not in BY_MAIL and runs[MANY][name] > before + 12 + (MANY - FEW) * BY_EVENT.get(name, 0)
    }
    assert more == {}


@pytest.mark.slow
@pytest.mark.parametrize("n", [FEW, MANY])
def test_r31_learners_who_come_back_in_one_batch_are_left_to_the_workers(world: World, n: int) -> None:
    ids = [f"L{k}" for k in range(n)]
    world.has_course("safety", "everyone")
    world.has_learners(*ids, email=None)
    world.send(*(world.event("learner.deleted", {"learner": id_}) for id_ in ids))

    with counted(world.runtime.engine) as found:
        world.has_learners(*ids, email=None)
    assert sum(cost.runs for cost in found.values()) < 20 * 30

    world.settle()
    assert world.access(ids[0]) == world.access(ids[-1]) == {"safety"}
    assert world.off() == {}
