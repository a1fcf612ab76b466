"""Import: a file of learners is looked at, corrected, looked at again, and imported by a worker (R2)."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from config.errors import Invalid, UserError
from tasks.acts import imports
from tasks.acts.imports import ImportAgain, ImportRun, ImportUnderWay, ListedImport, OneImport
from tasks.acts.paging import Page, PageAsked, Stream
from tasks.imports import UNASKED, Field, ImportRequest, StatusOfAll
from workers.web.console.progress import HowFar
from workers.web.console.visits import SECTIONS, Gone, Section, Shown, Visit, page

#: Imports on a page of the list.
SHOWN = 20

#: Refused lines that a page shows, and letters of each; all of them are in the file.
FEW_LINES, LONGEST_LINE = 20, 300

#: Encodings to choose from, and what writes them.
ENCODINGS = {
    "utf-8": "UTF-8",
    "cp1252": "Windows: Western Europe (cp1252)",
    "cp1250": "Windows: Central Europe (cp1250)",
    "cp1254": "Windows: Turkish (cp1254)",
    "iso8859-15": "ISO 8859-15",
    "mac-roman": "Old Mac (mac-roman)",
    "cp850": "DOS (cp850)",
    "utf-16": "UTF-16",
}

#: What separates cells, to choose from.
DELIMITERS = {",": ",", ";": ";", "tab": "tab", "|": "|"}

SECTIONS.append(Section("imports", "Import", imports.list_))


def _listed(visit: Visit) -> Page[ListedImport]:
    return visit.once(imports.list_, PageAsked(SHOWN, visit.said("after") or None))


@page("GET organisations/{organisation}/imports", needs=imports.list_, section="imports", live=_listed)
def list_imports(visit: Visit) -> Shown:
    """Where a file is dropped, and what became of those before."""
    found = _listed(visit)
    return Shown("imports", {"imports": found.items, "after": found.next, "may": visit.may("imports.run")})


@page("POST organisations/{organisation}/imports", needs=imports.run, section="imports", uploads=True)
def begin(visit: Visit) -> Gone:
    """Look at a file: nothing is changed yet."""
    if visit.file is None or not visit.file.name:
        raise UserError(visit.reader.words.gettext("No file was chosen: go back, and choose one."))
    name = visit.file.name.rpartition("\\")[2][:200]
    begun = visit.ask(imports.run, ImportRun(file=visit.file.content, dry_run=True, name=name))
    return Gone(visit.url("imports", begun.location.rpartition("/")[2]))


def _state(visit: Visit) -> ImportUnderWay:
    return visit.once(imports.show, _one(visit))


@page("GET organisations/{organisation}/imports/{id}", needs=imports.show, section="imports", live=_state)
def show(visit: Visit) -> Shown:
    """What a file says, as it is understood; how far the import is; what became of it."""
    return _shown(visit, _state(visit))


@page("POST organisations/{organisation}/imports/{id}", needs=imports.again, section="imports")
def again(visit: Visit) -> Gone | Shown:
    """Look at the file again, as it was corrected; or import it, as it was looked at."""
    one = _one(visit)
    found = visit.ask(imports.show, one)
    asked = _corrected(visit, found.asked or ImportRequest())
    if visit.said("do") == "import":
        asked = replace(found.asked or asked, dry_run=False, yes=bool(visit.said("yes")))
    how = {name: getattr(asked, name) for name in ImportRequest.__slots__}
    try:
        visit.ask(imports.again, ImportAgain(id=one.id, **how))
    except Invalid as problem:
        return _shown(visit, replace(found, asked=asked), visit.reader.translated(str(problem)))
    return Gone(visit.url("imports", str(one.id)))


@page("GET organisations/{organisation}/imports/{id}/refused", needs=imports.refused, exports=True)
def refused(visit: Visit) -> Stream:
    """The lines that were refused, to be corrected and imported."""
    return visit.ask(imports.refused, _one(visit))


@dataclass(frozen=True, slots=True)
class _RefusedLine:
    """A line that was refused: its number in the file, why, and its cells."""

    line: int
    reason: str
    detail: str
    says: str


def _refused_lines(visit: Visit, delimiter: str) -> list[_RefusedLine]:
    """The first lines that were refused."""
    blocks = iter(visit.ask(imports.refused, _one(visit)).blocks)
    text = next(blocks, b"").decode("utf-8-sig", errors="replace")
    found = _rows(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    next(found, None)
    return [
        _RefusedLine(int(line), reason, detail, " · ".join(cell for cell in cells if cell)[:LONGEST_LINE])
        for line, reason, detail, *cells in islice(found, FEW_LINES)
        if line.isdecimal()
    ]


def _rows(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    """The rows that can be read: not one with a cell that is too long for `csv`, nor one of which the end of the block
    left too little to say why it was refused."""
    while True:
        try:
            row = next(rows, None)
        except csv.Error:
            continue
        if row is None:
            return
        if len(row) > 2:
            yield row


def _one(visit: Visit) -> OneImport:
    id_ = visit.path["id"]
    if not (id_.isascii() and id_.isdigit() and len(id_) <= 18):
        id_ = "0"
    return OneImport(int(id_))


def _shown(visit: Visit, found: ImportUnderWay, problem: str = "") -> Shown:
    asked = found.asked or ImportRequest()
    result = found.result
    columns = dict(pair.partition("=")[::2] for pair in asked.map)
    words = dict(pair.rpartition("=")[::2] for pair in asked.map_status)
    if result is not None:
        words = dict.fromkeys(result.unknown_statuses, "") | words
    refused = 0 if result is None else sum(result.refused.values())
    known = [] if result is None else [*result.columns.values(), *result.status_columns, *result.unused]
    said: dict[str, Any] = {
        "id": visit.path["id"],
        "found": replace(found, problem=found.problem and visit.reader.translated(found.problem)),
        "asked": asked,
        "result": result,
        "columns": columns,
        "words": words,
        "fields": [*Field],
        "known_columns": list(dict.fromkeys(known)),
        "encodings": ENCODINGS,
        "delimiters": DELIMITERS,
        "refused": refused,
        "lines": _refused_lines(visit, result.delimiter or ",") if result is not None and refused else [],
        "unasked": UNASKED,
        "problem": problem,
        "may": visit.may("imports.again"),
        "progress": HowFar(found.done, found.total),
    }
    return Shown("import", said, 422 if problem else 200)


def _corrected(visit: Visit, before: ImportRequest) -> ImportRequest:
    """What the form says of how the file is to be read. Raises `UserError`."""
    words = [value for name, value in visit.fields if name == "word"]
    means = [value for name, value in visit.fields if name == "means"]
    status = visit.said("status")
    if status and status not in {*StatusOfAll}:
        raise UserError(f"There is no status {status!r}.")
    return ImportRequest(
        kind=before.kind,
        dry_run=True,
        map=[f"{field}={column}" for field in Field if (column := visit.said(f"map-{field}").strip())],
        map_status=[f"{word}={mean}" for word, mean in zip(words, means, strict=False) if mean],
        status=StatusOfAll(status) if status else None,
        ignore=[line.strip() for line in visit.said("ignore").splitlines() if line.strip()],
        keep_empty=bool(visit.said("keep_empty")),
        encoding=visit.said("encoding") or None,
        delimiter=visit.said("delimiter") or None,
        notices=bool(visit.said("notices")),
        name=before.name,
    )
