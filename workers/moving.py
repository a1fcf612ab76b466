"""Moves an organisation from one cell to another. Each step leaves what the next, or the same command again, goes on
from: docs/decisions/0014-cells.md."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

import migrations
from config.cells import HOME
from config.database import autocommit, is_locked, lock_organisations, nobody_to_blame, scoped, snapshot, transaction
from config.errors import Conflict, NotFound, UserError
from config.pooler import session_engine
from config.runtime import Runtime
from config.words import counted
from migrations import carrying
from tasks import cells, mail, organisations, verification, work
from tasks.cells import Cell, Place
from tasks.events import lock_line
from workers.relay.retention import KeepPartitions

log = structlog.get_logger()

#: What is said where no other cell is named.
UNSET = "ROLLCALL_CELLS is not set: it names the other cells, and their servers."

#: Seconds for which it is waited until its work rests, what is in order is published, and every transaction has ended
#: that began before it left; then it stays where it is. And seconds between two looks.
PATIENCE_SECONDS, LOOK_SECONDS = 60.0, 0.02

#: Seconds for which a lock is waited for: others wait behind.
LOCK_SECONDS = 2.0


def add(here: Runtime, name: str) -> Cell:
    """Make a cell known that ROLLCALL_CELLS names: one with a schema, in which no organisation is yet. What it numbers
    gets ranges of its own. Raises `Conflict`."""
    if here.cells is None:
        raise Conflict(UNSET)
    there = here.cells.at(here, name)
    with transaction(here.engine) as connection:
        known = cells.cells(connection) or [Cell(HOME, 0, 0, cells.installation(connection))]
    with transaction(there.engine) as connection:
        if (misfit := migrations.misfit(connection)) is not None:
            raise Conflict(misfit)
        number, epoch = max(one.number for one in known) + 1, max(one.epoch for one in known) + 1
        new = Cell(name, number, epoch, cells.installation(connection))
        if name in {one.name for one in known} or new.installation in {one.installation for one in known}:
            raise Conflict(f"The cell {name!r}, or its database, was added before.")
        if organisations.every(connection):
            raise Conflict(f"There are organisations in {name!r} already: a cell is empty when it is added.")
        carrying.number_from(_session(connection), cell=number, epoch=epoch)
    KeepPartitions(there).do()
    with transaction(here.engine) as connection:
        for one in [*([] if cells.cells(connection) else known), new]:
            cells.add_cell(connection, one)
    return new


def forget(here: Runtime, id_: str) -> int:
    """Delete what an organisation left in the cells where it does not live any more; how many rows."""
    gone = 0
    with _only_mover(here, id_):
        with transaction(here.engine) as connection:
            known, place = cells.cells(connection), cells.place(connection, id_)
        if place.moves_to is not None:
            raise Conflict(f"{id_!r} is on its way from {place.cell} to {place.moves_to}: move it there or back first.")
        for cell in (cell for cell in known if cell.name != place.cell):
            with transaction(_runtime(here, cell).engine) as connection:
                for left in cells.departed(connection, [id_]):
                    if came := cells.events_since(connection, id_):
                        raise Conflict(f"{counted(came, 'event')} of {id_!r} came to {cell.name} after it had left.")
                    gone += carrying.remove(_session(connection), left.number, id_)
                    cells.emptied(connection, id_)
    return gone


class NotMoved(UserError):
    """The organisation is where it was, and works there; the message says why."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved; `frozen_seconds`: for how long nothing could be done with the organisation."""

    organisation: str
    from_cell: str
    to_cell: str
    rows: int
    tables: int
    frozen_seconds: float


def move(here: Runtime, id_: str, to: str) -> Moved:
    """Move an organisation to a cell, or go on where that was broken off; one that nobody knows yet is to live there
    once it comes. To the cell where it still is, it is taken back. Raises `NotMoved`, `Conflict` and `NotFound`."""
    with _only_mover(here, id_):
        with transaction(here.engine) as connection:
            known = {cell.name: cell for cell in cells.cells(connection)}
            place = cells.place(connection, id_)
        if to not in known:
            raise NotFound(f"There is no cell {to!r}: rollcall cells add makes one known.")
        source = _runtime(here, known[place.cell])
        if to == place.cell:
            return _stay(here, source, place)
        if place.moves_to not in {None, to}:
            raise Conflict(
                f"{id_!r} is on its way from {place.cell} to {place.moves_to}: move it there, or back first."
            )
        target = _runtime(here, known[to])
        began = time.monotonic()
        place = _begin(here, source, target, place, to)
        try:
            carried = [] if _has_arrived(target, place) else _carry(here, source, target, place, known)
        except BaseException as problem:
            if isinstance(problem, Exception) and not _has_arrived(target, place):
                _take_back(here, source, place)
            raise
        frozen = time.monotonic() - began
        _settle(here, source, place, to)
    rows = sum(one.rows for one in carried)
    log.warning("cell.moved", organisation=place.number, cell=to, rows=rows, seconds=round(frozen, 2))
    return Moved(id_, place.cell, to, rows, len([one for one in carried if one.rows]), round(frozen, 2))


@contextmanager
def _only_mover(here: Runtime, id_: str) -> Iterator[None]:
    """Be the only one who moves this organisation."""
    with autocommit(session_engine(here.engine)) as lock:
        if not cells.try_to_move(lock, id_):
            raise Conflict(f"Somebody is moving {id_!r} at this moment.")
        try:
            yield
        finally:
            cells.end_move(lock, id_)


def _runtime(here: Runtime, cell: Cell) -> Runtime:
    """What works in a cell, once it is known to be the one that was added, and to have this code's schema."""
    if here.cells is None:
        raise Conflict(UNSET)
    there = here.cells.at(here, cell.name)
    with transaction(there.engine) as connection:
        if cells.installation(connection) != cell.installation:
            raise Conflict(f"The database that ROLLCALL_CELLS names as {cell.name!r} is another than was added.")
        revision = migrations.current(connection)
    if revision != migrations.head():
        raise Conflict(f"The schema of {cell.name!r} is not this code's: run rollcall migrate in every cell.")
    return there


def _begin(here: Runtime, source: Runtime, target: Runtime, place: Place, to: str) -> Place:
    """Write down where it is to go."""
    number = place.number
    with transaction(source.engine) as connection:
        if (found := organisations.find(connection, [place.id]).get(place.id)) is not None:
            number = found.organisation
        elif gone := cells.departed(connection, [place.id]):
            number = gone[0].number
    with transaction(target.engine) as connection:
        other = organisations.find(connection, [place.id]).get(place.id)
        if other is not None and (place.moves_to is None or other.organisation != number):
            raise Conflict(f"There is another organisation {place.id!r} in {to}.")
        left = cells.departed(connection, [place.id])
    if left and other is None and left[0].described is not None:
        raise Conflict(f"What {place.id!r} left in {to} is still there: rollcall cells forget {place.id} removes it.")
    begun = replace(place, number=number, moves_to=to)
    with transaction(here.engine) as connection:
        cells.begin_move(connection, begun)
    return begun


def _has_arrived(target: Runtime, place: Place) -> bool:
    """Whether all of it is there: it comes in one transaction, and what is under way of that ends first."""
    with transaction(target.engine) as connection:
        cells.lock_arrival(connection, place.id)
        return place.number is not None and place.id in organisations.find(connection, [place.id])


def _carry(
    here: Runtime, source: Runtime, target: Runtime, place: Place, known: dict[str, Cell]
) -> list[carrying.Carried]:
    """Let it leave, copy it, look whether all of it is there as it was, and let it arrive."""
    _rest(source, place)
    _leave(source, place)
    _let_others_end(source)
    if place.number is not None:
        _hold_back(source, place.number)
        _let_others_end(source)  # a relay that was giving places meanwhile may have given some to what is held back
        _hold_back(source, place.number)
    _number_above(here, target, known[place.cell], known[place.moves_to or ""])
    if place.number is not None:
        _divide_alike(source, target, place.number)
    with snapshot(source.engine, None, read_only=True) as leaving, transaction(target.engine) as arriving:
        cells.lock_arrival(arriving, place.id)
        carried = carrying.carry(_session(leaving), _session(arriving), place.number, place.id)
        cells.forget_departed(arriving, place.id)
        gone = cells.departed(leaving, [place.id])[0]
        if gone.described is not None:
            organisations.put_back(arriving, place.id, json.dumps(gone.described))
            _verify(arriving, place)
    return carried


def _verify(arriving: Connection, place: Place) -> None:
    """Prove what must hold of it, before it arrives."""
    found = organisations.find(arriving, [place.id])[place.id]
    with scoped(arriving, found.organisation):
        broken = [one for some in verification.of_organisation(arriving, found) for one in some or ()]
    if broken:
        raise NotMoved(f"{place.id!r} stays where it is, as not all holds of it: {broken[0].in_words}")


def _rest(source: Runtime, place: Place) -> None:
    """Halt its work, and wait until what is begun has ended; workers leave off what takes long."""
    if place.number is None:
        return
    with transaction(source.engine) as connection:
        work.halt(connection, place.number, None, by=carrying.MOVER, why=f"it moves to {place.moves_to}")
    deadline = _deadline()
    while True:
        with transaction(source.engine, place.number) as connection:
            if not work.any_running(connection, place.number):
                return
        _wait(deadline, place, "its work does not come to rest")


def _leave(source: Runtime, place: Place) -> None:
    """Take it out of its cell: from the end of this transaction on nobody finds it there."""
    deadline = _deadline()
    while True:
        try:
            with transaction(source.engine, place.number) as connection, nobody_to_blame(connection, LOCK_SECONDS):
                if cells.departed(connection, [place.id]):
                    return
                if place.number is not None:
                    lock_organisations(connection, [place.number])
                    lock_line(connection, place.number)
                cells.reserve(connection, [place.id])
                if place.number is None or not work.any_running(connection, place.number):
                    if place.number is not None:
                        work.revoke_claims(connection, place.number)
                    cells.depart(connection, place.id, place.number)
                    organisations.take_out(connection, place.id)
                    return
        except OperationalError as problem:
            if not is_locked(problem):
                raise
        _wait(deadline, place, "somebody is changing it all the time")


def _let_others_end(source: Runtime) -> None:
    """Wait until every transaction has ended that began before: it may have found the organisation."""
    deadline = _deadline()
    with autocommit(source.engine) as connection:
        before = cells.transactions(connection)
        while before := before & cells.transactions(connection):
            _wait(deadline, None, "a transaction that began before it left does not end")


def _hold_back(source: Runtime, number: int) -> None:
    """Wait until what is in order is published; what is not in order yet is published where it goes."""
    deadline = _deadline()
    while True:
        with transaction(source.engine) as connection:
            if carrying.hold_back(_session(connection), number):
                return
            connection.rollback()
        _wait(deadline, None, "events of it are not published: is a relay running in its cell?")


def _number_above(here: Runtime, target: Runtime, source_cell: Cell, target_cell: Cell) -> None:
    """See to it that what is new has higher numbers than what comes with it."""
    if target_cell.epoch > source_cell.epoch:
        return
    with transaction(here.engine) as connection:
        epoch = cells.refresh_epoch(connection, target_cell.name)
    with transaction(target.engine) as connection:
        carrying.number_from(_session(connection), cell=None, epoch=epoch)
    KeepPartitions(target).do()


def _divide_alike(source: Runtime, target: Runtime, number: int) -> None:
    """See to it that the deliveries that come along find the months of their mailings."""
    with transaction(source.engine, number) as connection:
        months = mail.months_numbered(connection, number)
    KeepPartitions(target).adopt(months)


def _settle(here: Runtime, source: Runtime, place: Place, to: str) -> None:
    """Say everywhere where it lives now."""
    with transaction(source.engine) as connection:
        cells.went_to(connection, place.id, to)
    with transaction(here.engine) as connection:
        cells.finish_move(connection, place.id, to)
    if here.cells is not None:
        here.cells.remember({key: to for key in (place.id, place.number) if key is not None})


def _stay(here: Runtime, source: Runtime, place: Place) -> Moved:
    """Take back an organisation that has begun to leave, and has not arrived."""
    if place.moves_to is None:
        raise Conflict(f"{place.id!r} lives in {place.cell}.")
    if here.cells is not None and _has_arrived(here.cells.at(here, place.moves_to), place):
        raise Conflict(f"{place.id!r} has arrived in {place.moves_to}: move it there, and then back.")
    _take_back(here, source, place)
    return Moved(place.id, place.cell, place.cell, 0, 0, 0.0)


def _take_back(here: Runtime, source: Runtime, place: Place) -> None:
    with transaction(source.engine) as connection:
        for gone in cells.departed(connection, [place.id]):
            if gone.described is not None and gone.number is not None:
                organisations.put_back(connection, place.id, json.dumps(gone.described))
                carrying.let_go(_session(connection), gone.number)
            cells.forget_departed(connection, place.id)
        if any(halt.by == carrying.MOVER and halt.organisation == place.id for halt in work.current_halts(connection)):
            work.unhalt(connection, place.number or 0, None)
    with transaction(here.engine) as connection:
        cells.finish_move(connection, place.id, place.cell)


def _session(connection: Connection) -> carrying.Session:
    """The session of a transaction, for what the catalogue says."""
    session: Any = connection.connection.driver_connection
    return session  # type: ignore[no-any-return]


def _deadline() -> float:
    return time.monotonic() + PATIENCE_SECONDS


def _wait(deadline: float, place: Place | None, why: str) -> None:
    if time.monotonic() > deadline:
        of = "It" if place is None else repr(place.id)
        raise NotMoved(f"{of} stays where it is: {why}.")
    time.sleep(LOOK_SECONDS)
