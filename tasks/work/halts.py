"""What is not to be begun until a person says so: the work of an organisation, a kind of work, or both; as SQL.

A person halts it, or its fuse: a kind of work that fails again and again is halted, and never goes on by itself.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection

from config.database import changes_any, rows
from tasks.work.rules import FUSE_FAILURES

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Halt:
    """What is not begun, since when, who said so and why. `organisation`: null stands for all; `kind`: null for every
    kind of work; `is_fuse`: it opened by itself."""

    organisation: str | None
    kind: str | None
    since: datetime
    by: str
    why: str
    is_fuse: bool

    @property
    def in_words(self) -> str:
        """The same, for a person."""
        of = "" if self.organisation is None else f" of {self.organisation!r}"
        what = f"Work of the kind {self.kind}{of}" if self.kind else f"All work{of}"
        again = " ".join(filter(None, [self.kind, self.organisation and f"-o {self.organisation}"]))
        why = self.why.rstrip(".")
        return (
            f"{what} is {'stopped by its fuse' if self.is_fuse else 'paused'} since {self.since:%Y-%m-%d %H:%M:%S} UTC"
            f"{'' if self.is_fuse else f' by {self.by}'}: {why}. Do this: rollcall work resume {again}."
        )


def current_halts(connection: Connection) -> list[Halt]:
    """What is not begun, the oldest first."""
    return rows(
        connection,
        Halt,
        """
        SELECT coalesce(o.id, d.id) AS organisation, nullif(h.kind, '') AS kind, h.since, h.by_whom AS by, h.why,
               h.is_fuse
        FROM halts h LEFT JOIN organisations o USING (organisation) LEFT JOIN departed d ON d.number = h.organisation
        WHERE d.cell IS NULL
        ORDER BY h.since, h.organisation, h.kind
        """,
    )


def halt(
    connection: Connection, organisation: int, kind: str | None, *, by: str, why: str, is_fuse: bool = False
) -> bool:
    """Let nobody begin this kind of work of this organisation, or of `EVERYBODY`; None: of any kind. Whether that is
    news. What is begun is finished, or put back soon; what was offered waits in its place."""
    return changes_any(
        connection,
        """
        INSERT INTO halts (organisation, kind, by_whom, why, is_fuse)
        SELECT CAST(:whose AS int), coalesce(:kind, ''), :by, :why, :is_fuse ON CONFLICT DO NOTHING
        """,
        whose=organisation,
        kind=kind,
        by=by,
        why=why,
        is_fuse=is_fuse,
    )


def unhalt(connection: Connection, organisation: int, kind: str | None) -> bool:
    """Let it be begun again, at once, unless the organisation is leaving this cell; whether that is news."""
    return changes_any(
        connection,
        """
        WITH gone AS (
            DELETE FROM halts WHERE organisation = CAST(:whose AS int) AND kind = coalesce(:kind, '')
              AND NOT EXISTS (SELECT FROM departed d WHERE d.number = halts.organisation)
            RETURNING organisation, kind
        ), woken AS (
            UPDATE work w SET due_at = now() FROM gone
            WHERE w.state = 'offered' AND gone.organisation IN (0, w.organisation) AND gone.kind IN ('', w.actor)
        )
        SELECT pg_notify('rollcall_relay', 'work') FROM gone
        """,
        whose=organisation,
        kind=kind,
    )


def blow(connection: Connection, organisation: int, kind: str, problem: str) -> None:
    """Open the fuse of a kind of work, for an organisation or for `EVERYBODY`, and say so."""
    why = f"{FUSE_FAILURES} tries in a row failed, the last with {problem}"
    if halt(connection, organisation, kind, by="rollcall", why=why, is_fuse=True):
        log.error("work.fuse_opened", kind=kind, organisation=organisation or None, problem=problem)
