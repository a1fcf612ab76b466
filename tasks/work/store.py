"""The table of work, as SQL.

A piece is *due*, is *offered* by a wake-up that may be lost, is *running* under a lease and a fence, and is deleted
when it is finished, in the transaction that writes its outcome. `due_at` is when to wake someone for it, whatever its
state: for offered and running pieces that is when the lease runs out. `since` is when it first became due, however
often it was offered. *Held* pieces (paused mailings) and *scheduled* ones rest, and so do *failing* ones, whose workers
never came back, until a person says otherwise.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import randrange

import structlog
from sqlalchemy import Connection

from config.database import execute, one, rows, value

log = structlog.get_logger()

#: Tries of a piece with nothing beside it in its process, none of which came back, after which it is set aside.
MOST_ALONE = 4

#: The beginning of a statement that writes down a set of pieces, due at once: its SELECT follows.
ADD = "INSERT INTO work (organisation, queue, actor, subject, low, high)"

#: By how much earlier what goes ahead is due than it is written down.
AHEAD = timedelta(days=1)

#: What `lost` reads of a piece that has just been set aside.
_FAILING = -1

#: How long due work may wait while nobody has begun any of its queue; then the queue's pool does not run, or no relay
#: does. Longer than it takes to repeat a wake-up that was lost.
STALLED_AFTER = timedelta(seconds=10)


class LostLease(Exception):
    """The lease ran out and the work belongs to someone else by now; nothing of ours may be written."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of work that is ours, as long as the fence stands."""

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


@dataclass(frozen=True, slots=True)
class Offer:
    """A piece someone is to be woken for."""

    organisation: int
    work: int
    actor: str


@dataclass(frozen=True, slots=True)
class Load:
    """How one queue stands. `due`: nobody has begun it, whoever was woken for it; `in_flight`: begun, under a lease
    that has not run out; `stalled`: workers were woken for what is due, and for `STALLED_AFTER` nobody has begun any;
    `unoffered`: as long, and nobody was woken for any of it."""

    queue: str
    due: int
    oldest_due_seconds: float | None
    in_flight: int
    resting: int
    failing: int
    stalled: bool
    unoffered: bool = False


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
) -> None:
    """Write down what is to be done, one piece for each range; `ahead`: before what else its organisation has to be
    done."""
    pairs = list(ranges)
    execute(
        connection,
        """
        INSERT INTO work (organisation, queue, actor, subject, low, high, state, due_at, since)
        SELECT :organisation, :queue, :actor, :subject, low, high,
               CASE WHEN CAST(:at AS timestamptz) IS NULL THEN 'due' ELSE 'scheduled' END,
               coalesce(:at, now()) - CAST(:ahead AS interval), coalesce(:at, now())
        FROM unnest(CAST(:lows AS int[]), CAST(:highs AS int[])) AS new (low, high)
        """,
        organisation=organisation,
        queue=queue,
        actor=actor,
        subject=subject,
        at=scheduled_for,
        ahead=AHEAD if ahead else timedelta(),
        lows=[low for low, _ in pairs],
        highs=[high for _, high in pairs],
    )


def offer(connection: Connection, queue: str, *, bound: int, repeat: timedelta) -> list[Offer]:
    """Choose what to wake workers for: at most `bound` pieces of a queue in flight, organisations in turns (R31).

    What was offered or begun and is due again lost its wake-up or its worker, or waits behind others: it is offered
    again, and keeps its place. Did it not, a slow queue would fill with one organisation's pieces, turn by turn.
    """
    return rows(
        connection,
        Offer,
        """
        WITH RECURSIVE waiting AS (
            (SELECT organisation FROM work
             WHERE queue = :queue AND due_at <= now() AND state IN ('due', 'scheduled')
             ORDER BY organisation LIMIT 1)
            UNION ALL
            SELECT (SELECT w.organisation FROM work w
                    WHERE w.queue = :queue AND w.organisation > waiting.organisation AND w.due_at <= now()
                      AND w.state IN ('due', 'scheduled')
                    ORDER BY w.organisation LIMIT 1)
            FROM waiting WHERE waiting.organisation IS NOT NULL
        ), in_flight AS (
            SELECT organisation, work, due_at FROM work WHERE queue = :queue AND state IN ('offered', 'running')
        ), busy AS (
            SELECT organisation, count(*) AS pieces FROM in_flight GROUP BY organisation
        ), turns AS (
            SELECT next.organisation, next.work, next.since,
                   coalesce(busy.pieces, 0)
                       + row_number() OVER (PARTITION BY next.organisation ORDER BY next.due_at, next.work) AS turn
            FROM waiting
            CROSS JOIN LATERAL (
                SELECT w.organisation, w.work, w.due_at, w.since FROM work w
                WHERE w.queue = :queue AND w.organisation = waiting.organisation AND w.due_at <= now()
                  AND w.state IN ('due', 'scheduled')
                ORDER BY w.due_at, w.work LIMIT :bound
            ) next
            LEFT JOIN busy ON busy.organisation = next.organisation
        ), chosen AS (
            SELECT organisation, work FROM in_flight WHERE due_at <= now()
            UNION ALL
            (SELECT organisation, work FROM turns ORDER BY turn, since
             LIMIT (SELECT greatest(:bound - count(*), 0) FROM in_flight))
        )
        UPDATE work SET state = 'offered', due_at = now() + :repeat
        FROM chosen WHERE work.organisation = chosen.organisation AND work.work = chosen.work
        RETURNING work.organisation, work.work, work.actor
        """,
        queue=queue,
        bound=bound,
        repeat=repeat,
    )


def claim(connection: Connection, organisation: int, work: int, lease: timedelta) -> Piece | None:
    """Make a piece ours for `lease`, or None where it is finished, resting, or someone else's; or is set aside now,
    because the workers that tried it alone never came back.

    `lost` says how many claims, with this one, were not followed by anything. That somebody works on its queue is noted
    at most every two seconds, so that claims do not wait for one another.
    """
    piece = one(
        connection,
        Piece,
        """
        WITH claimed AS (
            UPDATE work SET fence = fence + 1, lost = lost + 1,
                state = CASE WHEN alone >= :most THEN 'failing' ELSE 'running' END,
                due_at = CASE WHEN alone >= :most THEN 'infinity' ELSE now() + CAST(:lease AS interval) END
            WHERE organisation = :organisation AND work = :work
              AND (state = 'offered' OR state IN ('due', 'running', 'scheduled') AND due_at <= now())
            RETURNING organisation, work, actor, queue, subject, low, high, fence, failures, begun,
                CASE WHEN state = 'failing' THEN :failing ELSE lost END AS lost
        ), noted AS (
            UPDATE pools SET claimed_at = now() FROM claimed
            WHERE pools.queue = claimed.queue AND claimed_at < now() - interval '2 seconds'
        )
        SELECT * FROM claimed
        """,
        organisation=organisation,
        work=work,
        lease=lease,
        most=MOST_ALONE,
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
        organisation=piece.organisation,
        work=piece.work,
        fence=piece.fence,
    )
    _ours(connection, changed, piece)


@dataclass(frozen=True, slots=True)
class Failing:
    """A piece that is set aside, as `rollcall work failing` lists it."""

    number: int
    organisation: str
    queue: str
    actor: str
    subject: int


def failing(connection: Connection) -> list[Failing]:
    """The pieces that were set aside because whoever tried them never came back."""
    return rows(
        connection,
        Failing,
        """
        SELECT w.work AS number, o.id AS organisation, w.queue, w.actor, w.subject
        FROM work w JOIN organisations o USING (organisation)
        WHERE w.state = 'failing' ORDER BY w.work
        """,
    )


def retry(connection: Connection, number: int) -> bool:
    """Try a piece again that was set aside; whether there is one."""
    found = execute(
        connection,
        """
        UPDATE work SET state = 'due', due_at = now(), since = now(), lost = 0, alone = 0, failures = 0,
            fence = fence + 1
        WHERE work = :number AND state = 'failing'
        """,
        number=number,
    )
    execute(connection, "NOTIFY rollcall_relay")
    return found > 0


def _ours(connection: Connection, changed: int, piece: Piece) -> None:
    if not changed:
        connection.rollback()
        raise LostLease(f"work {piece.work} is no longer ours")


def finish(connection: Connection, piece: Piece) -> None:
    """The piece is done; with its outcome, or not at all: raises `LostLease` where the fence has moved on."""
    changed = execute(
        connection,
        "DELETE FROM work WHERE organisation = :organisation AND work = :work AND fence = :fence",
        organisation=piece.organisation,
        work=piece.work,
        fence=piece.fence,
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
        organisation=piece.organisation,
        work=piece.work,
        fence=piece.fence,
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
        organisation=piece.organisation,
        work=piece.work,
        fence=piece.fence,
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
        """,
        organisation=piece.organisation,
        work=piece.work,
        fence=piece.fence,
        after=after,
        failed=failed,
        held=held,
        written=written,
    )
    _ours(connection, changed, piece)
    execute(connection, "NOTIFY rollcall_relay")


def others_wait(connection: Connection, queue: str) -> bool:
    """Whether any piece of a queue is due that nobody has begun."""
    return bool(
        value(
            connection,
            """
            SELECT EXISTS (
                SELECT FROM work WHERE queue = :queue AND (state = 'offered' OR state = 'due' AND due_at <= now()))
            """,
            queue=queue,
        )
    )


def next_due_seconds(connection: Connection) -> float | None:
    """Seconds until the next piece becomes due, or None. What is due already waits for room, and room is announced."""
    seconds = value(
        connection,
        "SELECT extract(epoch FROM min(due_at) - now()) FROM work WHERE due_at > now() AND due_at < 'infinity'",
    )
    return None if seconds is None else float(seconds)


def loads(connection: Connection) -> list[Load]:
    """How the queues stand."""
    return rows(
        connection,
        Load,
        """
        WITH pieces AS (
            SELECT queue, since, state = 'running' AND due_at > now() AS in_flight, state = 'failing' AS failing,
                   state = 'offered' OR state <> 'held' AND due_at <= now() AS due,
                   state = 'offered' AND due_at > now() - :after AS offered
            FROM work
        ), queues AS (
            SELECT queue, count(*) FILTER (WHERE due) AS due,
                   CAST(extract(epoch FROM now() - min(since) FILTER (WHERE due)) AS float) AS oldest_due_seconds,
                   count(*) FILTER (WHERE in_flight) AS in_flight,
                   count(*) FILTER (WHERE NOT due AND NOT in_flight AND NOT failing) AS resting,
                   count(*) FILTER (WHERE failing) AS failing, bool_or(offered) AS offered
            FROM pieces GROUP BY queue
        )
        SELECT queue, due, oldest_due_seconds, in_flight, resting, failing, waits AND offered AS stalled,
               waits AND NOT offered AS unoffered
        FROM queues LEFT JOIN pools USING (queue) CROSS JOIN LATERAL (
            SELECT due > 0 AND in_flight = 0 AND oldest_due_seconds >= extract(epoch FROM CAST(:after AS interval))
                AND coalesce(claimed_at < now() - :after, true) AS waits
        ) long
        ORDER BY queue
        """,
        after=STALLED_AFTER,
    )


def unfinished(connection: Connection) -> int:
    """How many pieces are to be done yet; what is scheduled, held or set aside rests and does not count."""
    return int(value(connection, "SELECT count(*) FROM work WHERE state NOT IN ('held', 'scheduled', 'failing')") or 0)
