"""What is read of a cell: without the space around it, the characters that nobody sees and a spreadsheet's marks.

The marks, which `docs/states.md` lists: `="00123"` is 00123, and an apostrophe is taken off before what a spreadsheet
takes for a formula, as our exports put it there, and before the digits of an id or username. Our own export is undone
exactly. What a spreadsheet has made a number of (`9,91214E+15`) or an error (`#NAME?`) is lost: its line is refused.
"""

import re
import unicodedata

from tasks.imports.encodings import UNREADABLE
from tasks.imports.rules import Field, Refusal

#: What nobody sees: format characters, fillers, controls, and the spaces beside U+0020.
_FORMAT = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2065\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\u2800\u3164"
    "\ufeff\uffa0"
)
_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_CONTROLS = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))

#: What is taken off both ends: all of it, and what Python takes for space.
_UNSEEN = _FORMAT + _CONTROLS + _SPACES + " "
_INVISIBLE = re.compile(f"[{_FORMAT}{_CONTROLS}{_SPACES}]")

#: What is taken out of a name: not the two joiners (U+200C, U+200D) that some scripts are written with.
_NOT_IN_NAMES = re.compile("[" + "".join(c for c in _FORMAT if c not in "\u200c\u200d") + "]")

_NAMES = frozenset({Field.FIRST_NAME, Field.LAST_NAME})
IDS = frozenset({Field.LEARNER, Field.USERNAME})
_COMPOSED = IDS | {Field.EMAIL}

#: A cell as a spreadsheet keeps a text that looks like a number.
_AS_TEXT = re.compile(r'="([^"]*)"')

#: Where a cell, or what some take for one in it, begins a formula: `spreadsheet_safe` puts an apostrophe there. It is
#: taken off again, and put in where there is none.
_BEGINS = r"(?<![^;\t\r\n])"
_FORMULA = r"(?=[\x01-/:-@\[-`{-\u00a0\u00ad\u2000-\u206f\u3000\ufeff]{0,1000}[-=+@﹢﹣﹦﹫＋－＝＠])"
_APOSTROPHE = re.compile(rf"{_BEGINS}'{_FORMULA}|^'(?=[\x00-\x1f\x7f])")
_BARE_FORMULA = re.compile(rf"{_BEGINS}(?!'){_FORMULA}|^(?=[\x00-\x1f\x7f])")

#: Characters of a cell that is looked at: what is longer is too long, even in the fewest characters that mean the same.
LONGEST_CELL = 4000

#: What a spreadsheet, or a program, has made of an id: the digits that it left out are lost.
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?(?:[Ee]\+\d+|E-\d\d)|\d+[.,]0+")
_ERRORS = frozenset({"#NAME?", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#N/A", "#NULL!", "#NV", "#WERT!", "#NOM?"})

#: What makes a batch of lines worth looking at cell by cell: what is escaped, and what may be taken off or refused. In
#: the order of COPY, a cell begins behind a tab. Two characters are found ten times as slowly as one: a pair is looked
#: for where the rarer one of it is, and a pattern begins with a literal.
ODD = ("\\", *(c for c in _CONTROLS if c.isascii() and c not in "\t\n"))
ODD_PAIRS = (("'", "\t'"), ("=", "\t="), ("#", "\t#"), ("+", "E+"), ("+", "e+"))
ODD_NUMBERS = [re.compile(one) for one in (r"\.00*[\t\n]", r",00*[\t\n]", r"E-\d\d[\t\n]")]
ODD_BEYOND_ASCII = (UNREADABLE, "\ufffd", *_FORMAT, *_SPACES, *(c for c in _CONTROLS if not c.isascii()))


def read(field: Field, cell: str, *, ours: bool) -> str | tuple[Refusal, str]:
    """What a cell says, or why its line is refused, and what there is to say of it. `ours`: it is our own export."""
    text = cell.strip(_UNSEEN)
    if refusal := _refused(cell, text):
        return refusal, "" if refusal is Refusal.NUL else str(field)
    text = _APOSTROPHE.sub("", text) if ours else unmarked(text)
    if field in IDS and not ours and text[:1] == "'" and text[1:2].isdigit():
        text = text[1:]
    if text in _ERRORS or (field in IDS and _NUMBER.fullmatch(text)):
        return Refusal.SPREADSHEET, f"{field}: {text}"
    if field in _NAMES:
        return _NOT_IN_NAMES.sub("", text)
    if field in IDS and (found := _INVISIBLE.search(text)):
        return Refusal.INVISIBLE, f"{field}: {_named(found[0])}"
    return unicodedata.normalize("NFC", text) if field in _COMPOSED and not ours else text


def _refused(cell: str, text: str) -> Refusal | None:
    if "\0" in cell:
        return Refusal.NUL
    if UNREADABLE in text or "\ufffd" in text:
        return Refusal.CHARACTERS
    return Refusal.TOO_LONG if len(text) > LONGEST_CELL else None


def unmarked(text: str) -> str:
    """A cell without what a spreadsheet, or one who feared it, has put around it."""
    text = _APOSTROPHE.sub("", text)
    found = _AS_TEXT.fullmatch(text)
    return found[1].strip(_UNSEEN) if found else text


def bare(cell: str) -> str:
    """A cell of a few known words: without marks, the space around it and what nobody sees."""
    return unmarked(_FORMAT_OR_CONTROL.sub("", cell)).strip(_UNSEEN)


def is_cleaned(cell: str, text: str) -> bool:
    """Whether characters that nobody sees were taken off, and not just space."""
    return len(text) < len(cell.strip()) and bool(_FORMAT_OR_CONTROL.search(cell))


_FORMAT_OR_CONTROL = re.compile(f"[{_FORMAT}{_CONTROLS}]")


def safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula and of which the same is read."""
    return _BARE_FORMULA.sub("'", cell).replace(UNREADABLE, "\ufffd")


def _named(character: str) -> str:
    name = unicodedata.name(character, "a control character")
    return f"U+{ord(character):04X} ({name.lower()})"
