"""Somebody who asks for acts, over the API, and what the audit log says of it."""

from collections.abc import Iterator
from typing import Any

from tasks.accounts import Caller, Door, Role
from tasks.acts.acting import Act, Answer, Asked, perform
from tasks.acts.paging import Item, Page
from tests.world import World


def caller(role: Role = Role.ADMIN, *organisations: str) -> Caller:
    """Ann, who has a role in some organisations, or in all."""
    return Caller("ann", Door.API, role, frozenset(organisations) if organisations else None, "192.0.2.1")


def ask(world: World, act: Act[Asked, Answer], asked: Asked, *, role: Role = Role.ADMIN, of: str = "acme") -> Answer:
    """Ann, of one organisation, asks for something there."""
    return perform(world.runtime, caller(role, of), act, asked, world.organisation)


def audited(world: World) -> list[tuple[Any, ...]]:
    """What was written into the audit log, in order."""
    return list(world.rows("SELECT act, subject, before, after, outcome FROM audit ORDER BY id"))


def pages(world: World, act: Act[Asked, Page[Item]], make: Any, limit: int = 2) -> Iterator[Page[Item]]:
    """The pages of a list, of which `make` makes what is asked."""
    after = None
    while True:
        page = ask(world, act, make(limit=limit, after=after))
        yield page
        if page.next is None:
            return
        after = page.next
