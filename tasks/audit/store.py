"""The audit log, as SQL: what is written into it, and read from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from config.database import execute, one, rows, scoped
from config.words import as_json
from tasks.accounts import Caller

#: The number that stands for the installation, where an act is about no organisation.
INSTALLATION = 0


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act and its outcome. `before` and `after` hold what changed: never a secret, never a body."""

    act: str
    subject: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    outcome: str = "done"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """What was written. `organisation`: null for the installation; `address`: null for this machine."""

    id: int
    at: datetime
    organisation: str | None
    who: str
    door: str
    address: str | None
    act: str
    subject: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    outcome: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries: of an act, or of all whose name begins with it and a dot; up to a place, if it is named."""

    who: str | None = None
    act: str | None = None
    until: "Place | None" = None


#: Where a page begins: behind an entry, by its time and number.
Place = tuple[datetime, int]


def record(connection: Connection, organisation: int | None, caller: Caller, entries: Sequence[AuditEntry]) -> None:
    """Write entries, in the transaction of what they tell of."""
    number = organisation or INSTALLATION
    with scoped(connection, number):
        execute(
            connection,
            """
            INSERT INTO audit (organisation, who, door, address, act, subject, before, after, outcome)
            SELECT :organisation, :who, :door, :address, act, subject, CAST(before AS jsonb), CAST(after AS jsonb),
                   outcome
            FROM unnest(CAST(:acts AS text[]), CAST(:subjects AS text[]), CAST(:befores AS text[]),
                        CAST(:afters AS text[]), CAST(:outcomes AS text[]))
                 AS said (act, subject, before, after, outcome)
            """,
            organisation=number,
            who=caller.who,
            door=caller.door,
            address=caller.address,
            acts=[entry.act for entry in entries],
            subjects=[entry.subject for entry in entries],
            befores=[_json(entry.before) for entry in entries],
            afters=[_json(entry.after) for entry in entries],
            outcomes=[entry.outcome for entry in entries],
        )


_RECORD = """
    SELECT a.id, a.at, o.id AS organisation, a.who, a.door, a.address, a.act, a.subject, a.before, a.after, a.outcome
    FROM audit a LEFT JOIN organisations o USING (organisation)
"""

_CHOSEN = """
    (a.at, a.id) > (:at, :id)
    AND (a.at, a.id) <= (coalesce(CAST(:until AS timestamptz), 'infinity'), CAST(:last AS bigint))
    AND (CAST(:who AS text) IS NULL OR a.who = :who)
    AND (CAST(:act AS text) IS NULL OR a.act = :act OR starts_with(a.act, CAST(:act AS text) || '.'))
"""


def records(
    connection: Connection, organisation: int, chosen: AuditFilter, after: Place, limit: int
) -> list[AuditRecord]:
    """Entries about an organisation, the oldest first, from behind this place, in the order of the key."""
    return rows(
        connection,
        AuditRecord,
        f"{_RECORD} WHERE a.organisation = :organisation AND {_CHOSEN} ORDER BY a.at, a.id LIMIT :limit",
        organisation=organisation,
        at=after[0],
        id=after[1],
        who=chosen.who,
        act=chosen.act,
        **_until(chosen),
        limit=limit,
    )


def records_of_all(connection: Connection, chosen: AuditFilter, after: Place, limit: int) -> list[AuditRecord]:
    """The same of every organisation and of the installation, in the order of the index `audit_at`."""
    return rows(
        connection,
        AuditRecord,
        f"{_RECORD} WHERE {_CHOSEN} ORDER BY a.at, a.id LIMIT :limit",
        at=after[0],
        id=after[1],
        who=chosen.who,
        act=chosen.act,
        **_until(chosen),
        limit=limit,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    at: datetime
    id: int


def place_after(connection: Connection, organisation: int, after: Place, entries: int) -> Place | None:
    """The place of the last of so many entries about an organisation behind a place; None if there are fewer."""
    found = one(
        connection,
        _Place,
        """
        SELECT at, id FROM audit WHERE organisation = :organisation AND (at, id) > (:at, :id)
        ORDER BY at, id OFFSET :before LIMIT 1
        """,
        organisation=organisation,
        at=after[0],
        id=after[1],
        before=entries - 1,
    )
    return None if found is None else (found.at, found.id)


def place_after_of_all(connection: Connection, after: Place, entries: int) -> Place | None:
    """The same of every organisation and of the installation."""
    found = one(
        connection,
        _Place,
        "SELECT at, id FROM audit WHERE (at, id) > (:at, :id) ORDER BY at, id OFFSET :before LIMIT 1",
        at=after[0],
        id=after[1],
        before=entries - 1,
    )
    return None if found is None else (found.at, found.id)


def _until(chosen: AuditFilter) -> dict[str, object]:
    at, id_ = chosen.until or (None, 0)
    return {"until": at, "last": id_}


def _json(said: dict[str, Any] | None) -> str | None:
    return None if said is None else as_json(said).decode()
