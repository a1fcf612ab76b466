"""How much waited and how much went through, minute by minute, for the last two days; as SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection

from config.database import execute, one, rows

#: How long samples are kept: of five flows every minute, some 14,000 rows.
KEPT = timedelta(hours=48)


class Flow(StrEnum):
    """What work or events go through: the queues of the pools, and the streams."""

    TASKS = "tasks"
    MAIL = "mail"
    BULK = "bulk"
    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class FlowSample:
    """How a flow stood in a minute. `passed`: pieces that workers were woken for, events that were stored or published,
    since the minute before; what is null was not known."""

    at: datetime
    flow: Flow
    waiting: int | None
    oldest_seconds: float | None
    in_flight: int
    failing: int
    passed: int | None


@dataclass(frozen=True, slots=True)
class Positions:
    """Numbers that only grow: of events stored and published."""

    stored: int
    published: int


def positions(connection: Connection) -> Positions:
    """How far the events have come, in and out."""
    found = one(
        connection,
        Positions,
        "SELECT coalesce((SELECT max(seq) FROM inbox), 0) AS stored, published FROM publication",
    )
    assert found is not None  # noqa: S101 - the migration wrote the one row
    return found


def keep(connection: Connection, found: Mapping[Flow, Sequence[float | None]]) -> None:
    """Keep the sample of this minute, unless there is one: of each flow what waits, for how long, what is in flight and
    failing, and what has passed."""
    waiting, oldest, in_flight, failing, passed = zip(*found.values(), strict=True)
    execute(
        connection,
        """
        INSERT INTO samples (at, flow, waiting, oldest_seconds, in_flight, failing, passed)
        SELECT date_trunc('minute', now()), * FROM unnest(
            CAST(:flows AS text[]), CAST(:waiting AS bigint[]), CAST(:oldest AS float[]),
            CAST(:in_flight AS bigint[]), CAST(:failing AS bigint[]), CAST(:passed AS bigint[]))
        ON CONFLICT DO NOTHING
        """,
        flows=list(found),
        waiting=list(waiting),
        oldest=list(oldest),
        in_flight=list(in_flight),
        failing=list(failing),
        passed=list(passed),
    )


def forget_samples(connection: Connection) -> int:
    """Drop the samples whose time is over; how many."""
    return execute(connection, "DELETE FROM samples WHERE at < now() - CAST(:kept AS interval)", kept=KEPT)


def samples(connection: Connection, hours: int) -> list[FlowSample]:
    """The samples of the last hours, the oldest first."""
    return rows(
        connection,
        FlowSample,
        """
        SELECT at, flow, waiting, oldest_seconds, in_flight, failing, passed FROM samples
        WHERE at > now() - make_interval(hours => :hours) ORDER BY at, flow
        """,
        hours=hours,
    )
