"""The audit log, as SQL: what is written into it, and read from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Network, ip_address
from typing import Any

from sqlalchemy import Connection

from config.database import is_true, later, rows, scoped, tuples, value
from config.words import as_json
from tasks.accounts import Caller, Door, Role

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


#: Refused attempts of one caller from one address that are written within a minute or so; the rest are counted.
MOST_REFUSED, TOGETHER_SECONDS = 60, 60

#: Entries dropped, and callers settled, in one transaction.
MOST = 500


@dataclass(frozen=True, slots=True)
class _Refusals:
    organisation: int
    who: str
    door: str
    address: str
    since: datetime
    until: datetime
    refused: int


#: Where a page begins: behind an entry, by its time and number.
Place = tuple[datetime, int]


def record(connection: Connection, organisation: int | None, caller: Caller, entries: Sequence[AuditEntry]) -> None:
    """Write entries, in the transaction of what they tell of."""
    number = organisation or INSTALLATION
    with scoped(connection, number):
        later(
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


def record_refusal(connection: Connection, organisation: int | None, caller: Caller, entry: AuditEntry) -> None:
    """Write down that an attempt was refused, unless there were too many of this caller lately: then it is counted."""
    number = organisation or INSTALLATION
    with scoped(connection, number):
        refused: int = value(
            connection,
            """
            INSERT INTO audit_refusals AS r (organisation, who, door, address)
            VALUES (:organisation, :who, :door, :address)
            ON CONFLICT (organisation, who, door, address) DO UPDATE SET refused = r.refused + 1
            RETURNING refused
            """,
            organisation=number,
            who=caller.who,
            door=caller.door,
            address=_place_of(caller.address),
        )
    if refused <= MOST_REFUSED:
        record(connection, organisation, caller, [entry])


def has_old(connection: Connection, days: int) -> bool:
    """Whether some refusals were counted for long enough, or an entry of the first partition is older than so many
    days: the partitions after it are dropped whole (`tasks.retention`)."""
    return is_true(
        connection,
        """
        SELECT EXISTS (SELECT FROM audit_refusals WHERE since < now() - make_interval(secs => :seconds))
            OR EXISTS (SELECT FROM audit WHERE at < now() - make_interval(days => :days)
                       AND at < partition_until('audit_before'))
        """,
        seconds=TOGETHER_SECONDS,
        days=days,
    )


def settle_refusals(connection: Connection) -> bool:
    """Write down how many attempts were counted and not written, of callers whose minute is over, some hundreds at
    once; whether there may be more."""
    over = rows(
        connection,
        _Refusals,
        """
        DELETE FROM audit_refusals WHERE (organisation, who, door, address) IN (
            SELECT organisation, who, door, address FROM audit_refusals
            WHERE since < now() - make_interval(secs => :seconds) ORDER BY since LIMIT :most FOR UPDATE SKIP LOCKED)
        RETURNING organisation, who, door, address, since, now() AS until, refused
        """,
        seconds=TOGETHER_SECONDS,
        most=MOST,
    )
    for much in over:
        left_out = much.refused - MOST_REFUSED
        if left_out > 0:
            caller = Caller(much.who, Door(much.door), Role.READER, address=much.address or None)
            said = {"left_out": left_out, "since": much.since, "until": much.until}
            entry = AuditEntry("audit.left_out", after=said, outcome=f"refused: {left_out} more")
            record(connection, much.organisation, caller, [entry])
    return len(over) == MOST


def forget(connection: Connection, days: int) -> bool:
    """Drop entries of the first partition that are older than so many days, the oldest first, some hundreds at once;
    whether there may be more. The database lets nothing else drop any."""
    forgotten: int = value(connection, "SELECT forget_audit(:days, :most)", days=days, most=MOST)
    return forgotten == MOST


_RECORD = """
    SELECT a.id, a.at, o.id AS organisation, a.who, a.door, a.address, a.act, a.subject, a.before, a.after, a.outcome
    FROM audit a LEFT JOIN organisations o USING (organisation)
"""

#: The times alone say it once more, by which PostgreSQL chooses partitions.
_CHOSEN = """
    (a.at, a.id) > (:at, :id) AND a.at >= :at
    AND (a.at, a.id) <= (coalesce(CAST(:until AS timestamptz), 'infinity'), CAST(:last AS bigint))
    AND a.at <= coalesce(CAST(:until AS timestamptz), 'infinity')
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
        **_between(after, chosen),
        limit=limit,
    )


def records_of_all(connection: Connection, chosen: AuditFilter, after: Place, limit: int) -> list[AuditRecord]:
    """The same of every organisation and of the installation, in the order of the index `audit_at`."""
    return rows(
        connection,
        AuditRecord,
        f"{_RECORD} WHERE {_CHOSEN} ORDER BY a.at, a.id LIMIT :limit",
        **_between(after, chosen),
        limit=limit,
    )


def _place_of(address: str | None) -> str:
    """Where somebody comes from: of IPv6 a network of 64 bits, of which everybody has one at least."""
    try:
        ip = ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    return str(IPv6Network((int(ip) >> 64 << 64, 64))) if ip.version == 6 else str(ip)


def place_after(connection: Connection, organisation: int, after: Place, entries: int) -> Place | None:
    """The place of the last of so many entries about an organisation behind a place; None if there are fewer."""
    found = tuples(
        connection,
        """
        SELECT at, id FROM audit
        WHERE organisation = :organisation AND (at, id) > (:at, :id) AND at >= :at
        ORDER BY at, id OFFSET :before LIMIT 1
        """,
        organisation=organisation,
        at=after[0],
        id=after[1],
        before=entries - 1,
    )
    return next(iter(found), None)


def place_after_of_all(connection: Connection, after: Place, entries: int) -> Place | None:
    """The same of every organisation and of the installation."""
    found = tuples(
        connection,
        """
        SELECT at, id FROM audit WHERE (at, id) > (:at, :id) AND at >= :at ORDER BY at, id OFFSET :before LIMIT 1
        """,
        at=after[0],
        id=after[1],
        before=entries - 1,
    )
    return next(iter(found), None)


def _between(after: Place, chosen: AuditFilter) -> dict[str, object]:
    until, last = chosen.until or (None, 0)
    return {"at": after[0], "id": after[1], "until": until, "last": last, "who": chosen.who, "act": chosen.act}


def _json(said: dict[str, Any] | None) -> str | None:
    return None if said is None else as_json(said).decode()
