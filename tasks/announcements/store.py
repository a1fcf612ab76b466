"""An admin's mailing, as SQL; its ledger belongs to `tasks.mail`."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import column, one, rows, without_nested_loops


@dataclass(frozen=True, slots=True)
class Announcement:
    """An announcement, and how it stands."""

    mailing: int
    announcement: str
    state: str
    subject: str
    body: str
    audience: dict[str, object]
    policy: str
    send_at: datetime | None
    time_zone: str | None
    launched_at: datetime | None
    finished_at: datetime | None
    passed: bool


@dataclass(frozen=True, slots=True)
class Outline:
    """An announcement in a list."""

    mailing: int
    announcement: str
    state: str
    subject: str
    send_at: datetime | None
    time_zone: str | None


_ANNOUNCEMENT = """
SELECT mailing, id AS announcement, state, subject, body, audience, policy, send_at, time_zone, launched_at,
       finished_at, coalesce(send_at <= now(), false) AS passed
FROM mailings WHERE organisation = :organisation AND kind = 'announcement'
"""


def unknown_learners(connection: Connection, organisation: int, ids: list[str]) -> list[str]:
    """Those of these ids that are no learner's, in their order."""
    without_nested_loops(connection)
    return column(
        connection,
        """
        SELECT named.id FROM unnest(CAST(:ids AS text[])) WITH ORDINALITY AS named (id, place)
        WHERE NOT EXISTS (
            SELECT FROM learners l
            WHERE l.organisation = :organisation AND l.id = named.id AND l.standing IN ('active', 'inactive'))
        ORDER BY place
        """,
        organisation=organisation,
        ids=ids,
    )


def find(connection: Connection, organisation: int, announcement: str) -> Announcement | None:
    """The announcement with this id."""
    return one(
        connection,
        Announcement,
        _ANNOUNCEMENT + "AND id = :announcement",
        organisation=organisation,
        announcement=announcement,
    )


def numbered(connection: Connection, organisation: int, mailing: int) -> Announcement | None:
    """The announcement with this number."""
    return one(
        connection, Announcement, _ANNOUNCEMENT + "AND mailing = :mailing", organisation=organisation, mailing=mailing
    )


_LISTED = """
SELECT mailing, id AS announcement, state, subject, send_at, time_zone FROM mailings
WHERE organisation = :organisation AND kind = 'announcement' AND (CAST(:state AS text) IS NULL OR state = :state)
ORDER BY mailing DESC LIMIT :limit
"""


def listed(
    connection: Connection, organisation: int, *, state: str | None = None, limit: int | None = None
) -> list[Outline]:
    """The announcements of an organisation, or those in a state, newest first; all unless there is a limit."""
    return rows(connection, Outline, _LISTED, organisation=organisation, state=state, limit=limit)
