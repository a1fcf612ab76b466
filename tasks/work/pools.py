"""Pools that a person has paused: nobody begins any work of theirs until they are resumed; as SQL."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection

from config.database import changes_any, rows


class Pool(StrEnum):
    """A pool, by its queue."""

    TASKS = "tasks"
    MAIL = "mail"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class PausedPool:
    """A pool that begins nothing: since when, who paused it, and why."""

    pool: str
    since: datetime
    by: str
    why: str

    @property
    def in_words(self) -> str:
        """The same, for a person."""
        why = self.why.rstrip(".")
        return (
            f"The pool {self.pool} is paused since {self.since:%Y-%m-%d %H:%M:%S} UTC by {self.by}: {why}."
            f" Do this: rollcall pools resume {self.pool}."
        )


def paused_pools(connection: Connection) -> list[PausedPool]:
    """The pools that are paused."""
    return rows(
        connection,
        PausedPool,
        """
        SELECT queue AS pool, paused_at AS since, paused_by AS by, paused_why AS why
        FROM pools WHERE paused_at IS NOT NULL ORDER BY queue
        """,
    )


def pause_pool(connection: Connection, pool: str, *, by: str, why: str) -> bool:
    """Let nobody begin any work of a pool; whether that is news. What is begun is finished, or put back soon."""
    return changes_any(
        connection,
        """
        UPDATE pools SET paused_at = now(), paused_by = :by, paused_why = :why
        WHERE queue = :pool AND paused_at IS NULL
        """,
        pool=pool,
        by=by,
        why=why,
    )


def resume_pool(connection: Connection, pool: str) -> bool:
    """Let the work of a pool be done again, at once; whether that is news."""
    return changes_any(
        connection,
        """
        WITH resumed AS (
            UPDATE pools SET paused_at = NULL, paused_by = NULL, paused_why = NULL, claimed_at = now()
            WHERE queue = :pool AND paused_at IS NOT NULL RETURNING queue
        ), woken AS (
            UPDATE work SET due_at = now() FROM resumed WHERE work.queue = resumed.queue AND state = 'offered'
        )
        SELECT pg_notify('rollcall_relay', 'work') FROM resumed
        """,
        pool=pool,
    )
