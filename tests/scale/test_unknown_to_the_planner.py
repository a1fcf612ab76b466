"""A statement costs as much as the rows that it is about (R31): for an organisation that came since the last ANALYZE,
too, which looks empty to the planner. Then a wrong index looks as good as the right one, and a nested loop cheap."""

import json
from collections.abc import Callable

import pytest

from tests.scale.explained import Cost, explained, outline
from tests.scale.large import has_a_large_neighbour, has_small_neighbours
from tests.scale.life import Life
from tests.world import World

FEW, MANY = 40, 200

#: What grows with the learners grows fivefold; what is read in one go, because it is little, is as large as all there
#: is of the neighbour. What grows with their square grows from 1,600 to 40,000.
TIMES, BESIDES = 7.5, 12_000


@pytest.mark.parametrize(
    "neighbours", [has_a_large_neighbour, pytest.param(has_small_neighbours, marks=pytest.mark.slow)]
)
def test_r31_no_statement_costs_more_than_its_rows_for_an_organisation_that_no_statistics_know(
    world: World, neighbours: Callable[[World], None]
) -> None:
    neighbours(world)
    costs: dict[int, dict[tuple[str, str], Cost]] = {}
    for n in (FEW, MANY):
        costs[n] = {}
        for name, step in Life(world, n).steps():
            with explained(world.runtime.engine) as found:
                step()
            costs[n] |= {(name, statement): cost for statement, cost in found.items()}
        assert world.quarantine() == {}

    grown = []
    for (name, statement), cost in costs[MANY].items():
        before = costs[FEW].get((name, statement), Cost())
        if cost.pages > TIMES * before.pages + BESIDES or cost.rows > TIMES * before.rows + BESIDES:
            grown.append(f"{name}: {before} became {cost} in {statement}\n{outline(json.loads(cost.plan))}")

    assert not grown, "\n".join(grown)
    assert len(costs[MANY]) > 150, "these are all statements of the project that events cause"
