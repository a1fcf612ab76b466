"""The recipients of an announcement, one row each, with every attempt (R18): streamed, however many they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from config.database import rows, within
from config.sql import query
from tasks.mail import MOST_LEARNERS, Delivery
from tasks.reports import Format, bound, stream_rows


def recipients(
    connection: Connection,
    organisation: int,
    mailing: int,
    format_: Format,
    *,
    state: Delivery | None = None,
    reason: str | None = None,
) -> Iterator[bytes]:
    """The recipients of an announcement, or those who stand so, or for this reason, in blocks of whole rows."""
    within(connection, organisation)
    found = bound(
        query("announcements.recipients"),
        organisation=organisation,
        mailing=mailing,
        state=None if state is None else state.value,
        reason=reason,
    )
    return stream_rows(connection, found, query("announcements.recipients_cells"), format_)


@dataclass(frozen=True, slots=True)
class RecipientAttempt:
    """One attempt to send: when, what became of it, and what the server said."""

    at: datetime
    answer: str
    code: int | None
    reply: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class RecipientDetails:
    """How a recipient of an announcement stands, why, what their server said, and every attempt, as in the export."""

    learner: str
    first_name: str | None
    last_name: str | None
    username: str | None
    address: str | None
    state: str
    reason: str | None
    code: int | None
    reply: str | None
    settled_at: datetime | None
    next_try_at: datetime | None
    attempts: list[RecipientAttempt]
    bounced: str | None
    bounced_at: datetime | None
    bounce_status: str | None


def recipients_after(
    connection: Connection,
    organisation: int,
    mailing: int,
    after: int,
    limit: int,
    *,
    state: Delivery | None = None,
    reason: str | None = None,
    last: int = MOST_LEARNERS,
    only: Sequence[int] | None = None,
) -> list[tuple[int, RecipientDetails]]:
    """So many recipients at most, those after one, up to the `last` that is looked at, by their numbers; or those with
    some numbers alone."""
    found = rows(
        connection,
        dict,
        query("announcements.recipients_page"),
        organisation=organisation,
        mailing=mailing,
        after=after,
        limit=limit,
        last=last,
        only=None if only is None else list(only),
        state=None if state is None else state.value,
        reason=reason,
    )
    return [(row.pop("recipient"), msgspec.convert(row, RecipientDetails)) for row in found]
