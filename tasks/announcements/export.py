"""The recipients of an announcement, one row each, with every attempt (R18): streamed, however many they are."""

from collections.abc import Iterator

from sqlalchemy import Connection

from config.database import within
from config.sql import query
from tasks.mail import Delivery
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
    rows = bound(
        query("announcements.recipients"),
        organisation=organisation,
        mailing=mailing,
        state=None if state is None else state.value,
        reason=reason,
    )
    return stream_rows(connection, rows, query("announcements.recipients_cells"), format_)
