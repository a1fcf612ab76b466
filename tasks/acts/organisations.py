"""Organisations, as far as the caller may see them."""

from collections.abc import Iterator
from dataclasses import dataclass

from config.cells import HOME
from config.database import transaction
from config.runtime import Runtime
from tasks import organisations
from tasks.acts.acting import Doing, act
from tasks.acts.paging import Page, PageAsked, keys_after, page
from tasks.cells import is_there


@dataclass(frozen=True, slots=True)
class OrganisationSummary:
    """An organisation, and what it buys."""

    organisation: str
    name: str
    licence: str


@act("organisations.list", "GET /organisations")
def list_(doing: Doing, asked: PageAsked) -> Page[OrganisationSummary]:
    """List the organisations that the caller may see: those of one cell after those of another."""
    own = None if doing.caller.organisations is None else sorted(doing.caller.organisations)
    keys = keys_after(asked.after, tuple[str, str], "organisations", own)
    cell, after = keys or (HOME, None)
    found: dict[str, OrganisationSummary] = {}
    cell_of: dict[str, str] = {}
    for name, there in _from(doing.runtime, cell):
        with transaction(there.engine) as connection:
            some = organisations.after(connection, after, asked.limit + 1 - len(found), own)
        found |= {one.id: OrganisationSummary(one.id, one.name, one.licence) for one in some}
        cell_of |= dict.fromkeys((one.id for one in some), name)
        after = None
    shown = list(found.values())
    return page(shown, asked.limit, lambda one: (cell_of[one.organisation], one.organisation), "organisations", own)


def _from(here: Runtime, first: str) -> Iterator[tuple[str, Runtime]]:
    """This cell and the others, from one on; those that are away are left out."""
    names = [HOME, *sorted(here.cells.servers)] if here.cells else [HOME]
    for name in names[names.index(first) if first in names else 0 :]:
        there = here.cells.at(here, name) if here.cells else here
        if name != HOME and here.cells and not is_there(here.cells, name, there):
            continue
        yield name, there
