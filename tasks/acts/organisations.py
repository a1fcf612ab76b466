"""Organisations, as far as the caller may see them."""

from dataclasses import dataclass

from config.database import transaction
from tasks import organisations
from tasks.acts.acting import Doing, act
from tasks.acts.paging import USUAL, After, Limit, Page, keys_after, page


@dataclass(frozen=True, slots=True)
class OrganisationsAsked:
    """Which part of the list."""

    limit: Limit = USUAL
    after: After | None = None


@dataclass(frozen=True, slots=True)
class OrganisationSummary:
    """An organisation, and what it buys."""

    organisation: str
    name: str
    licence: str


@act("organisations.list", "GET /organisations")
def list_(doing: Doing, asked: OrganisationsAsked) -> Page[OrganisationSummary]:
    """List the organisations that the caller may see."""
    own = None if doing.caller.organisations is None else sorted(doing.caller.organisations)
    keys = keys_after(asked.after, tuple[str], "organisations", own)
    with transaction(doing.runtime.engine) as connection:
        found = organisations.after(connection, keys[0] if keys else None, asked.limit + 1, own)
    shown = [OrganisationSummary(one.id, one.name, one.licence) for one in found]
    return page(shown, asked.limit, lambda one: (one.organisation,), "organisations", own)
