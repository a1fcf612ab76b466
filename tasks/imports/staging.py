"""Lines on their way from the file into the database: cleaned, judged where words decide, written as COPY takes them.

Few cells are to be cleaned or escaped: whether any of a batch is, is seen by looking at all of them at once. What the
words of a line mean is looked up, for they are few.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import cache
from zoneinfo import available_timezones

from tasks.imports import cells as cell_rules
from tasks.imports.encodings import UNREADABLE
from tasks.imports.reader import Layout, LineBatch
from tasks.imports.rules import Field, Refusal, RefusedLine
from tasks.imports.statuses import Judge
from tasks.mail import wire_address

#: What COPY's text format escapes in a cell.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

#: A space at the beginning or the end of a cell that is copied; one that begins with a literal is found fast.
_PADDED = re.compile(r" (?:[\t\n]|(?<=[\t\n] ))")

#: Different words that are remembered, at most; files with more are of something else.
MOST_WORDS = 10_000

#: Names that are shown as they were read.
SAMPLE = 3


class Staging:
    """What a file's lines are copied as, and what was seen on the way.

    `cleaned`: cells that characters nobody sees were taken off, by field. `sample`: some names with letters beyond
    ASCII, as they were read.
    """

    def __init__(self, layout: Layout, today: date, uncomposed: Iterable[str] = ()) -> None:
        """`uncomposed`: ids of learners who are known by other characters than those that would be read of a file."""
        self._uncomposed = {unicodedata.normalize("NFC", id_): id_ for id_ in uncomposed}
        self.cleaned: Counter[str] = Counter()
        self.sample: list[str] = []
        self._layout = layout
        self._texts = layout.texts
        self._meanings = _Meanings(layout, today)
        self._names = [n for n, field in enumerate(self._texts) if field in {Field.FIRST_NAME, Field.LAST_NAME}]
        self._email = self._texts.index(Field.EMAIL) if Field.EMAIL in self._texts else None

    def copied(self, batches: Iterable[LineBatch]) -> Iterator[str]:
        """The batches in COPY's text format."""
        for batch in batches:
            yield self._as_text(batch)

    def _as_text(self, batch: LineBatch) -> str:
        width, meanings, in_columns = len(self._texts), self._meanings, "\t".join
        plain = "".join(
            [f"{line}\t\t\t{meanings[cells[width:]]}{in_columns(cells[:width])}\n" for line, cells in batch.read]
        )
        lines = len(batch.read)
        if (plain.count("\t"), plain.count("\n")) != (lines * (width + 6), lines) or self._is_odd(plain, batch):
            plain = "".join([self._carefully(line, cells) for line, cells in batch.read])
        return plain + "".join([self._refused(refused) for refused in batch.refused])

    def _is_odd(self, plain: str, batch: LineBatch) -> bool:
        """Whether a cell is to be escaped, cleaned or looked at."""
        if (
            any(each in plain for each in cell_rules.ODD)
            or any(rare in plain and pair in plain for rare, pair in cell_rules.ODD_PAIRS)
            or _PADDED.search(plain)
            or any(number.search(plain) for number in cell_rules.ODD_NUMBERS)
        ):
            return True
        if plain.isascii():
            return False
        odd = (
            self._layout.guessed
            or any(len(cell) > cell_rules.LONGEST_CELL for _, cells in batch.read for cell in cells)
            or bool(self._uncomposed)
            or not unicodedata.is_normalized("NFC", plain)
            or any(each in plain for each in cell_rules.ODD_BEYOND_ASCII)
            or (self._email is not None and not all(cells[self._email].isascii() for _, cells in batch.read))
        )
        if not odd and len(self.sample) < SAMPLE:
            self._show(cells for _, cells in batch.read)
        return odd

    def _carefully(self, line: int, cells: tuple[str, ...]) -> str:
        """One line, cell by cell. Of one that is refused it is still known whom it calls inactive."""
        width, texts, why = len(self._texts), list[str](), ("", "")
        for field, cell in zip(self._texts, cells, strict=False):
            text = cell if cell.isalnum() and cell.isascii() else self._read(field, cell)
            if isinstance(text, tuple):
                why = why if why[0] else text
                text = ""
            texts.append(text.translate(_ESCAPES))
        if len(self.sample) < SAMPLE and not why[0]:
            self._show([tuple(texts)])
        return f"{line}\t{why[0]}\t{_copied(why[1])}\t{self._meanings[cells[width:]]}" + "\t".join(texts) + "\n"

    def _read(self, field: Field, cell: str) -> str | tuple[Refusal, str]:
        layout = self._layout
        text = cell_rules.read(field, cell, ours=layout.columns.ours)
        if isinstance(text, tuple):
            unreadable = text[0] is Refusal.CHARACTERS
            return (
                (Refusal.CHARACTERS, f"not written in {layout.encoding.removesuffix('-sig')}") if unreadable else text
            )
        if not cell.isascii():
            if layout.guessed and _is_utf8(cell, layout.encoding):
                return Refusal.CHARACTERS, f"written in utf-8, not in {layout.encoding}"
            if cell_rules.is_cleaned(cell, text):
                self.cleaned[field] += 1
            if field is Field.LEARNER:
                return self._uncomposed.get(text, text)
            if field is Field.EMAIL and text and not _is_address(text):
                return Refusal.BAD_EMAIL, ""
        return text

    def _refused(self, refused: RefusedLine) -> str:
        """A line of a wrong form: whose it is, and whether it calls them inactive, counted from either end."""
        layout, row = self._layout, list(refused.cells)
        if refused.reason is Refusal.QUOTES:
            row = [cell.strip('"') for cell in row[0].split(layout.delimiter)]
        place, width = layout.columns.places[Field.LEARNER], len(layout.header)
        learner = self._read(Field.LEARNER, row[place]) if place < len(row) else ""
        ends = [row, [""] * (width - len(row)) + row[max(len(row) - width, 0) :]]
        said = {
            self._meanings.active([cells[column.place] for column in layout.status])
            for cells in ends
            if len(cells) >= width
        }
        active = "f" if False in said and True not in said else ""
        id_ = learner.translate(_ESCAPES) if isinstance(learner, str) else ""
        start = f"{refused.line}\t{refused.reason}\t{_copied(refused.detail)}\t{active}\t\t\t\t{id_}"
        return start + "\t" * (len(self._texts) - 1) + "\n"

    def _show(self, lines: Iterable[Sequence[str]]) -> None:
        for cells in lines:
            name = " ".join(" ".join(cells[n] for n in self._names).split())
            if not name.isascii() and name not in self.sample and len(self.sample) < SAMPLE:
                self.sample.append(name[:100])


class _Meanings(dict[tuple[str, ...], str]):
    """What a line's words come to, as the columns that COPY has for it: by the cells of the time zone and statuses."""

    def __init__(self, layout: Layout, today: date) -> None:
        self._has_zone = Field.TIME_ZONE in layout.columns.places
        self._judge = Judge(layout.status, layout.options.words, layout.options.status, today)

    def active(self, cells: Sequence[str]) -> bool | None:
        """Whether these status cells call somebody active."""
        return self._judge.judge([cell_rules.bare(cell) for cell in cells]).active

    def __missing__(self, cells: tuple[str, ...]) -> str:
        words = [cell_rules.bare(cell) for cell in cells]
        zone, odd_zone = _zone(words.pop(0)) if self._has_zone else ("", "")
        judged = self._judge.judge(words)
        active = "" if judged.active is None else "t" if judged.active else "f"
        said = "\t".join(_copied(each) for each in (active, judged.why, zone, odd_zone)) + "\t"
        if len(self) < MOST_WORDS:
            self[cells] = said
        return said


def _copied(text: str) -> str:
    return text.replace("\0", "").replace(UNREADABLE, "\ufffd").translate(_ESCAPES)


@cache
def _zones() -> dict[str, str]:
    return {zone.casefold(): zone for zone in available_timezones()}


def _zone(cell: str) -> tuple[str, str]:
    """A time zone by its IANA name, or, where it has none, what is there instead."""
    zone = _zones().get(cell.casefold().replace(" ", "_"), "")
    return zone, "" if zone else cell[:64]


def _is_utf8(cell: str, encoding: str) -> bool:
    try:
        cell.encode(encoding).decode()
    except (UnicodeEncodeError, UnicodeDecodeError):
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        wire_address(text)
    except ValueError:
        return False
    return True
