"""The audit log, read: by an organisation's admins what was done about it, and by operators all of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta
from sqlalchemy import Connection

from tasks import audit
from tasks.acts.acting import Doing, act
from tasks.acts.exporting import exported
from tasks.acts.paging import USUAL, After, Limit, Page, Stream, keys_after, page, page_ending_at
from tasks.reports import Format

Reading = Callable[[Connection, audit.AuditFilter, audit.Place, int], list[audit.AuditRecord]]
Looking = Callable[[Connection, audit.Place, int], audit.Place | None]

#: Entries that a page of those of somebody, or of an act, looks at.
SCANNED = 20_000


@dataclass(frozen=True, slots=True)
class AuditAsked:
    """Which entries: since a time, of somebody, of an act or (`learners`) of all acts of a kind.

    With `who` or `act`, a page looks at so many entries and may hold fewer than `limit`, even none: go on while `next`
    is not null.
    """

    since: datetime | None = None
    who: Annotated[str, Meta(max_length=300)] | None = None
    act: Annotated[str, Meta(max_length=100)] | None = None
    limit: Limit = USUAL
    after: After | None = None


@dataclass(frozen=True, slots=True)
class AuditExport:
    """Which entries, and how they are written."""

    since: datetime | None = None
    who: Annotated[str, Meta(max_length=300)] | None = None
    act: Annotated[str, Meta(max_length=100)] | None = None
    format: Format = Format.CSV


@act("audit.list", "GET audit")
def list_(doing: Doing, asked: AuditAsked) -> Page[audit.AuditRecord]:
    """What was done about an organisation, through whichever door: the oldest first."""
    number = doing.organisation.organisation
    return _page(
        doing,
        asked,
        lambda connection, *chosen: audit.records(connection, number, *chosen),
        lambda connection, *place: audit.place_after(connection, number, *place),
    )


@act("audit.all", "GET /audit")
def all_(doing: Doing, asked: AuditAsked) -> Page[audit.AuditRecord]:
    """What was done about every organisation and about the installation: the oldest first."""
    return _page(doing, asked, audit.records_of_all, audit.place_after_of_all)


@act("audit.export", "GET audit/export")
def export(doing: Doing, asked: AuditExport) -> Stream:
    """Export what was done about an organisation, the oldest first."""
    return _exported(doing, asked, doing.organisation.organisation)


@act("audit.export_all", "GET /audit/export")
def export_all(doing: Doing, asked: AuditExport) -> Stream:
    """Export what was done about every organisation and about the installation, the oldest first."""
    return _exported(doing, asked, None)


def _exported(doing: Doing, asked: AuditExport, number: int | None) -> Stream:
    return exported(
        doing,
        "audit",
        asked.format,
        lambda connection: audit.stream_entries(
            connection, number, asked.format, since=asked.since, who=asked.who, act=asked.act
        ),
    )


def _page(doing: Doing, asked: AuditAsked, read: Reading, look: Looking) -> Page[audit.AuditRecord]:
    since = asked.since or datetime(1970, 1, 1, tzinfo=UTC)
    listed = (doing.act, doing.number, asked.since, asked.who, asked.act)
    after = keys_after(asked.after, tuple[datetime, int], *listed) or (since, 0)
    with doing.transaction() as connection:
        chooses = asked.who is not None or asked.act is not None
        end = look(connection, after, SCANNED) if chooses else None
        found = read(connection, audit.AuditFilter(asked.who, asked.act, end), after, asked.limit + 1)
    if len(found) > asked.limit:
        return page(found, asked.limit, lambda one: (one.at, one.id), *listed)
    return page_ending_at(found, end, *listed)
