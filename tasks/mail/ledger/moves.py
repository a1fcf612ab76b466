"""How a mailing is moved on, and what is kept of it, as SQL."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import changes_any, is_true, rows, value
from config.sql import query
from tasks.mail.rules import MOVES, SYSTEM


@dataclass(frozen=True, slots=True)
class MailingChange:
    """One move of an announcement: when, which, from what to what, and who made it."""

    at: datetime
    move: str
    before: str | None
    after: str
    by: str
    why: str | None = None


def make_move(
    connection: Connection,
    organisation: int,
    mailing: int,
    move: str,
    *,
    expected: str,
    by: str,
    why: str | None = None,
) -> str | None:
    """Move a mailing on as the table of moves has it, if it still stands as `expected`: of two that try, one succeeds.

    The state it is in now, or None. That an announcement was moved, and `by` whom, is written with it.
    """
    state = MOVES[move].get(expected)
    if state is None:
        return None
    found: str | None = value(
        connection,
        query("mail.make_move"),
        organisation=organisation,
        mailing=mailing,
        move=move,
        state=state,
        expected=expected,
        by=by,
        why=why,
    )
    return found


def pause_once(connection: Connection, organisation: int, mailing: int, why: str) -> bool:
    """Pause an announcement of its own accord, and say why; not a second time, once a person has resumed it."""
    before = is_true(
        connection,
        """
        SELECT EXISTS (SELECT FROM mailing_changes c WHERE c.organisation = :organisation AND c.mailing = :mailing
                       AND c.move = 'pause' AND c.by = :by)
        """,
        organisation=organisation,
        mailing=mailing,
        by=SYSTEM,
    )
    if before:
        return False
    return make_move(connection, organisation, mailing, "pause", expected="sending", by=SYSTEM, why=why) is not None


def why_paused(connection: Connection, organisation: int, mailing: int) -> str | None:
    """Why an announcement paused itself, if that was how it was paused last."""
    found: str | None = value(
        connection,
        """
        SELECT why FROM mailing_changes WHERE organisation = :organisation AND mailing = :mailing AND move = 'pause'
        ORDER BY change DESC LIMIT 1
        """,
        organisation=organisation,
        mailing=mailing,
    )
    return found


def close_cancelled(connection: Connection, organisation: int, mailing: int) -> bool:
    """Note that nothing is left of a cancelled mailing; whether that was news."""
    return changes_any(
        connection,
        """
        UPDATE mailings SET finished_at = now()
        WHERE organisation = :organisation AND mailing = :mailing AND state = 'cancelled' AND finished_at IS NULL
        """,
        organisation=organisation,
        mailing=mailing,
    )


def history(connection: Connection, organisation: int, mailing: int) -> list[MailingChange]:
    """What was done with an announcement, oldest first."""
    return rows(
        connection,
        MailingChange,
        """
        SELECT at, move, before, after, by, why FROM mailing_changes
        WHERE organisation = :organisation AND mailing = :mailing ORDER BY change
        """,
        organisation=organisation,
        mailing=mailing,
    )
