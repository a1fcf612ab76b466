"""Acts in the tests' words: done as somebody, and what the audit log says of it."""

from typing import Any

from tasks.accounts import Caller, Door, Role
from tasks.acts.acting import Act, perform
from tests.world import World


def caller(role: Role = Role.OPERATOR, *organisations: str) -> Caller:
    """Somebody at the API."""
    of = None if role is Role.OPERATOR else frozenset(organisations or ("acme",))
    return Caller("ann@acme.example", Door.API, role, of)


def do(
    world: World, act: Act[Any, Any], asked: object, organisation: str | None = "acme", who: Caller | None = None
) -> Any:
    """Do an act as an operator, or as whoever it is."""
    return perform(world.runtime, who or caller(), act, asked, organisation)


def audited(world: World, act: str) -> list[tuple[Any, ...]]:
    """What the audit log says of an act: subject, before, after and outcome, in order."""
    return list(world.rows("SELECT subject, before, after, outcome FROM audit WHERE act = :act ORDER BY id", act=act))
