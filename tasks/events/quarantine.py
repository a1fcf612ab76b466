"""What waits or is quarantined, for those who look at it and decide on it, as SQL."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection

from config.database import execute, integer, is_true, rows
from config.recent import Recent
from config.sql import query
from tasks.events.awaited import Kind, in_words
from tasks.events.schemas import WHAT_TO_DO, Reason

#: Events read at once by what lists them, and octets of their bodies after which no other is read with them.
PAGE, PAGE_OCTETS = 500, 8_000_000

#: Events that wait or are quarantined from which on they are counted anew after so many seconds.
MANY, COUNTED_SECONDS = 10_000, 1.0

_COUNTED: Recent[dict[str, int]] = Recent(COUNTED_SECONDS, lambda counted: sum(counted.values()) >= MANY)


@dataclass(frozen=True, slots=True)
class EventRef:
    """Which event a person means: an id is unique only in its source. What has no id goes by the number it came under,
    and `id` is that."""

    id: str
    organisation: str | None = None
    source: str | None = None
    by_number: bool = False


@dataclass(frozen=True, slots=True)
class UnresolvedEvent:
    """An event that waits or is quarantined, for a person who decides on it."""

    seq: int
    reason: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An event that could not be taken, as `rollcall events quarantined` lists it. Its `payload` is what came in: as it
    is where that is `text`, otherwise in `base64`."""

    number: int
    id: str
    source: str
    type: str | None
    organisation: str | None
    state: str
    reason: str
    detail: str | None
    waits_for: str | None
    what_to_do: str
    since: datetime
    payload: str
    payload_is: Literal["text", "base64"]


@dataclass(frozen=True, slots=True)
class DecidedEvent:
    """What a person made of an event that could not be taken (R27, S12)."""

    number: int
    id: str
    source: str
    type: str | None
    organisation: str | None
    state: str
    reason: str
    by: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class _UnresolvedRow:
    seq: int
    id: str
    source: str
    type: str | None
    organisation: str | None
    state: str
    reason: str
    detail: str | None
    awaits: Kind | None
    awaits_id: str | None
    since: datetime
    body: bytes
    found: int


def quarantined(connection: Connection, organisation: str | None) -> Iterator[Quarantined]:
    """What could not be taken, of everybody or of those named so, oldest first; read in pages, however many."""
    last, more = 0, True
    while more:
        found, more = quarantined_page(connection, organisation, last, PAGE)
        yield from found
        last = found[-1].number if found else last


def quarantined_page(
    connection: Connection,
    organisation: str | None,
    after: int,
    limit: int,
    *,
    reason: str | None = None,
    state: str | None = None,
) -> tuple[list[Quarantined], bool]:
    """What could not be taken, and came after a number; so many at most, and of large ones fewer. Whether there is
    more."""
    found = rows(
        connection,
        _UnresolvedRow,
        query("events.quarantined"),
        last=after,
        named=organisation,
        reason=reason,
        state=state,
        page=limit,
        octets=PAGE_OCTETS,
    )
    return [_listed(row) for row in found], bool(found) and found[0].found > len(found)


def _listed(row: _UnresolvedRow) -> Quarantined:
    try:
        text = row.body.decode()
    except UnicodeDecodeError:
        text = None
    return Quarantined(
        number=row.seq,
        id=row.id,
        source=row.source,
        type=row.type,
        organisation=row.organisation,
        state=row.state,
        reason=row.reason,
        detail=row.detail,
        waits_for=in_words(row.awaits, row.awaits_id),
        what_to_do=WHAT_TO_DO[Reason(row.reason)],
        since=row.since,
        payload=b64encode(row.body).decode() if text is None else text,
        payload_is="base64" if text is None else "text",
    )


def decided(connection: Connection, organisation: str | None, after: int, limit: int) -> list[DecidedEvent]:
    """What people released and discarded, and came after a number, in the order in which it arrived."""
    return rows(
        connection,
        DecidedEvent,
        """
        SELECT seq AS number, id, source, type, organisation, state, reason, resolved_by AS by, resolved_why AS why,
               resolved_at AS at
        FROM inbox
        WHERE state IN ('released', 'discarded') AND seq > :last
          AND (CAST(:named AS text) IS NULL OR organisation = :named)
        ORDER BY seq LIMIT :page
        """,
        last=after,
        named=organisation,
        page=limit,
    )


def unresolved(connection: Connection, wanted: EventRef, *, decide: bool = True) -> list[UnresolvedEvent]:
    """The events that are meant and wait or are quarantined; nobody else may `decide` on them until the transaction
    ends."""
    return rows(
        connection,
        UnresolvedEvent,
        """
        SELECT seq, reason, body FROM inbox
        WHERE state IN ('waiting', 'quarantined')
          AND CASE WHEN CAST(:by_number AS bool) THEN CAST(seq AS text) ELSE id END = :id
          AND (CAST(:named AS text) IS NULL OR organisation = :named)
          AND (CAST(:source AS text) IS NULL OR source = :source)
        ORDER BY seq
        """
        + ("FOR UPDATE" if decide else ""),
        id=wanted.id,
        by_number=wanted.by_number,
        named=wanted.organisation,
        source=wanted.source,
    )


_IS_CALLED = """
    SELECT EXISTS (SELECT FROM arrivals WHERE id = :id) OR EXISTS (SELECT FROM inbox WHERE id = :id)
"""


def is_called(connection: Connection, id_: str) -> bool:
    """Whether an event with this id ever came, of whatever source, and is kept."""
    return is_true(connection, _IS_CALLED, id=id_)


def unresolved_after(connection: Connection, organisation: str, seq: int) -> list[UnresolvedEvent]:
    """The next page of what waits or is quarantined, of an organisation or of nobody knows which; it stays as it is
    until the transaction ends."""
    return rows(
        connection,
        UnresolvedEvent,
        query("events.unresolved_after"),
        seq=seq,
        named=organisation,
        page=PAGE,
        octets=PAGE_OCTETS,
    )


def rewrite(connection: Connection, seq: int, body: bytes) -> None:
    """Keep another text of an event that could not be taken."""
    execute(connection, "UPDATE inbox SET body = :body WHERE seq = :seq", seq=seq, body=body)


def resolve(connection: Connection, entry: UnresolvedEvent, state: str, *, by: str, why: str) -> None:
    """Record who decided on an event, and why (S12). The reason stays: what was malformed does not use up its id."""
    execute(
        connection,
        """
        UPDATE inbox SET state = :state, awaits = NULL, awaits_organisation = NULL, awaits_id = NULL,
            awaits_course = NULL, awaits_cycle = NULL, awaits_learner = NULL, until = NULL, body = NULL, detail = NULL,
            reason = :reason, resolved_by = :by, resolved_why = :why, resolved_at = now()
        WHERE seq = :seq
        """,
        seq=entry.seq,
        state=state,
        reason=entry.reason,
        by=by,
        why=why,
    )


def unresolved_counts(connection: Connection) -> dict[str, int]:
    """How many events wait for what they name, for their turn, and are quarantined; of many, a moment ago."""
    return _COUNTED.ask(connection, None, lambda: _unresolved(connection))


def _unresolved(connection: Connection) -> dict[str, int]:
    counts = {
        state: integer(connection, "SELECT count(*) FROM inbox WHERE state = :state", state=state)
        for state in ("waiting", "quarantined")
    }
    turn = integer(connection, "SELECT count(*) FROM inbox WHERE reason = 'its turn' AND state = 'waiting'")
    return {"waiting": counts["waiting"] - turn, "turn": turn, "quarantined": counts["quarantined"]}
