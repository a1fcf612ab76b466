"""An admin's mailing, as SQL; its ledger belongs to `tasks.mail`."""

from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from config.database import execute, one, rows, value


@dataclass(frozen=True, slots=True)
class Announcement:
    """An announcement, and how it stands."""

    mailing: int
    announcement: str
    state: str
    subject: str
    body: str
    send_at: datetime | None


_ANNOUNCEMENT = """
SELECT mailing, id AS announcement, state, subject, body, send_at FROM mailings WHERE organisation = :organisation
  AND kind = 'announcement'
"""


def create(
    connection: Connection,
    organisation: int,
    *,
    announcement: str,
    subject: str,
    body: str,
    audience: dict[str, object],
    policy: str,
    send_at: datetime | None,
    time_zone: str | None,
) -> int | None:
    """Keep a draft; its number, or None where the id is taken (S16)."""
    number: int | None = value(
        connection,
        """
        INSERT INTO mailings (organisation, kind, id, state, policy, subject, body, audience, send_at, time_zone)
        VALUES (:organisation, 'announcement', :announcement, 'draft', :policy, :subject, :body,
                CAST(:audience AS jsonb), :send_at, :time_zone)
        ON CONFLICT (organisation, kind, source, id) DO NOTHING
        RETURNING mailing
        """,
        organisation=organisation,
        announcement=announcement,
        policy=policy,
        subject=subject,
        body=body,
        audience=msgspec.json.encode(audience).decode(),
        send_at=send_at,
        time_zone=time_zone,
    )
    return number


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


def listed(connection: Connection, organisation: int) -> list[Announcement]:
    """Every announcement of an organisation, newest first."""
    return rows(connection, Announcement, _ANNOUNCEMENT + "ORDER BY mailing DESC", organisation=organisation)


def hold_work(connection: Connection, organisation: int, mailing: int) -> None:
    """Let the pieces nobody works on rest; whoever works on one finds out at the gate."""
    rows(connection, _Piece, _SET_WORK + "RETURNING work", organisation=organisation, mailing=mailing, held=True)


def resume_work(connection: Connection, organisation: int, mailing: int) -> None:
    """Make the pieces that rest due again."""
    rows(connection, _Piece, _SET_WORK + "RETURNING work", organisation=organisation, mailing=mailing, held=False)
    execute(connection, "NOTIFY rollcall_relay")


_SET_WORK = """
UPDATE work SET state = CASE WHEN :held THEN 'held' ELSE 'due' END,
    due_at = CASE WHEN :held THEN 'infinity' ELSE now() END
WHERE organisation = :organisation AND subject = :mailing AND actor IN ('mail.deliver', 'announcements.audience')
  AND CASE WHEN :held THEN state IN ('due', 'offered') ELSE state = 'held' END
"""


@dataclass(frozen=True, slots=True)
class _Piece:
    work: int
