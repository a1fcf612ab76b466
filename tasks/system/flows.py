"""How much waited and how much went through, minute by minute, for the last two days; as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import Connection

from config.database import execute, rows, the_one, value
from tasks.system.rules import FlowSample, with_idle_minutes

#: How long samples are kept: of five flows every minute, some 14,000 rows.
KEPT = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Positions:
    """Numbers that only grow, of events stored and published, in this minute. `at_rest`: there is no work, not even for
    later, and every event is published."""

    minute: datetime
    stored: int
    published: int
    at_rest: bool


def positions(connection: Connection) -> Positions:
    """How far the events have come, in and out."""
    return the_one(
        connection,
        Positions,
        """
        SELECT date_trunc('minute', now()) AS minute, published,
               coalesce(pg_sequence_last_value(pg_get_serial_sequence('arrivals', 'seq')), 0) AS stored,
               ordered = published AND NOT EXISTS (SELECT FROM outbox WHERE position IS NULL)
               AND NOT EXISTS (SELECT FROM work) AS at_rest
        FROM publication
        """,
    )


def keep(connection: Connection, found: Sequence[FlowSample]) -> None:
    """Keep the samples of a minute, unless there are some."""
    execute(
        connection,
        """
        INSERT INTO samples (at, flow, waiting, oldest_seconds, in_flight, failing, passed, busy_seconds)
        SELECT * FROM unnest(
            CAST(:at AS timestamptz[]), CAST(:flow AS text[]), CAST(:waiting AS bigint[]),
            CAST(:oldest_seconds AS float[]), CAST(:in_flight AS bigint[]), CAST(:failing AS bigint[]),
            CAST(:passed AS bigint[]), CAST(:busy_seconds AS float[]))
        ON CONFLICT DO NOTHING
        """,
        **{field.name: [getattr(one, field.name) for one in found] for field in fields(FlowSample)},
    )


def forget_samples(connection: Connection) -> int:
    """Drop the samples whose time is over; how many."""
    return execute(connection, "DELETE FROM samples WHERE at < now() - CAST(:kept AS interval)", kept=KEPT)


def samples(connection: Connection, hours: int) -> list[FlowSample]:
    """How each flow stood in each minute of the last hours, as far as it is known, the oldest first."""
    kept = rows(
        connection,
        FlowSample,
        """
        SELECT at, flow, waiting, oldest_seconds, in_flight, failing, passed, busy_seconds
        FROM samples
        WHERE at > now() - make_interval(hours => :hours) ORDER BY at, flow
        """,
        hours=hours,
    )
    return with_idle_minutes(kept, value(connection, "SELECT date_trunc('minute', now())"))
