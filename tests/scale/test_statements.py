"""What an event lists is asked and written in sets: however long the list, the statements are as many (R31)."""

from typing import Any

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


def test_r31_the_statements_of_an_event_do_not_grow_with_the_courses_that_it_counts_for(world: World) -> None:
    few, many = 5, 30
    runs: dict[int, dict[str, int]] = {}
    for n in (few, many):
        world.organisation = f"courses{n}"
        world.has_organisation()
        world.has_segment("nurses")
        world.has_learners("A", "B", "C")
        described = [
            {"course": f"c{k}", "title": "Course", "method": "segments", "segments": ["nurses"]} for k in range(n)
        ]
        world.send(*(world.event("course.saved", one) for one in described))
        world.settle()
        runs[n] = {}
        events: dict[str, tuple[str, dict[str, Any]]] = {
            "joined": ("segment.joined", {"segment": "nurses", "learners": ["A", "B"]}),
            "left": ("segment.left", {"segment": "nurses", "learners": ["A", "B"]}),
            "joined again": ("segment.joined", {"segment": "nurses", "learners": ["A", "B"]}),
            "deleted": ("learner.deleted", {"learner": "A"}),
            "back": ("learner.saved", world.learner("A")),
        }
        for name, (type_, data) in events.items():
            with counted(world.runtime.engine) as found:
                world.send(world.event(type_, data))
            runs[n][name] = sum(cost.runs for cost in found.values())
        assert world.access("B") == {f"c{k}" for k in range(n)}
        world.settle()
        assert world.off() == {}

    assert {
        name: (before, runs[many][name]) for name, before in runs[few].items() if runs[many][name] > before + 5
    } == {}


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
