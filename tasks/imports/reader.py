"""Reading the files that people really have: whatever encoding, delimiter and line ending a spreadsheet writes.

In constant memory: the encoding is found in a first pass over the bytes, the lines are read in batches in a second.
"""

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from io import TextIOWrapper
from itertools import islice
from operator import itemgetter
from typing import IO, TYPE_CHECKING, TypeAlias

from config.phrases import BAD_HEADER, EMPTY_FILE, OTHER_ENCODING, OTHER_HEADER
from tasks.imports import cells, encodings
from tasks.imports.rules import (
    Columns,
    Field,
    NotReadable,
    ReadingOptions,
    Refusal,
    RefusedLine,
    columns_of,
    field_named,
)
from tasks.imports.statuses import StatusColumn, plain
from tasks.imports.unused import check_unused

if TYPE_CHECKING:
    from _csv import Reader

#: What separates cells, as spreadsheets have it.
DELIMITERS = (",", ";", "\t", "|")

#: Lines of learners read at once; more are slower, they fall out of the processor's cache.
BATCH = 500

#: How a file may begin, and another that was put behind it.
BYTE_ORDER_MARK = "\ufeff"

#: Characters read as one line, at most: a file without line ends does not fill the memory.
LONGEST_LINE = 1 << 20

#: The line of the file on which a learner begins, and their cells, as `Layout.picked` has them.
Line: TypeAlias = tuple[int, tuple[str, ...]]


@dataclass(slots=True)
class LineBatch:
    """Some of a file's lines: those that can be split into cells, as they are, and those that cannot."""

    read: list[Line] = field(default_factory=list)
    refused: list[RefusedLine] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is written, and what is found where in each of its lines. `guessed`: its encoding is by evidence."""

    encoding: str
    guessed: bool
    delimiter: str
    header: tuple[str, ...]
    columns: Columns
    options: ReadingOptions

    @property
    def texts(self) -> tuple[Field, ...]:
        """The fields that are taken as they are written; the first is the learner's id."""
        return tuple(field for field in self.columns.places if field is not Field.TIME_ZONE)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of which the file says something."""
        said = self.columns.status or self.options.status is not None
        return (*self.columns.places, *((Field.STATUS,) if said else ()))

    @property
    def status(self) -> tuple[StatusColumn, ...]:
        """The columns that say who is inactive."""
        return self.columns.status

    @property
    def picked(self) -> tuple[int, ...]:
        """Where the cells are that are read: the texts, then the time zone if there is one, then the status columns."""
        zone = self.columns.places.get(Field.TIME_ZONE)
        return (
            *(self.columns.places[field] for field in self.texts),
            *(() if zone is None else (zone,)),
            *(column.place for column in self.status),
        )


def layout_of(
    file: IO[bytes], options: ReadingOptions | None = None, *, encoding: str | None = None, delimiter: str | None = None
) -> Layout:
    """Find out how a file is written and what its columns mean, unless told: its delimiter is the one that makes most
    sense of the header. Raises `NotReadable`."""
    options = options or ReadingOptions()
    found = encodings.Encoding(encoding) if encoding else encodings.encoding_of(file)
    delimiter = delimiter or _delimiter_of(file, found.name, options)
    with _opened(file, found.name) as text:
        try:
            header = _skip_to_header(_reader(_lines(text), delimiter))
        except csv.Error as problem:
            raise NotReadable(BAD_HEADER(problem=problem)) from None
    if not header:
        raise NotReadable(EMPTY_FILE())
    names = tuple(name.replace(encodings.UNREADABLE, "\ufffd") for name in header)
    return Layout(found.name, found.guessed, delimiter, names, columns_of(names, options), options)


def _delimiter_of(file: IO[bytes], encoding: str, options: ReadingOptions | None = None) -> str:
    """The delimiter that makes most columns of the header known ones, or just most columns."""
    named = {*options.columns.values(), *options.says} if options else set()
    found = []
    for delimiter in DELIMITERS:
        with _opened(file, encoding) as text, suppress(csv.Error):
            header = _skip_to_header(_reader(_lines(text), delimiter, strict=False))
            known = [name for name in header if field_named(name) or name.strip() in named]
            found.append((len(known), len(header), delimiter))
    return max(found, key=lambda each: each[:2])[2] if found else DELIMITERS[0]


def first_cells(file: IO[bytes]) -> Iterator[str]:
    """The ids in the first cell of each line, a header and empty ones left out. Raises `NotReadable`."""
    encoding = encodings.encoding_of(file).name
    delimiter = _delimiter_of(file, encoding)
    with _opened(file, encoding) as text:
        reader, line = _reader(_lines(text), delimiter), 0
        try:
            for row in reader:
                begun, line = line + 1, reader.line_num  # a cell in quotation marks may go on
                if not row or not row[0].strip() or (begun == 1 and field_named(row[0]) is Field.LEARNER):
                    continue
                id_ = cells.read(Field.LEARNER, row[0], ours=False)
                if isinstance(id_, tuple):
                    raise NotReadable(f"Line {begun} has no id that can be read: {id_[0]}, {id_[1]}.")
                yield id_
        except csv.Error as problem:
            raise NotReadable(f"The file cannot be read: {problem}.") from None


def batches(file: IO[bytes], layout: Layout, *, whole: bool = False) -> Iterator[LineBatch]:
    """The learners of a file, line by line; empty lines are left out. `whole`: all cells, not those that are read.

    A line that cannot be read stops none of those behind it. Raises `NotReadable` where a column that is not used
    seems to call somebody inactive, and at a header with other columns.
    """
    width, delimiter, longest = len(layout.header), layout.delimiter, csv.field_size_limit()
    looked_at = bool(layout.columns.unused_places) and not whole
    pick: Callable[[list[str]], tuple[str, ...]] = tuple if whole else itemgetter(*layout.picked)
    told = map(re.escape, layout.options.columns.values())
    signs_in = re.compile("|".join((r"mail|user|log.?in|upn|u\.p\.n|sam.?account", *told)), re.IGNORECASE).search
    with _opened(file, layout.encoding) as text:
        lines, next_line = _lines(text), list[str]()
        reader = _reader(_beginning_with(next_line, lines), layout.delimiter)
        _skip_to_header(reader)
        line = reader.line_num
        while True:
            batch, before, kept = LineBatch(), line, list[tuple[int, list[str]]]()
            read = batch.read.append
            for text_ in islice(lines, BATCH):
                begun = line = line + 1
                if '"' in text_ or len(text_) > longest:
                    # A mark of the byte order is left where two files were joined.
                    text_ = text_.removeprefix(BYTE_ORDER_MARK) if text_[1:2] == '"' else text_  # noqa: PLW2901
                    next_line.append(text_)
                    line -= reader.line_num + 1
                    try:
                        row = next(reader)
                    except csv.Error as problem:
                        line += reader.line_num
                        detail = f"{problem}{_up_to(begun, line)}"
                        batch.refused.append(RefusedLine(begun, Refusal.QUOTES, detail, (text_.rstrip("\r\n"),)))
                        continue
                    line += reader.line_num
                else:  # what the csv module makes of it, in half the time
                    row = text_.rstrip("\r\n").split(delimiter)
                if len(row) == width:
                    if "@" not in text_ and signs_in(text_) and _is_header(layout, row, begun):
                        continue
                    picked = pick(row)
                    if picked[0].strip() or any(map(str.strip, row)):
                        read((begun, picked))
                        if looked_at:
                            kept.append((begun, row))
                elif not _is_header(layout, row, begun) and text_.strip("\r\n"):
                    detail = f"{len(row)} in place of {width}{_up_to(begun, line)}"
                    batch.refused.append(RefusedLine(begun, Refusal.CELLS, detail, tuple(row)))
            if line == before:
                return
            if looked_at:
                check_unused(layout.header, layout.columns.unused_places, kept)
            yield batch


def _is_header(layout: Layout, row: list[str], line: int) -> bool:
    """Whether a line is the header again, where two files were joined. Raises `NotReadable` where it, or what lies
    behind a last line without an end, names other columns: what is below would be read by the wrong ones."""
    width = len(layout.header)
    if len(row) == width and (re.search(r"\d\d\d", "\n".join(row)) or any(map(str.isdecimal, map(plain, row)))):
        return False
    told = {plain(name): field for field, name in layout.options.columns.items()}
    for names in (row, [layout.header[layout.columns.places[Field.LEARNER]], *row[width:]] if len(row) > width else []):
        found = [told.get(plain(name)) or field_named(name) for name in names if name.strip()]
        enough = min(4, (len(found) + 1) // 2) <= len(found) - found.count(None)
        if enough and len(found) > 1 and Field.LEARNER in found and {Field.USERNAME, Field.EMAIL} & {*found}:
            if [*map(plain, row)] == [*map(plain, layout.header)]:
                return True
            raise NotReadable(OTHER_HEADER(line=line))
    return False


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
    text = TextIOWrapper(file, encoding=encoding, errors=encodings.MARKING, newline="")
    try:
        yield text
    except UnicodeError:
        raise NotReadable(OTHER_ENCODING(encoding=encoding)) from None
    finally:
        text.detach()
