"""What decides about a file from a previous LMS: what its columns and statuses mean, and why a line is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from tasks.events.schemas import LearnerSaved


class Field(StrEnum):
    """What a column says of a learner, under the name events have for it."""

    LEARNER = "learner"
    USERNAME = "username"
    EMAIL = "email"
    FIRST_NAME = "first_name"
    LAST_NAME = "last_name"
    LOCALE = "locale"
    TIME_ZONE = "time_zone"
    STATUS = "status"


#: What other systems call these columns, without case, spaces and punctuation.
SYNONYMS = {
    Field.LEARNER: {"learner", "learnerid", "id", "userid"},
    Field.USERNAME: {"username", "login", "loginname"},
    Field.EMAIL: {"email", "emailaddress", "mail"},
    Field.FIRST_NAME: {"firstname", "givenname", "forename"},
    Field.LAST_NAME: {"lastname", "familyname", "surname"},
    Field.LOCALE: {"locale", "language", "lang"},
    Field.TIME_ZONE: {"timezone", "tz"},
    Field.STATUS: {"status", "userstatus", "accountstatus"},
}


class PreviousStatus(StrEnum):
    """The statuses of previous systems that are known, whatever their case (R2)."""

    ACTIVE = "active"
    ENABLED = "enabled"
    INVITED = "invited"
    NEW = "new"
    PENDING = "pending"
    REGISTERED = "registered"
    INACTIVE = "inactive"
    SUSPENDED = "suspended"
    LONG_TERM_LEAVE = "long term leave"


#: Those that are imported as inactive; every other known one is imported as active (R2).
INACTIVE = frozenset({PreviousStatus.INACTIVE, PreviousStatus.SUSPENDED, PreviousStatus.LONG_TERM_LEAVE})


class Refusal(StrEnum):
    """Why a line is not taken."""

    CELLS = "wrong number of cells"
    QUOTES = "broken quotation marks"
    NUL = "character NUL"
    NO_ID = "no id"
    TOO_LONG = "too long"
    NO_SIGN_IN = "neither username nor e-mail"
    BAD_EMAIL = "bad e-mail"
    UNKNOWN_STATUS = "unknown status"
    REPEATED = "repeated id"


#: An address that a mail server may take, as a regular expression of PostgreSQL; the atoms are those of our messages.
ADDRESS = r'^[^[:space:][:cntrl:]"(),:;<>@[\]\\]+@[^[:space:][:cntrl:]"(),:;<>@[\]\\]+$'


class NotReadable(Exception):
    """The file cannot be imported at all; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that is not taken, and why."""

    line: int
    reason: Refusal
    detail: str


_EVENT = msgspec.json.schema(LearnerSaved)["$defs"]["LearnerSaved"]["properties"]

#: The most characters of each field: as many as an event may carry.
LONGEST: dict[str, int] = {
    field.value: kind["maxLength"]
    for field in Field
    for kind in _EVENT[field].get("anyOf", [_EVENT[field]])
    if "maxLength" in kind
}


def field_named(header: str) -> Field | None:
    """The field that a column of this name, or a person, means."""
    name = "".join(character for character in header.casefold() if character.isalnum())
    return next((field for field, names in SYNONYMS.items() if name in names), None)


def columns_of(header: list[str], chosen: Mapping[Field, str]) -> dict[Field, int]:
    """Where each field is found: the column chosen for it, else the one whose name means it.

    Raises `NotReadable` where a column is missing that is needed, or more than one is meant.
    """
    names = [name.strip() for name in header]
    found: dict[Field, int] = {}
    for field in Field:
        wanted = chosen.get(field)
        places = [
            place
            for place, name in enumerate(names)
            if (name == wanted if wanted is not None else field_named(name) is field and name not in chosen.values())
        ]
        if len(places) > 1:
            several = ", ".join(repr(names[place]) for place in places)
            raise NotReadable(
                f"{several} could each be the column {field}: say which with --map '{field}=COLUMN',"
                " or rename one of them."
            )
        if wanted is not None and not places:
            raise NotReadable(f"There is no column {wanted!r}; the columns are {_listed(names)}.")
        if places:
            found[field] = places[0]
    if Field.LEARNER not in found:
        raise NotReadable(
            f"There is no column for the learner's id; the columns are {_listed(names)}."
            " Say which it is with --map 'learner=COLUMN'."
        )
    if not {Field.USERNAME, Field.EMAIL} & found.keys():
        raise NotReadable(
            f"There is no column for the username and none for the e-mail; the columns are {_listed(names)}."
            " Say which it is with --map 'username=COLUMN' or 'email=COLUMN'."
        )
    return found


def _listed(names: list[str], most: int = 12) -> str:
    """The names of the columns; where none is one we know, the first line may well be a person, who is not named."""
    if not any(map(field_named, names)):
        return f"{len(names)}, of which none has a name that we know"
    shown = [repr(name[:60]) for name in names if name]
    return ", ".join(shown[:most]) + (" and others" if len(shown) > most else "")
