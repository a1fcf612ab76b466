"""What decides about a file from elsewhere: what its columns mean, and why a line is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from config.phrases import (
    AND_OTHERS,
    NO_COLUMN,
    NO_ID_COLUMN,
    NO_NAME_COLUMN,
    NO_STATUS_COLUMN,
    NONE_KNOWN,
    SAME_COLUMNS,
    SEVERAL_COLUMNS,
)
from tasks.events import LearnerSaved
from tasks.imports.statuses import BRACKETS, Says, StatusColumn, plain, says_of


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


#: What other systems call these columns, without case, spaces and punctuation. Where a file has several, the one of the
#: earlier line is meant: Entra has a mail and a userPrincipalName, Canvas its own id and that of the school.
SYNONYMS: dict[Field, tuple[set[str], ...]] = {
    Field.LEARNER: (
        {"learner", "learnerid", "id", "userid", "sourcedid"},
        {"objectid", "objectguid", "externalid", "externaluserid"},
        {"idnumber", "employeeid", "employeenumber", "personid", "personnelnumber", "studentid"},
    ),
    Field.USERNAME: (
        {"username", "login", "loginname", "loginid", "userlogin"},
        {"samaccountname"},
        {"userprincipalname", "upn"},
    ),
    Field.EMAIL: (
        {"email", "emailaddress", "mail"},
        {"workemail", "workemailaddress", "emailwork", "workmail", "businessemail", "companyemail", "officialemail"},
        {"primaryemail", "primaryemailaddress", "emailprimary", "useremail", "contactemail"},
    ),
    Field.FIRST_NAME: ({"firstname", "givenname", "forename"}, {"userfirstname", "legalfirstname"}),
    Field.LAST_NAME: ({"lastname", "familyname", "surname"}, {"userlastname", "legallastname", "sn"}),
    Field.LOCALE: ({"locale", "language", "lang"}, {"preferredlanguage", "userlanguage"}),
    Field.TIME_ZONE: ({"timezone", "tz"},),
}
_RANKS = {
    name: (field, rank) for field, ranks in SYNONYMS.items() for rank, names in enumerate(ranks) for name in names
}

#: The columns that we put before those of a file where we list what was refused of it: known, and not read.
REFUSED_COLUMNS = ("refused_line", "refused_reason", "refused_detail")

#: What only our own export has in its header; it writes an apostrophe before what a spreadsheet takes for a formula.
_OUR_EXPORT = {"organisation", "learner", "learnerstatus"}


class Refusal(StrEnum):
    """Why a line is not taken."""

    CELLS = "wrong number of cells"
    QUOTES = "broken quotation marks"
    CHARACTERS = "unreadable characters"
    NUL = "character NUL"
    NO_ID = "no id"
    INVISIBLE = "invisible characters"
    SPREADSHEET = "changed by a spreadsheet"
    TOO_LONG = "too long"
    NO_SIGN_IN = "neither username nor e-mail"
    BAD_EMAIL = "bad e-mail"
    UNKNOWN_STATUS = "unknown status"
    REPEATED = "repeated id"


class NotReadable(Exception):
    """The file cannot be imported at all; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is not taken, and why. `cells`: as they were read, for whoever corrects them."""

    line: int
    reason: Refusal
    detail: str
    cells: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """What a person said of a file. `columns`: which column holds a field. `says`: which columns say who is inactive,
    and how. `ignored`: columns that are not to be used. `words`: what a status means, by its `status_word`.
    `status`: what holds where the file says nothing; `keep_status`: a file that says nothing leaves it as it is."""

    columns: Mapping[Field, str] = field(default_factory=dict)
    says: Mapping[str, Says] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    words: Mapping[str, bool] = field(default_factory=dict)
    status: bool | None = None
    keep_status: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a file mean. `unused` are their names, in order, and `unused_places` where they are."""

    places: dict[Field, int]
    status: tuple[StatusColumn, ...]
    unused: tuple[str, ...]
    unused_places: tuple[int, ...]
    ours: bool


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
    found = _ranked(header)
    return found[0] if found else Field.STATUS if says_of(header) else None


def _ranked(header: str) -> tuple[Field, int] | None:
    return _RANKS.get(plain(header)) or _RANKS.get(plain(BRACKETS.sub("", header)))


def columns_of(header: Sequence[str], options: ReadingOptions | None = None) -> Columns:
    """What each column means: what a person said, else what its name says.

    Raises `NotReadable` where a column is missing that is needed, more than one is meant, or none says who is inactive.
    """
    options = options or ReadingOptions()
    names = [name.strip() for name in header]
    free = set(range(len(names))) - {place for each in options.ignored for place in _places(names, each)}
    free -= {place for place, name in enumerate(names) if name in REFUSED_COLUMNS}
    chosen = {field: _places(names, name)[0] for field, name in options.columns.items()}
    status = [StatusColumn(_places(names, name)[0], name, _how(name, says)) for name, says in options.says.items()]
    free -= {*chosen.values(), *(column.place for column in status)}
    status += [
        StatusColumn(place, names[place], says)
        for place in sorted(free)
        if (says := says_of(names[place])) and _ranked(names[place]) is None
    ]
    places = dict[Field, int]()
    for field_ in SYNONYMS:
        place = chosen[field_] if field_ in chosen else _best(names, free, field_)
        if place is not None:
            places[field_] = place
    _check(names, places, status, options)
    used = {*places.values(), *(column.place for column in status)}
    unused = [place for place, name in enumerate(names) if place not in used and name not in REFUSED_COLUMNS]
    return Columns(
        places,
        tuple(status),
        tuple(names[place][:200] for place in unused),
        tuple(place for place in unused if place in free),
        ours={plain(name) for name in names} >= _OUR_EXPORT,
    )


def _how(name: str, told: Says) -> Says:
    """How a column that a person named says who is inactive: if they only said that it does, as its name has it."""
    return says_of(name) or told if told is Says.STATUS else told


def _places(names: Sequence[str], wanted: str) -> list[int]:
    """Where the column is that a person means: of that very name, else of one that differs in case and punctuation."""
    places = [n for n, name in enumerate(names) if name == wanted.strip()]
    places = places or [n for n, name in enumerate(names) if plain(wanted) and plain(name) == plain(wanted)]
    if not places:
        raise NotReadable(NO_COLUMN(column=repr(wanted), columns=_listed(names)))
    if len(places) > 1:
        raise NotReadable(SAME_COLUMNS(number=len(places), column=repr(wanted)))
    return places


def _best(names: Sequence[str], free: set[int], field: Field) -> int | None:
    found = [(ranked[1], place) for place in free if (ranked := _ranked(names[place])) and ranked[0] is field]
    best = min(found, default=(0, 0))[0]
    places = sorted(place for rank, place in found if rank == best)
    if len(places) > 1:
        several = _listed([names[place] for place in places])
        raise NotReadable(SEVERAL_COLUMNS(several=several, field=field))
    return places[0] if places else None


def _check(
    names: Sequence[str], places: Mapping[Field, int], status: Sequence[StatusColumn], options: ReadingOptions
) -> None:
    if Field.LEARNER not in places:
        raise NotReadable(NO_ID_COLUMN(columns=_listed(names)))
    if not {Field.USERNAME, Field.EMAIL} & places.keys():
        raise NotReadable(NO_NAME_COLUMN(columns=_listed(names)))
    said = (
        options.status is not None or options.keep_status or any(column.says is not Says.SIGN_IN for column in status)
    )
    if not said:
        raise NotReadable(NO_STATUS_COLUMN(columns=_listed(names)))


def _listed(names: Sequence[str], most: int = 12) -> str:
    """The names of the columns; where none is one we know, the first line may well be a person, who is not named."""
    if not any(map(field_named, names)):
        return NONE_KNOWN(columns=len(names))
    shown = [repr(name[:60]) for name in names if name]
    listed = ", ".join(shown[:most])
    return AND_OTHERS(columns=listed) if len(shown) > most else listed
