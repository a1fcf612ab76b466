"""An admin's mailing, as SQL; its ledger belongs to `tasks.mail`."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import msgspec
from sqlalchemy import Connection

from config.database import column, is_true, one, rows, without_nested_loops


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
    launched_at: datetime | None
    finished_at: datetime | None


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


def find(connection: Connection, organisation: int, announcement: str, *, lock: bool = False) -> Announcement | None:
    """The announcement with this id; with a `lock`, nobody else changes it until the transaction ends."""
    return one(
        connection,
        Announcement,
        _ANNOUNCEMENT + "AND id = :announcement" + (" FOR UPDATE" if lock else ""),
        organisation=organisation,
        announcement=announcement,
    )


def numbered(connection: Connection, organisation: int, mailing: int) -> Announcement | None:
    """The announcement with this number."""
    return one(
        connection, Announcement, _ANNOUNCEMENT + "AND mailing = :mailing", organisation=organisation, mailing=mailing
    )


def version_of(found: Announcement) -> str:
    """What tells whether an announcement still says the same, to the same, at the same time."""
    said = (found.subject, found.body, found.audience, found.policy, found.send_at, found.time_zone)
    return sha256(msgspec.json.encode(said, order="sorted")).hexdigest()[:32]


def is_from_event(connection: Connection, organisation: int, mailing: int) -> bool:
    """Whether an event asked for an announcement: that is launched or scheduled in the transaction that makes it."""
    return is_true(
        connection,
        """
        SELECT EXISTS (
            SELECT FROM mailing_changes made JOIN mailing_changes moved USING (organisation, mailing, at)
            WHERE made.organisation = :organisation AND made.mailing = :mailing
              AND moved.organisation = :organisation AND moved.mailing = :mailing
              AND made.move = 'create' AND moved.move IN ('schedule', 'launch'))
        """,
        organisation=organisation,
        mailing=mailing,
    )


_LISTED = """
SELECT mailing, id AS announcement, state, subject, send_at, time_zone, launched_at, finished_at FROM mailings
WHERE organisation = :organisation AND kind = 'announcement' AND mailing < :before
  AND (CAST(:state AS text) IS NULL OR state = :state)
ORDER BY mailing DESC LIMIT :limit
"""


def listed(connection: Connection, organisation: int, *, state: str | None, before: int, limit: int) -> list[Outline]:
    """So many announcements at most, or of those in a state, newest first, made `before` one, by its number."""
    return rows(connection, Outline, _LISTED, organisation=organisation, state=state, before=before, limit=limit)
