"""The table of work, as SQL.

A piece is *due*, is *offered* by a wake-up that may be lost, is *running* under a lease and a fence, and is deleted
when it is finished, in the transaction that writes its outcome. `due_at` is when to wake someone for it, whatever its
state: for offered and running pieces that is when the lease runs out. `since` is when it, or the piece it is part of,
first became due, however often it was offered. *Held* pieces (paused mailings) and *scheduled* ones rest, and so do
*failing* ones, whose workers never came back: they are tried again after a pause, which grows, with nothing beside
them, or when a person says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import randrange

import structlog
from sqlalchemy import Connection

from config.database import changes_any, execute, is_true, one, rows, value
from config.sql import query

log = structlog.get_logger()

#: Tries of a piece with nothing beside it in its process, none of which came back, after which it is set aside.
MOST_ALONE = 4

#: Pauses of a piece that was set aside before it is tried once more: the first, which doubles each time, and the
#: longest. Workers may have been killed for reasons of their own, and work that does kill them takes few (R31).
FIRST_ASIDE, LONGEST_ASIDE = timedelta(minutes=5), timedelta(days=1)

#: The beginning of a statement that writes down a set of pieces, due at once: its SELECT follows.
ADD = "INSERT INTO work (organisation, queue, actor, subject, low, high)"

#: By how much earlier what goes ahead is due than it is written down.
AHEAD = timedelta(days=1)

#: What `lost` reads of a piece that has just been set aside.
_FAILING = -1


class LostLease(Exception):
    """The lease ran out and the work belongs to someone else by now; nothing of ours may be written."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of work that is ours, as long as the fence stands. `waited`: seconds since it first became due."""

    organisation: int
    work: int
    actor: str
    queue: str
    subject: int
    low: int
    high: int
    fence: int
    failures: int
    begun: int | None
    lost: int
    waited: float = 0.0
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A piece someone is to be woken for; `again`: somebody was, and has not come back."""

    organisation: int
    work: int
    actor: str
    queue: str
    again: bool = False


def add(
    connection: Connection,
    organisation: int,
    queue: str,
    actor: str,
    subject: int,
    ranges: Iterable[tuple[int, int]] = ((0, 0),),
    *,
    scheduled_for: datetime | None = None,
    ahead: bool = False,
    part_of: Piece | None = None,
) -> None:
    """Write down what is to be done, one piece for each range; `ahead`: before what else its organisation has to be
    done; `part_of`: what a piece turns out to consist of has waited since that piece has, and takes its place."""
    pairs = list(ranges)
    execute(
        connection,
        """
        INSERT INTO work (organisation, queue, actor, subject, low, high, state, due_at, since)
        SELECT :organisation, :queue, :actor, :subject, low, high,
               CASE WHEN CAST(:at AS timestamptz) IS NULL THEN 'due' ELSE 'scheduled' END,
               at - CAST(:ahead AS interval), at
        FROM unnest(CAST(:lows AS int[]), CAST(:highs AS int[])) AS new (low, high)
        CROSS JOIN (SELECT coalesce(:at, (SELECT since FROM work WHERE organisation = :organisation AND work = :whole),
                                    now()) AS at) line
        """,
        organisation=organisation,
        queue=queue,
        actor=actor,
        subject=subject,
        at=scheduled_for,
        ahead=AHEAD if ahead else timedelta(),
        whole=part_of and part_of.work,
        lows=[low for low, _ in pairs],
        highs=[high for _, high in pairs],
    )


def offer(connection: Connection, *queues: str, bound: int, repeat: timedelta) -> list[Offer]:
    """Choose what to wake workers for: at most `bound` pieces of each queue in flight, organisations in turns (R31).

    What was offered or begun and is due again lost its wake-up or its worker, or waits behind others: it is offered
    again, and keeps its place. Did it not, a slow queue would fill with one organisation's pieces, turn by turn. An
    offer is not waited for until it is on disk: one that is lost is made again.
    """
    return rows(
        connection,
        Offer,
        query("work.offer"),
        queues=list(queues),
        bound=bound,
        repeat=repeat,
    )


def claim(connection: Connection, organisation: int, work: int, lease: timedelta) -> Piece | None:
    """Make a piece ours for `lease`, or None where it is finished, resting, or someone else's; or is set aside now for
    a while, because the workers that tried it alone never came back.

    `lost` says how many claims, with this one, were not followed by anything. That somebody works on its queue is noted
    at most every two seconds, so that claims do not wait for one another.
    """
    piece = one(
        connection,
        Piece,
        query("work.claim"),
        organisation=organisation,
        work=work,
        lease=lease,
        most=MOST_ALONE,
        first_aside=FIRST_ASIDE,
        longest_aside=LONGEST_ASIDE,
        failing=_FAILING,
    )
    if piece is not None and piece.lost == _FAILING:
        log.error("work.set_aside", actor=piece.actor, work=piece.work, organisation=piece.organisation)
        return None
    return piece


def accuse(connection: Connection, piece: Piece) -> None:
    """Count, before it is tried with nothing beside it, a piece whose worker may be lost by it."""
    changed = execute(
        connection,
        "UPDATE work SET alone = alone + 1 WHERE organisation = :organisation AND work = :work AND fence = :fence",
        **_claim_of(piece),
    )
    _ours(connection, changed, piece)


def retry(connection: Connection, number: int) -> bool:
    """Try a piece again that was set aside; whether there is one."""
    return changes_any(
        connection,
        """
        UPDATE work SET state = 'due', due_at = now(), since = now(), lost = 0, alone = 0, failures = 0,
            fence = fence + 1
        WHERE work = :number AND state = 'failing' RETURNING pg_notify('rollcall_relay', 'work')
        """,
        number=number,
    )


def give_up(connection: Connection, number: int) -> bool:
    """Delete a piece that was set aside; whether there is one."""
    return changes_any(connection, "DELETE FROM work WHERE work = :number AND state = 'failing'", number=number)


def _claim_of(piece: Piece) -> dict[str, int]:
    return {"organisation": piece.organisation, "work": piece.work, "fence": piece.fence}


def _ours(connection: Connection, changed: int, piece: Piece) -> None:
    if not changed:
        connection.rollback()
        raise LostLease(f"work {piece.work} is no longer ours")


def finish(connection: Connection, piece: Piece) -> None:
    """The piece is done; with its outcome, or not at all: raises `LostLease` where the fence has moved on."""
    changed = execute(
        connection,
        "DELETE FROM work WHERE organisation = :organisation AND work = :work AND fence = :fence",
        **_claim_of(piece),
    )
    _ours(connection, changed, piece)


@dataclass(frozen=True, slots=True)
class Beat:
    """A count of the groups that were begun: a database that was restored from a backup counts again what others
    remember."""

    shard: int
    n: int


#: The parts in which groups are counted: those who count at once seldom wait for each other.
SHARDS = 32


def mark(connection: Connection, piece: Piece, begun: int, lease: timedelta) -> Beat:
    """Note durably how far sending has begun, count it, and stay the owner for another `lease`."""
    beat = one(
        connection,
        Beat,
        """
        WITH counted AS (
            UPDATE mail_pulses SET n = n + 1 WHERE shard = :shard RETURNING shard, n
        )
        UPDATE work SET begun = :begun, state = 'running', due_at = now() + :lease, lost = 0, alone = 0
        FROM counted
        WHERE organisation = :organisation AND work = :work AND fence = :fence
        RETURNING counted.shard, counted.n
        """,
        **_claim_of(piece),
        begun=begun,
        lease=lease,
        shard=randrange(SHARDS),  # noqa: S311 - no secret
    )
    _ours(connection, beat is not None, piece)
    assert beat is not None  # noqa: S101 - it would not be ours
    return beat


def count_from(connection: Connection, begin: int) -> None:
    """Let what is begun from now on be counted from a number on."""
    execute(connection, "UPDATE mail_pulses SET n = :begin", begin=begin)


def extend(connection: Connection, piece: Piece, lease: timedelta) -> None:
    """Stay the owner for another `lease`; also of a piece that was offered again before anyone else took it."""
    changed = execute(
        connection,
        """
        UPDATE work SET state = 'running', due_at = now() + :lease
        WHERE organisation = :organisation AND work = :work AND fence = :fence
        """,
        **_claim_of(piece),
        lease=lease,
    )
    _ours(connection, changed, piece)


def release(
    connection: Connection,
    piece: Piece,
    *,
    after: timedelta,
    failed: bool,
    held: bool = False,
    written: bool = True,
) -> None:
    """Give a piece back: to be tried again `after` a pause, or *held* until it is resumed.

    `written` says that every outcome is in the ledger. Where that is not known, how far sending had begun stays noted:
    whoever comes next must treat those as uncertain (R19). The fence moves on, so that nothing of ours comes after.
    """
    changed = execute(
        connection,
        """
        UPDATE work SET fence = fence + 1, lost = 0, alone = 0, begun = CASE WHEN NOT :written THEN begun END,
            failures = CASE WHEN :failed THEN failures + 1 ELSE 0 END,
            state = CASE WHEN :held THEN 'held' ELSE 'due' END,
            due_at = CASE WHEN :held THEN 'infinity' ELSE now() + CAST(:after AS interval) END,
            since = now() + CAST(:after AS interval)
        WHERE organisation = :organisation AND work = :work AND fence = :fence
        RETURNING pg_notify('rollcall_relay', 'work')
        """,
        **_claim_of(piece),
        after=after,
        failed=failed,
        held=held,
        written=written,
    )
    _ours(connection, changed, piece)


def others_wait(connection: Connection, queue: str) -> bool:
    """Whether any piece of a queue is due that nobody has begun, or its pool is paused, or anything is
    halted: whoever works leaves off."""
    return is_true(
        connection,
        """
        SELECT EXISTS (
            SELECT FROM work WHERE queue = :queue AND (state = 'offered' OR state = 'due' AND due_at <= now()))
            OR EXISTS (SELECT FROM pools WHERE queue = :queue AND paused_at IS NOT NULL)
            OR EXISTS (SELECT FROM halts)
        """,
        queue=queue,
    )


def next_due_seconds(connection: Connection) -> float | None:
    """Seconds until the next piece becomes due, or None. What is due already is to be offered after this is asked; if
    it then waits for room, room is announced."""
    seconds = value(
        connection,
        "SELECT extract(epoch FROM min(due_at) - now()) FROM work WHERE due_at > now() AND due_at < 'infinity'",
    )
    return None if seconds is None else float(seconds)


def any_running(connection: Connection, organisation: int) -> bool:
    """Whether anybody works for an organisation, under a lease."""
    return is_true(
        connection,
        """
        SELECT EXISTS (
            SELECT FROM work WHERE organisation = :organisation AND state = 'running' AND due_at > now())
        """,
        organisation=organisation,
    )


def revoke_claims(connection: Connection, organisation: int) -> None:
    """Let nobody finish what they began for an organisation under a lease that ran out."""
    execute(
        connection,
        "UPDATE work SET fence = fence + 1, state = 'due' WHERE organisation = :organisation AND state = 'running'",
        organisation=organisation,
    )
