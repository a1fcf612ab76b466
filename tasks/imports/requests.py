"""How somebody asks for a file to be imported, whichever door they come through. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from config.phrases import ALWAYS_INACTIVE, BAD_DELIMITER, BAD_MAP, BAD_MAP_STATUS, MANY_TOLD, NO_ENCODING
from config.words import counted
from tasks.imports.rules import Field, NotReadable, ReadingOptions, field_named
from tasks.imports.statuses import GIVEN, Says, says_of, status_word

if TYPE_CHECKING:
    from tasks.imports.intake import Imported

#: People who are mailed at most by an import that nobody was asked about.
UNASKED = 1000

#: Letters of the name of a file at most.
LONGEST_NAME = 200

#: The ways in which a column says who is inactive, as a person names them in `map`.
_HOW = {
    "status": Says.STATUS,
    "active": Says.ACTIVE,
    "inactive": Says.INACTIVE,
    "suspended": Says.INACTIVE,
    "ended": Says.ENDED,
}


class StatusOfAll(StrEnum):
    """What a person says of the status of all in a file that does not say it."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    KEEP = "keep"


class BadOption(ValueError):
    """An option cannot be meant; `option` is its name."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """How a file is to be read: `map` has FIELD=COLUMN, `map_status` STATUS=active or STATUS=inactive, `ignore` columns
    that are not to be used. `status`: that of all of whom the file says none. `keep_empty`: an empty cell leaves what
    is known alone. `notices`: newcomers are told what the rules enrol them in; `yes`: however many that are. `name`:
    what the file is called, by which the list of imports tells it from others."""

    kind: Literal["auto", "learners"] = "auto"
    dry_run: bool = False
    map: list[str] = field(default_factory=list)
    map_status: list[str] = field(default_factory=list)
    status: StatusOfAll | None = None
    ignore: list[str] = field(default_factory=list)
    keep_empty: bool = False
    encoding: str | None = None
    delimiter: str | None = None
    notices: bool = True
    yes: bool = False
    name: Annotated[str, Meta(max_length=LONGEST_NAME)] = ""


def check_options(asked: ImportRequest) -> None:
    """Raises `BadOption` for an encoding that there is not, and for what separates no cells."""
    try:
        "".encode(asked.encoding or "utf-8")
    except LookupError:
        raise BadOption("encoding", NO_ENCODING(encoding=repr(asked.encoding))) from None
    delimiter = delimiter_of(asked)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise BadOption("delimiter", BAD_DELIMITER())


def delimiter_of(asked: ImportRequest) -> str | None:
    """What separates cells, if that is said."""
    return "\t" if asked.delimiter in {"tab", "\\t"} else asked.delimiter


def reading_options(asked: ImportRequest) -> ReadingOptions:
    """What a person says of the columns. Raises `BadOption`."""
    columns, says = dict[Field, str](), dict[str, Says]()
    for pair in asked.map:
        name, separator, column = pair.partition("=")
        found, how = field_named(name), _HOW.get(name.strip().lower()) or says_of(name)
        if not separator or not (found or how):
            fields = ", ".join([*Field, *(each for each in _HOW if each != Field.STATUS)])
            raise BadOption("map", BAD_MAP(pair=pair, fields=fields))
        if how:
            says[column.strip()] = how
        elif found:
            columns[found] = column.strip()
    words = {}
    for pair in asked.map_status:
        word, _, meaning = pair.rpartition("=")
        if meaning.strip().lower() not in {"active", "inactive"} or "=" not in pair:
            raise BadOption("map_status", BAD_MAP_STATUS(pair=pair))
        words[status_word(word)] = meaning.strip().lower() == "active"
    if given := sorted(word for word, active in words.items() if active and word in GIVEN):
        raise BadOption("map_status", ALWAYS_INACTIVE(status=given[0]))
    return ReadingOptions(
        columns,
        says,
        asked.ignore,
        words,
        None if asked.status in {None, StatusOfAll.KEEP} else asked.status is StatusOfAll.ACTIVE,
        keep_status=asked.status is StatusOfAll.KEEP,
    )


def approval(asked: ImportRequest) -> Callable[["Imported"], None]:
    """What refuses to tell many of their courses, where nobody has said that they are to be told."""

    def approve(result: "Imported") -> None:
        if result.notices > UNASKED and not asked.yes:
            raise NotReadable(MANY_TOLD(learners=counted(result.notices, "learner")))

    return approve
