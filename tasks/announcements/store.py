"""An admin's mailing, as SQL; its ledger belongs to `tasks.mail`."""

from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from config.database import column, execute, one, rows, value, without_nested_loops


@dataclass(frozen=True, slots=True)
class Draft:
    """What an announcement says, to whom and when, before it has a number."""

    announcement: str
    subject: str
    body: str
    audience: dict[str, object]
    policy: str = "hold"
    send_at: datetime | None = None
    time_zone: str | None = None


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


def create(connection: Connection, organisation: int, draft: Draft, *, by: str) -> int | None:
    """Keep a draft, and who made it; its number, or None where the id is taken (S16)."""
    number: int | None = value(
        connection,
        """
        WITH created AS (
            INSERT INTO mailings (organisation, kind, id, state, policy, subject, body, audience, send_at, time_zone)
            VALUES (:organisation, 'announcement', :announcement, 'draft', :policy, :subject, :body,
                    CAST(:audience AS jsonb), :send_at, :time_zone)
            ON CONFLICT (organisation, kind, source, id) DO NOTHING
            RETURNING organisation, mailing
        ), kept AS (
            INSERT INTO mailing_changes (organisation, mailing, move, after, by)
            SELECT organisation, mailing, 'create', 'draft', :by FROM created
        )
        SELECT mailing FROM created
        """,
        organisation=organisation,
        announcement=draft.announcement,
        policy=draft.policy,
        subject=draft.subject,
        body=draft.body,
        audience=msgspec.json.encode(draft.audience).decode(),
        send_at=draft.send_at,
        time_zone=draft.time_zone,
        by=by,
    )
    return number


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


def rewrite(connection: Connection, organisation: int, mailing: int, draft: Draft) -> None:
    """Put other words, another audience or another time in a draft."""
    execute(
        connection,
        """
        UPDATE mailings SET policy = :policy, subject = :subject, body = :body, audience = CAST(:audience AS jsonb),
            send_at = :send_at, time_zone = :time_zone
        WHERE organisation = :organisation AND mailing = :mailing AND state = 'draft'
        """,
        organisation=organisation,
        mailing=mailing,
        policy=draft.policy,
        subject=draft.subject,
        body=draft.body,
        audience=msgspec.json.encode(draft.audience).decode(),
        send_at=draft.send_at,
        time_zone=draft.time_zone,
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
