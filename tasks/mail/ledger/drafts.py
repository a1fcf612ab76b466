"""Announcements before they are launched; as SQL."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection

from config.database import execute, value
from config.sql import query


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


def create_draft(connection: Connection, organisation: int, draft: Draft, *, by: str) -> int | None:
    """Keep a draft, and who made it; its number, or None where the id is taken (S16)."""
    number: int | None = value(connection, query("mail.create_draft"), organisation=organisation, by=by, **_said(draft))
    return number


def _said(draft: Draft) -> dict[str, Any]:
    return {**asdict(draft), "audience": msgspec.json.encode(draft.audience).decode()}


def rewrite_draft(connection: Connection, organisation: int, mailing: int, draft: Draft) -> None:
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
        **_said(draft),
    )


def delete_draft(connection: Connection, organisation: int, mailing: int) -> None:
    """Delete a draft, and what was done with it."""
    gone = execute(
        connection,
        "DELETE FROM mailings WHERE organisation = :organisation AND mailing = :mailing AND state = 'draft'",
        organisation=organisation,
        mailing=mailing,
    )
    if gone:
        execute(
            connection,
            "DELETE FROM mailing_changes WHERE organisation = :organisation AND mailing = :mailing",
            organisation=organisation,
            mailing=mailing,
        )
