"""The audit log as a file, streamed by PostgreSQL itself."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection

from config.sql import query
from tasks.reports import Format, bound, stream_rows


def stream_entries(
    connection: Connection,
    organisation: int | None,
    format_: Format,
    *,
    since: datetime | None = None,
    who: str | None = None,
    act: str | None = None,
) -> Iterator[bytes]:
    """Entries about an organisation, or None: about every one and the installation; in blocks of whole rows."""
    found = bound(query("audit.entries"), organisation=organisation, since=since, who=who, act=act)
    return stream_rows(connection, found, query("audit.entries_cells"), format_)
