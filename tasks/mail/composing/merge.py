"""The merge language: what an admin may write in a subject or a body to have it filled in for each recipient.

`{{ first_name }}`, or `{{ first_name | default: "there" }}`. The fields are a fixed list; there is nothing else to
reach, no expression and no attribute, because nothing is ever evaluated: a value is looked up by its name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from config.phrases import LINE, LONG_DEFAULT, OPEN_BRACES, STRAY_BRACES, STRAY_FIELD


class MergeField(StrEnum):
    """What a message can say about its recipient."""

    FIRST_NAME = "first_name"
    LAST_NAME = "last_name"
    FULL_NAME = "full_name"
    USERNAME = "username"
    EMAIL = "email"
    ORGANISATION = "organisation"


class MergeError(Exception):
    """What is wrong with what an admin wrote, where, and what can be written in its place."""

    @property
    def line(self) -> int | None:
        """The line of the body that is to blame, counted from 1, if one is."""
        found = _LINE.match(str(self))
        return int(found[1]) if found else None


class SubjectError(MergeError):
    """The same, of a subject."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one recipient's value: one line of plain text, or the default when there is none."""

    field: MergeField
    default: str = ""

    def fill(self, values: Mapping[str, str | None]) -> str:
        return said(values.get(self.field) or "") or self.default

    def __str__(self) -> str:
        return f'{{{{ {self.field} | default: "{self.default}" }}}}' if self.default else f"{{{{ {self.field} }}}}"


@dataclass(frozen=True, slots=True)
class Raw:
    """The place of a value that our own code made, HTML or text with line breaks, inserted as it is.

    Only our templates write one; `templates.py` takes its meaning away from whatever an admin typed.
    """

    key: str

    def fill(self, values: Mapping[str, str | None]) -> str:
        """Raises KeyError when the value was not given: a notice without its list must not leave."""
        value = values[self.key]
        if value is None:
            raise KeyError(self.key)
        return value

    def __str__(self) -> str:
        return f"[[raw:{self.key}]]"


_SLOT = re.compile(rf'\{{\{{\s*({"|".join(MergeField)})\s*(?:\|\s*default\s*:\s*"([^"{{}}\r\n]*)"\s*)?\}}\}}')
_SLOT_OR_STRAY = re.compile(rf"{_SLOT.pattern}|\{{\{{(?:[^\r\n]*?\}}\}})?|\}}\}}")
_SLOT_OR_RAW = re.compile(rf"{_SLOT.pattern}|\[\[raw:([a-z_]+)\]\]")
_LINE = re.compile(r"Line (\d+): ")
_BLANK = re.compile("[\x00-\x20\x7f-\x9f\u2028\u2029]+")

#: The longest value of a recipient, in characters; of a longer one the beginning is said. The longest address has 254
#: (RFC 5321 section 4.5.3.1.3).
LONGEST_VALUE = 256

#: What opens a stretch of text that is ordered by itself, and what closes each (UAX #9): embeddings and overrides,
#: isolates.
_CLOSES = {**dict.fromkeys("\u202a\u202b\u202d\u202e", "\u202c"), **dict.fromkeys("\u2066\u2067\u2068", "\u2069")}
_ORDERS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

#: The length in characters to which a mistake is quoted back.
_QUOTED_AT_MOST = 60


def parse(text: str, name: str | None = None) -> tuple[str | Slot, ...]:
    """Splits what an admin wrote into text and slots; raises MergeError for anything else in double braces, which says
    where it stands: in the line, or in what has this name."""
    parts: list[str | Slot] = []
    end = 0
    for match in _SLOT_OR_STRAY.finditer(text):
        if problem := _problem(match, text, name):
            raise problem
        parts += (text[end : match.start()], _slot(match))
        end = match.end()
    return tuple(part for part in (*parts, text[end:]) if part != "")


def problems(text: str, most: int, name: str | None = None) -> list[MergeError]:
    """Everything for which `parse` raises, in its order, so many at most."""
    found = (_problem(match, text, name) for match in _SLOT_OR_STRAY.finditer(text))
    return list(islice((one for one in found if one), most))


def _problem(match: re.Match[str], text: str, name: str | None) -> MergeError | None:
    """What is wrong with what stands in double braces."""
    if match[1] and len(match[2] or "") <= LONGEST_VALUE:
        return None
    where = name or LINE(line=text.count("\n", 0, match.start()) + 1)
    if not match[1]:
        return MergeError(_mistake(match[0], where=where))
    return MergeError(LONG_DEFAULT(where=where, field=match[1], most=LONGEST_VALUE))


def line_of_slot(text: str, number: int) -> int:
    """The line on which the slot with this number, counted from 0, stands."""
    matches = (match for match in _SLOT_OR_STRAY.finditer(text) if match[1])
    return text.count("\n", 0, next(islice(matches, number, None)).start()) + 1


def tokens(text: str) -> tuple[str | Slot | Raw, ...]:
    """Splits a finished template into text and what is spliced into it. Other braces, as in style sheets, are text."""
    parts: list[str | Slot | Raw] = []
    end = 0
    for match in _SLOT_OR_RAW.finditer(text):
        parts += (text[end : match.start()], _slot(match) if match[1] else Raw(match[3]))
        end = match.end()
    return tuple(part for part in (*parts, text[end:]) if part != "")


def without_default(*texts: str) -> set[MergeField]:
    """The fields for which an admin wrote no default: where a recipient has no value, they leave a hole."""
    return {part.field for text in texts for part in parse(text) if isinstance(part, Slot) and not part.default}


def first_lines_without_default(text: str) -> dict[MergeField, int]:
    """The same of one text, each with the first line on which it stands."""
    found: dict[MergeField, int] = {}
    for match in _SLOT.finditer(text):
        if not match[2]:
            found.setdefault(MergeField(match[1]), text.count("\n", 0, match.start()) + 1)
    return found


def one_line(text: str) -> str:
    """The text with every run of blanks, line breaks and control characters as one space, and none at the ends."""
    if text.isprintable() and "  " not in text:
        return text.strip(" ")
    return _BLANK.sub(" ", text).strip(" ")


def quoted(text: str) -> str:
    """The beginning of what somebody wrote, as it is quoted back."""
    line = one_line(text)
    return f"{line[:_QUOTED_AT_MOST]}…" if len(line) > _QUOTED_AT_MOST else line


def said(text: str) -> str:
    """What somebody, or something, is called, as a mail says it: one line, not too long, and whatever marks it holds
    that order text from the right to the left, they order nothing else."""
    line = one_line(text)
    if len(line) > LONGEST_VALUE:
        line = f"{line[: LONGEST_VALUE - 1].rstrip()}…"
    if not _ORDERS.search(line):
        return line
    return _isolated(line) if _ORDERS.sub("", line).strip() else ""


def _isolated(text: str) -> str:
    """The text as an isolate (UAX #9), with all closed that it opens, and nothing closed that it did not open."""
    kept: list[str] = []
    open_: list[str] = []
    for character in text:
        if character in "\u202c\u2069":
            if open_[-1:] != [character]:
                continue
            open_.pop()
        elif closes := _CLOSES.get(character):
            open_.append(closes)
        kept.append(character)
    return "".join(("\u2068", *kept, *reversed(open_), "\u2069"))


def _slot(match: re.Match[str]) -> Slot:
    return Slot(MergeField(match[1]), one_line(match[2] or ""))


def _mistake(stray: str, *, where: str) -> str:
    phrase = {"{{": OPEN_BRACES, "}}": STRAY_BRACES}.get(stray, STRAY_FIELD)
    return phrase(where=where, stray=quoted(stray), fields=", ".join(MergeField))
