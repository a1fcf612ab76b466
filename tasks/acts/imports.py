"""Files of learners from elsewhere: imported by a worker, and what became of them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import msgspec

from config.errors import BadField, Invalid, NotFound
from tasks import imports, uploads, work
from tasks.acts.acting import Act, Doing, act
from tasks.acts.paging import Begun, Stream, UnderWay
from tasks.imports import Imported, ImportRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRun(ImportRequest):
    """A file, and how it is to be read."""

    file: IO[bytes] = field(metadata={"format": "binary"})


@dataclass(frozen=True, slots=True)
class OneImport:
    """Which import."""

    id: int


@dataclass(frozen=True, slots=True)
class ImportUnderWay(UnderWay[Imported]):
    """How far an import is; `problem`: why it failed, if it did."""

    problem: str | None = None


@act("imports.run", "POST imports", status=202)
def run(doing: Doing, asked: ImportRun) -> Begun[Imported]:
    """Import learners from a previous LMS. A worker does it; the document at the location says how far it is."""
    check(asked)
    number = doing.organisation.organisation
    how = {one: getattr(asked, one) for one in ImportRequest.__slots__}
    with doing.transaction() as connection:
        upload = uploads.begin(connection, number, how)
        uploads.write(connection, number, upload, "file", asked.file)
        work.add(connection, number, "tasks", "imports.run", upload)
        doing.record(connection, str(upload), after={"dry_run": asked.dry_run}, outcome="begun")
    return Begun(f"imports/{upload}", ImportUnderWay("running", 0, 0))


@act("imports.show", "GET imports/{id}")
def show(doing: Doing, asked: OneImport) -> ImportUnderWay:
    """How far an import is, and its result."""
    found = _found(doing, asked.id)
    result = None if found.result is None else msgspec.convert(found.result, Imported)
    return ImportUnderWay(found.state, found.done, found.total, result, found.problem)


@act("imports.refused", "GET imports/{id}/refused")
def refused(doing: Doing, asked: OneImport) -> Stream:
    """The lines that were refused, each with the reason, to be corrected and imported again."""
    _found(doing, asked.id)
    number = doing.organisation.organisation
    blocks = uploads.blocks(doing.runtime.engine, number, asked.id, "refused")
    return Stream("text/csv", blocks, f"import-{asked.id}.refused.csv")


def _found(doing: Doing, id_: int) -> uploads.Upload:
    with doing.transaction() as connection:
        found = uploads.find(connection, doing.organisation.organisation, id_)
    if found is None:
        raise NotFound(f"There is no import {id_} of the organisation {doing.organisation.id!r}.")
    return found


def check(asked: ImportRequest) -> imports.ReadingOptions:
    """What is said of the columns. Raises `Invalid`."""
    try:
        imports.check_options(asked)
        return imports.reading_options(asked)
    except imports.BadOption as problem:
        raise Invalid(str(problem), [BadField(f"/{problem.option}", str(problem))]) from None


def here(
    listed: Path,
    approve: Callable[[Imported], None],
    on_batch: Callable[[], None],
    on_slice: Callable[[int, int], None],
) -> Act[ImportRun, Imported]:
    """The same act done at once, where the file is, as a command does it: `listed` is where refused lines go."""

    def do(doing: Doing, asked: ImportRun) -> Imported:
        options = check(asked)
        with doing.transaction() as connection:
            doing.record(connection, after={"dry_run": asked.dry_run}, outcome="begun")
        return imports.import_file(
            doing.runtime.engine,
            doing.runtime.settings,
            doing.organisation,
            asked.file,
            imports.layout_of(asked.file, options, encoding=asked.encoding, delimiter=imports.delimiter_of(asked)),
            imports.ImportOptions(listed, notify=asked.notices, keep_empty=asked.keep_empty, dry_run=asked.dry_run),
            approve=approve,
            on_batch=on_batch,
            on_slice=on_slice,
        )

    at_once: Act[Any, Any] = run
    return replace(at_once, does=do, gives=Imported)
