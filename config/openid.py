"""How the settings of an OpenID provider read: who it is, and which role its groups of people have."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from config.urls import is_here

#: Stands in the name of a group for the id of an organisation.
ANY = "*"

_ROLES = ("operator", "admin", "reader")


@dataclass(frozen=True, slots=True)
class GroupRole:
    """The role that people of a group have. `organisations`: of which; none for an operator, or if the name of the
    group says it where a `*` stands."""

    group: str
    role: str
    organisations: tuple[str, ...] = ()


def group_roles(text: str) -> list[GroupRole]:
    """What `ROLLCALL_OIDC_GROUPS` says: `GROUP=operator`, `GROUP=admin:ORG,ORG` and `*-admins=admin`, with semicolons.
    Raises ValueError."""
    found = []
    for number, part in enumerate(filter(None, map(str.strip, text.split(";"))), 1):
        group, _, given = part.rpartition("=")  # names of groups, as of LDAP, have = in them
        role, _, ids = (word.strip() for word in given.partition(":"))
        organisations = tuple(filter(None, map(str.strip, ids.split(","))))
        if not group.strip() or role not in _ROLES:
            raise ValueError(f"reads GROUP=operator; GROUP=admin:ORG,ORG; and entry {number} does not")
        if group.count(ANY) + bool(organisations) != (role != "operator"):
            raise ValueError(
                f"entry {number}: an operator's are all organisations; admins and readers have theirs named, as in"
                f" GROUP=admin:ORG, or one {ANY} in the name of the group that stands for it"
            )
        found.append(GroupRole(group.strip(), role, organisations))
    if not found:
        raise ValueError("names no group")
    return found


def checked_issuer(url: str) -> str:
    """The issuer as the provider has it. Raises ValueError for one that cannot be trusted to be who it is."""
    parts = urlsplit(url)
    if (
        not parts.hostname
        or parts.username is not None
        or not re.fullmatch(r"[!#-%(-;=?-~]+", url)
        or {"?", "#"} & {*url}
    ):
        raise ValueError("must be a URL like https://login.example.org, as the provider's discovery document has it")
    if not is_trustworthy(url):
        raise ValueError("must begin with https: whoever is on the way could be the provider")
    return url


def is_trustworthy(url: str) -> bool:
    """Whether it is certain who answers there: by its certificate, or because it is this machine."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and is_here(parts.hostname)))
