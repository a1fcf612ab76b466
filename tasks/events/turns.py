"""What waits for its turn, as SQL: what an organisation sent that would have kept others waiting (R31).

As long as anything of an organisation waits so, what it sends is stored behind it, and one piece of work takes it, in
the order of arrival and in bounded portions. Storing it needs no more than the turn lock, which nobody holds for long:
whoever stores does not wait for whoever takes.

What is first in line is asked for by a range of one organisation, in the order of the index of what waits so. Where
most of the inbox waits, the planner would read `= :organisation` as "nearly all", and look through everything that came
before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from config.database import execute, is_true, rows, value
from config.locks import ORGANISATION_LOCK, TURN_LOCK
from tasks import cells, work
from tasks.events import inbox
from tasks.events.inbox import StoredEvent, announce_quarantine
from tasks.events.schemas import Event, Reason

#: Events that are read at once.
MOST = 1000

DETAIL = "its organisation sent more than is taken at once, and what was sent before it is taken first"


@dataclass(frozen=True, slots=True)
class TurnState:
    """How an organisation stands: `busy`, somebody holds its lock at this moment; `behind`, something of it waits for
    its turn."""

    organisation: int
    id: str
    busy: bool
    behind: bool


def standing(connection: Connection, ids: Iterable[str]) -> list[TurnState]:
    """How these organisations stand, as far as they are known."""
    return rows(
        connection,
        TurnState,
        """
        SELECT o.organisation, o.id, NOT pg_try_advisory_xact_lock(:lock, o.organisation) AS busy,
               waiting.seq IS NOT NULL AS behind
        FROM organisations o
        LEFT JOIN LATERAL (
            SELECT i.seq FROM inbox i
            WHERE i.awaits = 'turn' AND i.awaits_organisation BETWEEN o.organisation AND o.organisation
            ORDER BY i.awaits_organisation, i.seq LIMIT 1) waiting ON true
        WHERE o.id = ANY(:ids)
        """,
        ids=list(ids),
        lock=ORGANISATION_LOCK,
    )


def park(connection: Connection, organisation: int, events: Sequence[Event]) -> int:
    """Keep events until it is their turn, in their order; how many were not known before (R32)."""
    lock_end(connection, organisation)
    behind = value(
        connection,
        """
        SELECT (SELECT true FROM inbox
                WHERE awaits = 'turn' AND awaits_organisation BETWEEN :organisation AND :organisation
                ORDER BY awaits_organisation, seq LIMIT 1) IS NOT NULL
        FROM organisations WHERE organisation = :organisation
        """,
        organisation=organisation,
    )
    if behind is None:
        cells.check_here(connection, {event.organisation for event in events})
    new = execute(
        connection,
        """
        INSERT INTO inbox (seq, source, id, type, organisation, state, reason, detail, awaits, awaits_organisation,
                           body)
        SELECT DISTINCT ON (c.seq) c.seq, new.source, new.id, new.type, new.named, 'waiting', :reason, :detail, 'turn',
               :organisation, new.body
        FROM claim_events(CAST(:sources AS text[]), CAST(:ids AS text[]), CAST(:named AS text[])) c
        JOIN unnest(CAST(:sources AS text[]), CAST(:ids AS text[]), CAST(:types AS text[]), CAST(:named AS text[]),
                    CAST(:bodies AS bytea[])) WITH ORDINALITY AS new (source, id, type, named, body, place)
          ON new.source = c.source AND new.id = c.id AND new.named = c.organisation
        ORDER BY c.seq, new.place
        """,
        reason=Reason.ITS_TURN.value,
        detail=DETAIL,
        organisation=organisation,
        sources=[event.source for event in events],
        ids=[event.id for event in events],
        types=[event.type for event in events],
        named=[event.organisation for event in events],
        bodies=[event.body for event in events],
    )
    if new and not behind:
        _go_on(connection, organisation)
    return new


def next_(connection: Connection, organisation: int, most: int = MOST) -> list[StoredEvent]:
    """What has its turn next, but so many at most; nobody else decides on it until the transaction ends."""
    return rows(
        connection,
        StoredEvent,
        """
        SELECT seq, awaits, body FROM inbox WHERE seq IN (
            SELECT seq FROM (
                SELECT seq, sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before
                FROM (SELECT seq, body FROM inbox
                      WHERE awaits = 'turn' AND awaits_organisation BETWEEN :organisation AND :organisation
                      ORDER BY awaits_organisation, seq LIMIT :most) line) page
            WHERE before < :octets)
        ORDER BY seq FOR UPDATE
        """,
        organisation=organisation,
        most=most,
        octets=inbox.FREED_OCTETS,
    )


def finish(connection: Connection, piece: work.Piece) -> None:
    """This piece is done; another goes on, if anything is left. Raises `LostLease`."""
    lock_end(connection, piece.organisation)
    if _any(connection, piece.organisation):
        _go_on(connection, piece.organisation)
    work.finish(connection, piece)


def give_up(connection: Connection, seq: int, detail: str) -> None:
    """Set aside an event whose turn it is and that cannot be applied, so that those behind it go on."""
    execute(
        connection,
        """
        UPDATE inbox SET state = 'quarantined', reason = :reason, detail = :detail, awaits = NULL,
            awaits_organisation = NULL
        WHERE seq = :seq
        """,
        seq=seq,
        reason=Reason.INTERNAL_ERROR.value,
        detail=detail,
    )
    announce_quarantine(connection, [seq])


def lock_end(connection: Connection, organisation: int) -> None:
    """Be the only one who may add to an organisation's line, or find that it has ended, until the transaction does."""
    execute(connection, "SELECT pg_advisory_xact_lock(:lock, :key)", lock=TURN_LOCK, key=organisation)


def _any(connection: Connection, organisation: int) -> bool:
    return is_true(
        connection,
        """
        SELECT true FROM inbox
        WHERE awaits = 'turn' AND awaits_organisation BETWEEN :organisation AND :organisation
        ORDER BY awaits_organisation, seq LIMIT 1
        """,
        organisation=organisation,
    )


def _go_on(connection: Connection, organisation: int) -> None:
    work.add(connection, organisation, "tasks", "events.take_turn", 0, ahead=True)
