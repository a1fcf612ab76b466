"""The directory of cells, and what has left this one, as SQL."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from config.cells import CELL_BITS, HOME
from config.database import column, execute, integer, is_true, one, rows, tuples, value
from config.errors import Unavailable
from config.locks import ARRIVAL_LOCK, MOVE_LOCK


class Elsewhere(Unavailable):
    """An organisation does not live in this cell any more, or is leaving it; `cells`: where each lives now, by id or
    number, as far as that is known."""

    def __init__(self, cells: dict[object, str | None]) -> None:
        names = ", ".join(map(str, cells))
        super().__init__(f"The organisation {names} is on its way to another cell: ask again in some seconds.")
        self.cells = cells


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell; `number` and `epoch` are what its numbers are made from, `installation` is which database it is."""

    name: str
    number: int
    epoch: int
    installation: UUID


@dataclass(frozen=True, slots=True)
class Place:
    """Where an organisation lives, and the cell that it is on its way to, or None."""

    id: str
    number: int | None
    cell: str
    moves_to: str | None


@dataclass(frozen=True, slots=True)
class Departed:
    """An organisation that has left this cell, and where it lives now; None: it is on its way. `described`: its row."""

    id: str
    number: int | None
    described: dict[str, Any] | None
    cell: str | None


_PLACE = "SELECT id, number, cell, moves_to FROM directory"


def cells(connection: Connection) -> list[Cell]:
    """Every cell, by its number; none where none was ever added."""
    return rows(connection, Cell, "SELECT name, number, epoch, installation FROM cells ORDER BY number")


def add_cell(connection: Connection, cell: Cell) -> None:
    """Note a cell."""
    execute(
        connection,
        """
        INSERT INTO cells (name, number, epoch, installation)
        VALUES (:name, CAST(:number AS int), CAST(:epoch AS int), :installation)
        """,
        name=cell.name,
        number=cell.number,
        epoch=cell.epoch,
        installation=cell.installation,
    )


def refresh_epoch(connection: Connection, name: str) -> int:
    """Give a cell an epoch above that of every other; which it is."""
    return integer(
        connection,
        """
        UPDATE cells SET epoch = (SELECT max(epoch) + 1 FROM cells) WHERE name = :name RETURNING epoch
        """,
        name=name,
    )


def installation(connection: Connection) -> UUID:
    """Which database this is."""
    found: UUID = value(connection, "SELECT installation FROM mail_control")
    return found


def place(connection: Connection, id_: str) -> Place:
    """Where an organisation lives."""
    found = one(connection, Place, f"{_PLACE} WHERE id = :id", id=id_)
    return found or Place(id_, None, HOME, None)


def every_place(connection: Connection) -> list[Place]:
    """Where each organisation lives that does not live at home, or did not always."""
    return rows(connection, Place, f"{_PLACE} ORDER BY id")


def places(connection: Connection, ids: Collection[str], numbers: Collection[int]) -> list[Place]:
    """Where these live, as far as they are in the directory; a number that is not there is of the cell that gave it."""
    return rows(
        connection,
        Place,
        f"""
        {_PLACE} WHERE id = ANY(CAST(:ids AS text[])) OR number = ANY(CAST(:numbers AS int[]))
        UNION ALL
        SELECT '', asked.number, c.name, NULL
        FROM unnest(CAST(:numbers AS int[])) AS asked (number)
        JOIN cells c ON c.number = asked.number >> CAST(:bits AS int)
        WHERE NOT EXISTS (SELECT FROM directory d WHERE d.number = asked.number)
        """,
        ids=list(ids),
        numbers=list(numbers),
        bits=CELL_BITS,
    )


def try_to_move(session: Connection, id_: str) -> bool:
    """Be the only one who moves an organisation, until `end_move` or the session's end; whether nobody else does."""
    return is_true(session, "SELECT pg_try_advisory_lock(:lock, hashtext(:id))", lock=MOVE_LOCK, id=id_)


def end_move(session: Connection, id_: str) -> None:
    """Let others move an organisation."""
    execute(session, "SELECT pg_advisory_unlock(:lock, hashtext(:id))", lock=MOVE_LOCK, id=id_)


def lock_arrival(connection: Connection, id_: str) -> None:
    """Wait until nobody has it arrive any more, also for a server that does not know yet that its client has gone."""
    execute(connection, "SELECT pg_advisory_xact_lock(:lock, hashtext(:id))", lock=ARRIVAL_LOCK, id=id_)


def transactions(connection: Connection) -> set[str]:
    """The transactions of everybody else that are under way in this database."""
    return set(
        column(
            connection,
            """
            SELECT l.virtualtransaction FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE l.locktype = 'virtualxid' AND l.granted AND a.datname = current_database()
              AND l.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
            """,
        )
    )


def begin_move(connection: Connection, to: Place) -> None:
    """Note that an organisation is on its way."""
    execute(
        connection,
        """
        INSERT INTO directory AS known (id, number, cell, moves_to)
        VALUES (:id, CAST(:number AS int), :cell, :moves_to)
        ON CONFLICT (id) DO UPDATE SET number = coalesce(excluded.number, known.number), moves_to = excluded.moves_to,
            since = now()
        """,
        id=to.id,
        number=to.number,
        cell=to.cell,
        moves_to=to.moves_to,
    )


def finish_move(connection: Connection, id_: str, cell: str) -> None:
    """Note where an organisation lives now."""
    execute(
        connection,
        "UPDATE directory SET cell = :cell, moves_to = NULL, since = now() WHERE id = :id",
        id=id_,
        cell=cell,
    )


def departed(connection: Connection, ids: Iterable[str], numbers: Iterable[int] = ()) -> list[Departed]:
    """Those of these that have left this cell, or are leaving it."""
    return rows(
        connection,
        Departed,
        """
        SELECT id, number, described, cell FROM departed
        WHERE id = ANY(CAST(:ids AS text[])) OR number = ANY(CAST(:numbers AS int[])) ORDER BY id
        """,
        ids=list(ids),
        numbers=list(numbers),
    )


def reserve(connection: Connection, ids: Iterable[str]) -> None:
    """Lock ids under which no organisation was found, until the transaction ends. Raises `Elsewhere`."""
    found = tuples(connection, "SELECT id, cell FROM reserve_organisations(CAST(:ids AS text[]))", ids=list(set(ids)))
    if found:
        raise Elsewhere(dict(found))


def check_here(connection: Connection, ids: Iterable[str], numbers: Sequence[int] = ()) -> None:
    """Raise `Elsewhere` if any of these, of which none was found, has left this cell."""
    found = departed(connection, ids, numbers)
    if found:
        raise Elsewhere({(one_.number if one_.number in numbers else one_.id): one_.cell for one_ in found})


def depart(connection: Connection, id_: str, number: int | None) -> None:
    """Let an organisation leave: nobody who comes from now on finds it. The caller holds its locks, and takes it out of
    `organisations`."""
    execute(
        connection,
        """
        INSERT INTO departed (id, number, described)
        SELECT :id, CAST(:number AS int),
               (SELECT to_jsonb(o) FROM organisations o WHERE o.organisation = CAST(:number AS int))
        """,
        id=id_,
        number=number,
    )


def went_to(connection: Connection, id_: str, cell: str) -> None:
    """Note where an organisation that has left lives now."""
    execute(connection, "UPDATE departed SET cell = :cell WHERE id = :id", id=id_, cell=cell)


def events_since(connection: Connection, id_: str) -> int:
    """How many events of an organisation are waiting or set aside here that came after it had left."""
    return integer(
        connection,
        """
        SELECT count(*) FROM inbox i JOIN departed d ON d.id = i.organisation
        WHERE d.id = :id AND i.arrived_at > d.since AND i.state IN ('waiting', 'quarantined')
        """,
        id=id_,
    )


def emptied(connection: Connection, id_: str) -> None:
    """Note that nothing is left here of an organisation that lives elsewhere but that it does."""
    execute(connection, "UPDATE departed SET described = NULL WHERE id = :id", id=id_)


def forget_departed(connection: Connection, id_: str) -> None:
    """Forget that an organisation left: nothing of it is here any more, or it is here again."""
    execute(connection, "DELETE FROM departed WHERE id = :id", id=id_)
