"""A batch of events of organisations that may live in several cells: each is processed where its organisation lives."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

import msgspec
import structlog

from config.cells import HOME
from config.log import without_data
from config.runtime import Runtime
from tasks.cells import Elsewhere, places_of
from tasks.intake.batch import BatchResult, is_away, process_batch

log = structlog.get_logger()


class _Whose(msgspec.Struct):
    organisation: str = ""


def organisation_in(body: bytes) -> str:
    """The organisation that an event names; nothing where that cannot be read."""
    try:
        return msgspec.json.decode(body, type=_Whose).organisation
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def cell_in(here: Runtime, body: bytes) -> Runtime:
    """What works in the cell of the organisation that an event names."""
    if here.cells is None:
        return here
    whose = organisation_in(body)
    return here.cells.at(here, places_of(here, [whose])[whose])


def process_everywhere(
    here: Runtime, bodies: Sequence[bytes], *, only: Collection[str] | None = None
) -> tuple[BatchResult, list[int]]:
    """Process a batch as `process_batch` does, each event in the cell of its organisation; and the positions of those
    that have to wait, as the organisation is on its way to another cell, or the cell is away: whoever holds them comes
    again (R31, R32). Raises what `process_batch` raises of this cell."""
    whose = [] if here.cells is None else [organisation_in(body) for body in bodies]
    waiting = [(HOME, [*range(len(bodies))])]
    if here.cells is not None:
        waiting = [*_by_cell(here, whose, range(len(bodies))).items()]
    done: list[BatchResult] = []
    left: list[int] = []
    while waiting:
        cell, positions = waiting.pop()
        if here.cells is not None and here.cells.is_away(cell):
            left += positions
            continue
        there = here if here.cells is None else here.cells.at(here, cell)
        try:
            result = process_batch(there.engine, there.settings, [bodies[at] for at in positions], only=only)
            done.append(replace(result, reasons=tuple((positions[at], why) for at, why in result.reasons)))
        except Elsewhere as problem:  # nothing was done for these, and what was done beside them is known by its ids
            whose = whose or [organisation_in(body) for body in bodies]
            gone = [at for at in positions if whose[at] in problem.cells]
            stay = [at for at in positions if whose[at] not in problem.cells]
            if not gone:
                raise
            waiting += [(cell, stay)] * bool(stay)
            known = {id_: to for id_, to in problem.cells.items() if to is not None and here.cells is not None}
            if here.cells is not None:
                here.cells.remember(known)
            onward = [at for at in gone if whose[at] in known]
            left += [at for at in gone if whose[at] not in known]
            waiting += [*_by_cell(here, whose, onward).items()]
        except Exception as problem:
            if cell == HOME or here.cells is None or not is_away(problem):
                raise
            log.warning("cell.away", cell=cell, events=len(positions), **without_data(problem))
            here.cells.went_away(cell)
            left += positions
    return _together(done), sorted(left)


def _by_cell(here: Runtime, whose: Sequence[str], positions: Collection[int]) -> dict[str, list[int]]:
    places = places_of(here, {whose[at] for at in positions})
    found: dict[str, list[int]] = defaultdict(list)
    for at in positions:
        found[places[whose[at]]].append(at)
    return found


def _together(done: Sequence[BatchResult]) -> BatchResult:
    """What became of all; `reasons` have the positions that they have in the whole."""
    if len(done) == 1:
        return done[0]
    total = sum((replace(one, reasons=()) for one in done), BatchResult())
    return replace(total, reasons=tuple(sorted(reason for one in done for reason in one.reasons)))
