"""The way to the cell that an organisation lives in."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config.cells import HOME, Cells
from config.database import autocommit, execute
from config.runtime import Runtime
from tasks.cells import store
from tasks.cells.store import Elsewhere

Answer = TypeVar("Answer")

#: Cells that are asked at most for one organisation: it may have moved on since the directory was read.
MOST_CELLS = 3


def places_of(here: Runtime, ids: Iterable[str] = (), numbers: Iterable[int] = ()) -> dict[object, str]:
    """The cell of each of these organisations, by its id or number. What is not remembered is asked of the directory,
    all at once."""
    ids, numbers = {*ids}, {*numbers}
    if here.cells is None:
        return dict.fromkeys([*ids, *numbers], HOME)
    found = here.cells.remembered([*ids, *numbers])
    if missing := {*ids, *numbers} - found.keys():
        with autocommit(here.engine) as connection:
            known = store.places(connection, ids - found.keys(), numbers - found.keys())
        new: dict[object, str] = dict.fromkeys(missing, HOME)
        new |= {key: place.cell for place in known for key in (place.id, place.number) if key in missing}
        here.cells.remember(new)
        found |= new
    return found


def in_cell_of(here: Runtime, organisation: str, do: Callable[[Runtime], Answer]) -> Answer:
    """Do something in the cell that an organisation lives in. Raises `Elsewhere` while it is on its way, and whatever
    that raises."""
    return _in_cell(here, organisation, lambda: places_of(here, [organisation]), do)


def in_cell_of_number(here: Runtime, number: int, do: Callable[[Runtime], Answer]) -> Answer:
    """The same by the number of an organisation."""
    return _in_cell(here, number, lambda: places_of(here, (), [number]), do)


def _in_cell(
    here: Runtime, key: object, places: Callable[[], dict[object, str]], do: Callable[[Runtime], Answer]
) -> Answer:
    if here.cells is None:
        return do(here)
    for left in reversed(range(MOST_CELLS)):
        try:
            return do(here.cells.at(here, places()[key]))
        except Elsewhere as problem:
            cell = problem.cells.get(key)
            if cell is None or not left:
                raise
            here.cells.remember({key: cell})
    raise AssertionError("the last of these either returns or raises")


def is_there(cells: Cells, name: str, there: Runtime) -> bool:
    """Whether a cell answers; one that was away a moment ago is not asked."""
    if cells.is_away(name):
        return False
    try:
        with autocommit(there.engine) as connection:
            execute(connection, "SELECT")
    except (OperationalError, PoolTimeout):
        cells.went_away(name)
        return False
    return True
