"""Organisations, as SQL: the door every other query comes through, by the number it gives."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import execute, integer, lock_organisations, nobody_to_blame, one, rows
from config.sql import query
from tasks import cells
from tasks.events import Event, OrganisationSaved


@dataclass(frozen=True, slots=True)
class Organisation:
    """One customer of the platform, as described last."""

    organisation: int
    id: str
    name: str
    licence: str
    pool: int | None
    licence_starts: datetime | None
    licence_ends: datetime | None
    admin_emails: list[str]
    reactivation_digest: bool
    logo: str | None
    colour: str | None
    learners: int


_COLUMNS = """
    organisation, id, name, licence, pool, licence_starts, licence_ends, admin_emails, reactivation_digest, logo,
    colour, learners
"""


def find(connection: Connection, ids: Iterable[str]) -> dict[str, Organisation]:
    """The organisations known under these ids."""
    found = rows(
        connection, Organisation, f"SELECT {_COLUMNS} FROM organisations WHERE id = ANY(:ids)", ids=list(set(ids))
    )
    return {organisation.id: organisation for organisation in found}


def every(connection: Connection) -> list[Organisation]:
    """All of them: for what an operator asks of everybody."""
    return rows(connection, Organisation, f"SELECT {_COLUMNS} FROM organisations ORDER BY id")


def after(connection: Connection, id_: str | None, limit: int, own: Sequence[str] | None) -> list[Organisation]:
    """So many organisations whose ids follow this one, in the order of ids; of `own` alone, if that is not None."""
    return rows(
        connection,
        Organisation,
        f"""
        SELECT {_COLUMNS} FROM organisations
        WHERE (CAST(:own AS text[]) IS NULL OR id = ANY(CAST(:own AS text[])))
          AND (CAST(:id AS text) IS NULL OR id > CAST(:id AS text))
        ORDER BY id LIMIT :limit
        """,
        own=None if own is None else list(own),
        id=id_,
        limit=limit,
    )


def numbered(connection: Connection, organisation: int) -> Organisation:
    """The organisation with this number."""
    found = one(
        connection,
        Organisation,
        f"SELECT {_COLUMNS} FROM organisations WHERE organisation = :organisation",
        organisation=organisation,
    )
    if found is None:
        raise LookupError(f"no organisation has the number {organisation}")
    return found


def number_learners(connection: Connection, organisation: int, count: int) -> int:
    """Take numbers for so many new learners, under the organisation's lock: they are dense, given out once. The last
    that was given out before."""
    return integer(
        connection,
        """
        UPDATE organisations SET learners = learners + :count WHERE organisation = :organisation
        RETURNING learners - :count
        """,
        organisation=organisation,
        count=count,
    )


def lock(
    connection: Connection, ids: Iterable[str], *, known: Iterable[int] = (), patience: float | None = None
) -> dict[str, Organisation]:
    """Those of these organisations that are saved, as they are once nobody else may change what is known of them: see
    `lock_organisations`. `known`: the numbers of those of which the caller has read them; `patience`: see there."""
    locked, wanted = set(known), set(ids)
    with nobody_to_blame(connection, patience):
        lock_organisations(connection, locked)
        found = find(connection, wanted)
        while new := {organisation.organisation for organisation in found.values()} - locked:
            lock_organisations(connection, new)
            locked |= new
            found = find(connection, wanted)
    return found


def reserve(connection: Connection, ids: Iterable[str]) -> None:
    """Be the only one to save organisations under these ids, or to find them unknown, until the transaction ends: so
    nothing starts to wait for one that is just being saved (R6). Raises `cells.Elsewhere` for those that have left."""
    cells.reserve(connection, ids)


def take_out(connection: Connection, id_: str) -> None:
    """Take an organisation out of those that are here, so that nobody who comes from now on finds it. The caller holds
    its locks, and sees to it that it is known where it went."""
    execute(connection, "DELETE FROM organisations WHERE id = :id", id=id_)


def put_back(connection: Connection, id_: str, described: str) -> None:
    """Put an organisation back that was taken out; `described`: its row, as JSON."""
    execute(
        connection,
        """
        INSERT INTO organisations OVERRIDING SYSTEM VALUE
        SELECT o.* FROM jsonb_populate_record(CAST(NULL AS organisations), CAST(:described AS jsonb)) o WHERE o.id = :id
        """,
        described=described,
        id=id_,
    )


def save(connection: Connection, event: Event) -> Organisation:
    """Describe an organisation, unless a newer description holds already (R6); of two at the same time the greater
    holds, whichever is heard last."""
    data = event.data
    assert isinstance(data, OrganisationSaved)  # noqa: S101 - the intake's table says so
    starts, ends = data.period()
    execute(
        connection,
        query("organisations.save"),
        id=event.organisation,
        name=data.name,
        licence=data.licence,
        pool=data.pool,
        starts=starts,
        ends=ends,
        admins=data.admin_emails,
        digest=data.reactivation_digest,
        logo=data.logo,
        colour=data.colour,
        at=event.time,
    )
    return find(connection, [event.organisation])[event.organisation]
