"""Which processes run, and what they counted, as SQL."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection

from config.database import execute, rows, tuples, value

#: How long a process may say nothing before it counts as gone: it says something once a minute.
GONE_AFTER = timedelta(seconds=150)


class ProcessRole(StrEnum):
    """What a process is started as."""

    INGRESS = "ingress"
    RELAY = "relay"
    POOL = "pool"
    BOUNCES = "bounces"
    WEB = "web"
    WEBHOOKS = "webhooks"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that runs. `queues`: those that a pool works on; `leads`: of a relay, it is the one that does the
    chores; `busy_with`: what a pool works on, when it last said so; `silent_seconds`: how long ago that was."""

    role: str
    host: str
    pid: int
    release: str
    queues: list[str]
    leads: bool
    busy_with: str | None
    since: datetime
    silent_seconds: float


def report(
    connection: Connection,
    process: UUID,
    role: ProcessRole,
    host: str,
    pid: int,
    release: str,
    queues: Sequence[str],
    *,
    leads: bool,
    busy_with: str | None,
) -> datetime:
    """Say that a process runs, and forget those that have not said so for long. One statement, that need not be on the
    disk; what the database's clock says."""
    said: datetime = value(
        connection,
        """
        WITH gone AS (
            DELETE FROM processes WHERE seen_at < now() - CAST(:gone_after AS interval) AND process <> :process
        )
        INSERT INTO processes (process, role, host, pid, release, queues, leads, busy_with)
        SELECT :process, :role, :host, :pid, :release, CAST(:queues AS text[]), :leads, :busy_with
        WHERE (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
        ON CONFLICT (process) DO UPDATE SET seen_at = now(), leads = excluded.leads, busy_with = excluded.busy_with
        RETURNING clock_timestamp()
        """,
        process=process,
        role=role.value,
        host=host,
        pid=pid,
        release=release,
        queues=list(queues),
        leads=leads,
        busy_with=busy_with,
        gone_after=GONE_AFTER * 10,
    )
    return said


def leave(connection: Connection, process: UUID) -> None:
    """Say that a process ends."""
    execute(connection, "DELETE FROM processes WHERE process = :process", process=process)


def processes(connection: Connection) -> list[Process]:
    """The processes that run, by their role."""
    return rows(
        connection,
        Process,
        """
        SELECT role, host, pid, release, queues, leads, busy_with, since,
               CAST(extract(epoch FROM now() - seen_at) AS float) AS silent_seconds
        FROM processes WHERE seen_at >= now() - CAST(:gone_after AS interval)
        ORDER BY role, queues, host, pid
        """,
        gone_after=GONE_AFTER,
    )


def unserved(running: Collection[Process], queues: Collection[str]) -> list[str]:
    """The queues that no process works on."""
    return [queue for queue in queues if not any(queue in one.queues for one in running)]


def add_counts(connection: Connection, counts: Mapping[str, float]) -> None:
    """Add what a process has counted; in order, so that no two wait for each other."""
    series = sorted(counts)
    execute(
        connection,
        """
        INSERT INTO counted AS known (series, n)
        SELECT new.series, new.n FROM unnest(CAST(:series AS text[]), CAST(:ns AS float8[])) AS new (series, n)
        WHERE (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
        ORDER BY new.series COLLATE "C"
        ON CONFLICT (series) DO UPDATE SET n = known.n + excluded.n
        """,
        series=series,
        ns=[float(counts[one]) for one in series],
    )


def counted(connection: Connection) -> dict[str, float]:
    """What all processes together have counted, by series."""
    return dict(tuples(connection, "SELECT series, n FROM counted"))
