"""The audit log, read: by an organisation's admins what was done about it, and by operators all of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta
from sqlalchemy import Connection

from tasks import audit
from tasks.acts.acting import Doing, act
from tasks.acts.paging import USUAL, After, Limit, Page, keys_after, page

Reading = Callable[[Connection, audit.AuditFilter, audit.Place, int], list[audit.AuditRecord]]


@dataclass(frozen=True, slots=True)
class AuditAsked:
    """Which entries: since a time, of somebody, of an act or (`learners`) of all acts of a kind."""

    since: datetime | None = None
    who: Annotated[str, Meta(max_length=300)] | None = None
    act: Annotated[str, Meta(max_length=100)] | None = None
    limit: Limit = USUAL
    after: After | None = None


@act("audit.list", "GET audit")
def list_(doing: Doing, asked: AuditAsked) -> Page[audit.AuditRecord]:
    """What was done about an organisation, through whichever door: the oldest first."""
    number = doing.organisation.organisation
    return _page(doing, asked, lambda connection, *chosen: audit.records(connection, number, *chosen))


@act("audit.all", "GET /audit")
def all_(doing: Doing, asked: AuditAsked) -> Page[audit.AuditRecord]:
    """What was done about every organisation and about the installation: the oldest first."""
    return _page(doing, asked, audit.records_of_all)


def _page(doing: Doing, asked: AuditAsked, read: Reading) -> Page[audit.AuditRecord]:
    since = asked.since or datetime(1970, 1, 1, tzinfo=UTC)
    listed = (doing.act, doing.number, asked.since, asked.who, asked.act)
    after = keys_after(asked.after, tuple[datetime, int], *listed) or (since, 0)
    with doing.transaction() as connection:
        found = read(connection, audit.AuditFilter(asked.who, asked.act), after, asked.limit + 1)
    return page(found, asked.limit, lambda one: (one.at, one.id), *listed)
