"""Reading the files that people really have: whatever encoding, delimiter and line ending a spreadsheet writes.

In constant memory: the encoding is found in a first pass over the bytes, the lines are read in batches in a second.
"""

import codecs
import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from io import TextIOWrapper
from itertools import islice
from operator import itemgetter
from typing import IO, TYPE_CHECKING, TypeAlias

from tasks.imports.rules import Field, NotReadable, Refusal, Refused, columns_of, field_named

if TYPE_CHECKING:
    from _csv import Reader

#: What separates cells, as spreadsheets have it.
DELIMITERS = (",", ";", "\t")

#: Lines of learners read at once; more are slower, they fall out of the processor's cache.
BATCH = 500

#: Bytes looked at at once to find the encoding.
PIECE = 1 << 18

#: Characters read as one line, at most: a file without line ends does not fill the memory.
LONGEST_LINE = 1 << 20

#: How a file says in its first bytes what it is (the Unicode standard, 23.8).
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


#: The line of the file on which a learner begins, and their cells, as `Layout.fields` has them.
Line: TypeAlias = tuple[int, tuple[str, ...]]


@dataclass(slots=True)
class Batch:
    """Some of a file's lines: those that can be read, with the space around their cells, and those that cannot."""

    read: list[Line] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def lines(self) -> list[Line]:
        """Those that can be read, surrounding space removed."""
        return [(line, tuple(map(str.strip, cells))) for line, cells in self.read]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is written, and where in each of its lines a field is found."""

    encoding: str
    delimiter: str
    width: int
    places: dict[Field, int]

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields the file has a column for; the first is the learner's id."""
        return tuple(self.places)


def layout_of(
    file: IO[bytes], chosen: Mapping[Field, str], *, encoding: str | None = None, delimiter: str | None = None
) -> Layout:
    """Find out how a file is written, unless told: its delimiter is the one that makes most sense of the header.
    `chosen`: columns named by a person. Raises `NotReadable`."""
    encoding = encoding or encoding_of(file)
    delimiter = delimiter or _delimiter_of(file, encoding, chosen)
    with _opened(file, encoding) as text:
        try:
            header = _skip_to_header(_reader(_lines(text), delimiter))
        except csv.Error as problem:
            raise NotReadable(f"The header cannot be read: {problem}. Is this a CSV file?") from None
    if not header:
        raise NotReadable("The file is empty.")
    return Layout(encoding, delimiter, len(header), columns_of(header, chosen))


def _delimiter_of(file: IO[bytes], encoding: str, chosen: Mapping[Field, str] | None = None) -> str:
    """The delimiter that makes most columns of the header known ones, or just most columns."""
    found = []
    for delimiter in DELIMITERS:
        with _opened(file, encoding) as text, suppress(csv.Error):
            header = _skip_to_header(_reader(_lines(text), delimiter, strict=False))
            known = [name for name in header if field_named(name) or name.strip() in (chosen or {}).values()]
            found.append((len(known), len(header), delimiter))
    return max(found, key=lambda each: each[:2])[2] if found else DELIMITERS[0]


def encoding_of(file: IO[bytes]) -> str:
    """The encoding a file claims by its first bytes, else UTF-8 where it is that, else Windows-1252."""
    file.seek(0)
    begin = file.read(4)
    for mark, encoding in MARKS.items():
        if begin.startswith(mark):
            return encoding
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    try:
        for piece in iter(partial(file.read, PIECE), b""):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def first_cells(file: IO[bytes]) -> Iterator[str]:
    """The first cell of each line, a header and empty ones left out. Raises `NotReadable`."""
    encoding = encoding_of(file)
    delimiter = _delimiter_of(file, encoding)
    with _opened(file, encoding) as text:
        try:
            for number, row in enumerate(_reader(_lines(text), delimiter)):
                if row and row[0].strip() and (number or field_named(row[0]) is not Field.LEARNER):
                    yield row[0].strip()
        except csv.Error as problem:
            raise NotReadable(f"The file cannot be read: {problem}.") from None


def batches(file: IO[bytes], layout: Layout) -> Iterator[Batch]:
    """The learners of a file, line by line; empty lines are left out.

    A line that cannot be read stops none of those behind it. Raises `NotReadable` where the encoding is not what the
    layout says.
    """
    pick, width, longest = itemgetter(*layout.places.values()), layout.width, csv.field_size_limit()
    with _opened(file, layout.encoding) as text:
        lines, next_line = _lines(text), list[str]()
        reader = _reader(_beginning_with(next_line, lines), layout.delimiter)
        _skip_to_header(reader)
        line = reader.line_num
        while True:
            batch, before = Batch(), line
            for whole in islice(lines, BATCH):
                begun = line = line + 1
                if '"' in whole or len(whole) > longest:
                    next_line.append(whole)
                    line -= reader.line_num + 1
                    try:
                        row = next(reader)
                    except csv.Error as problem:
                        line += reader.line_num
                        batch.refused.append(Refused(begun, Refusal.QUOTES, f"{problem}{_up_to(begun, line)}"))
                        continue
                    line += reader.line_num
                else:  # what the csv module makes of it, in half the time
                    row = whole.rstrip("\r\n").split(layout.delimiter)
                if len(row) == width:
                    cells = pick(row)
                    if cells[0].strip() or any(map(str.strip, row)):
                        batch.read.append((begun, cells))
                elif whole.strip("\r\n"):
                    detail = f"{len(row)} in place of {width}{_up_to(begun, line)}"
                    batch.refused.append(Refused(begun, Refusal.CELLS, detail))
            if line == before:
                return
            yield batch


def _up_to(begun: int, line: int) -> str:
    return f", up to line {line}" if line > begun else ""


def _skip_to_header(reader: "Reader") -> list[str]:
    """Read the header; before it may lie empty lines, and one in which Excel says what the delimiter is."""
    return next((row for row in reader if any(row) and not row[0].lower().startswith("sep=")), [])


def _reader(lines: Iterator[str], delimiter: str, *, strict: bool = True) -> "Reader":
    return csv.reader(lines, delimiter=delimiter, strict=strict)


def _lines(text: TextIOWrapper) -> Iterator[str]:
    """Lines as they lie in the file, ends included."""
    return iter(partial(text.readline, LONGEST_LINE), "")


def _beginning_with(first: list[str], lines: Iterator[str]) -> Iterator[str]:
    """The line that was put into `first`, if one was, then those behind it: a cell in quotation marks may go on."""
    while line := first.pop() if first else next(lines, ""):
        yield line


@contextmanager
def _opened(file: IO[bytes], encoding: str) -> Iterator[TextIOWrapper]:
    """A file's text from its beginning, its line ends as they are; the file stays open afterwards."""
    file.seek(0)
    text = TextIOWrapper(file, encoding=encoding, newline="")
    try:
        yield text
    except UnicodeError:
        raise NotReadable(f"The file is not written in {encoding}: say with --encoding what it is.") from None
    finally:
        text.detach()
