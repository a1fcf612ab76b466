"""Columns that are not used, and seem to call somebody inactive: a person is asked about them (R2)."""

import re
from collections.abc import Sequence

from config.phrases import UNUSED_COLUMN
from tasks.imports.rules import NotReadable
from tasks.imports.statuses import NO, NO_DATE, STRONG, begins_strongly, decomposed, plain, words_of

#: What else, in a column that is not used, is likely to say it where it is all that the cell says.
_WHOLE = frozenset(
    {"leaver", "resigned", "retired", "dismissed", "offboarding", "leave", "notactive", "formeremployee"}
)

#: One of these is in any text that begins so, or is so.
_WITHIN = frozenset(max(phrase.split(), key=len) for phrase in STRONG) | _WHOLE - {"notactive", "formeremployee"}
_TELLTALES = (*sorted(_WITHIN), "active", "former", "\xad")

#: What a column's name has in it that is likely to say so, and what then speaks of something else.
_SPEAKING = re.compile(
    "inact|suspen|deactiv|disabl(?!il)|terminat|deprovision|offboard|delet|remov|archiv|block|banned|leaver|dismiss|resign"
    "|notactive|nonactive|nolonger|exemploy|formeremploy"
)
_ELSEWHERE = re.compile("passw|licen[cs]e|certificat|course|mfa|factor|cookie")


def check_unused(header: Sequence[str], unused: Sequence[int], kept: Sequence[tuple[int, list[str]]]) -> None:
    """Raises `NotReadable` where a column that is not used seems to call somebody inactive. Few do: what such a cell
    has in it is looked for in all of them at once."""
    places = {place: _speaks(header[place]) for place in unused}
    text = "\n".join(["\n".join([row[place] for place in places]) for _, row in kept])
    text = decomposed(text).casefold()
    if not any(places.values()) and not any(telltale in text for telltale in _TELLTALES):
        return
    for line, row in kept:
        for place, speaking in places.items():
            if _seems_inactive(row[place], speaking=speaking):
                raise NotReadable(UNUSED_COLUMN(column=header[place], cell=repr(row[place][:100]), line=line))


def _speaks(header: str) -> bool:
    """Whether the name of a column that is not used has a word in it that says that somebody is inactive."""
    name = plain(header)
    return bool(_SPEAKING.search(name)) and not _ELSEWHERE.search(name)


def _seems_inactive(cell: str, *, speaking: bool) -> bool:
    """Whether a cell of a column that is not used seems to call somebody inactive. `speaking`: its name does, so that
    anything but no does."""
    words = words_of(cell)
    word = "".join(words)
    if speaking:
        return bool(word) and word not in NO and word not in NO_DATE
    return word in _WHOLE or begins_strongly(words)
