"""How much work there is, queue by queue, and what is set aside; as SQL."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from config.database import integer, rows
from config.sql import query

#: How long due work may wait while nobody has begun any of its queue; then the queue's pool does not run, or no relay
#: does. Longer than it takes to repeat a wake-up that was lost.
STALLED_AFTER = timedelta(seconds=10)


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


def loads(connection: Connection) -> list[Load]:
    """How the queues stand."""
    return rows(
        connection,
        Load,
        query("work.loads"),
        after=STALLED_AFTER,
    )


def unfinished(connection: Connection) -> int:
    """How many pieces are to be done yet; what is scheduled, held, halted or set aside rests and does not count. As in
    `work.loads`, what is halted is asked once for each kind of an organisation."""
    return integer(
        connection,
        """
        SELECT coalesce(sum(n) FILTER (WHERE running OR NOT halted(organisation, actor)), 0) FROM (
            SELECT organisation, actor, state = 'running' AS running, count(*) AS n FROM work
            WHERE state NOT IN ('held', 'scheduled', 'failing') GROUP BY organisation, actor, running) kinds
        """,
    )


@dataclass(frozen=True, slots=True)
class FailingWork:
    """A piece that is set aside, as `rollcall work failing` lists it."""

    number: int
    organisation: str
    queue: str
    actor: str
    subject: int


def failing(connection: Connection, after: int = 0, limit: int | None = None) -> list[FailingWork]:
    """The pieces that were set aside because whoever tried them never came back, those with a higher number than
    `after`."""
    return rows(
        connection,
        FailingWork,
        """
        SELECT w.work AS number, o.id AS organisation, w.queue, w.actor, w.subject
        FROM work w JOIN organisations o USING (organisation)
        WHERE w.state = 'failing' AND w.work > :after ORDER BY w.work LIMIT CAST(:limit AS int)
        """,
        after=after,
        limit=limit,
    )
