"""What somebody may do by the groups that the OpenID provider says they are in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.openid import ANY, GroupRole
from tasks.accounts.rules import Role


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """A role, and the ids of the organisations it is of; none for an operator, whose are all."""

    role: Role
    organisations: frozenset[str] = frozenset()


def grant_of(said: Sequence[GroupRole], groups: Iterable[str]) -> RoleGrant | None:
    """The highest role that these groups have, with the organisations of that role alone: nobody is an admin of what
    they may only read. None if no group has a role."""
    groups = frozenset(groups)
    found: dict[Role, set[str]] = {}
    for one in said:
        if ANY in one.group:
            ids = {id_ for group in groups if (id_ := _in_place(one.group, group))}
        elif one.group in groups:
            ids = {*one.organisations}
        else:
            continue
        if ids or one.role == Role.OPERATOR:
            found.setdefault(Role(one.role), set()).update(ids)
    for role in reversed(Role):
        if role in found:
            return RoleGrant(role, frozenset(found[role]))
    return None


def _in_place(pattern: str, group: str) -> str:
    """What stands in the name of a group in the place of the star; nothing if it is another group."""
    before, _, after = pattern.partition(ANY)
    if len(group) <= len(before) + len(after) or not (group.startswith(before) and group.endswith(after)):
        return ""
    return group[len(before) : len(group) - len(after)]
