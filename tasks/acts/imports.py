"""Files of learners from elsewhere: imported by a worker, and what became of them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from config.errors import BadField, Conflict, Invalid, NotFound
from tasks import imports, uploads, work
from tasks.acts.acting import Act, Doing, act
from tasks.acts.paging import Begun, Page, PageAsked, Stream, UnderWay, keys_after, page
from tasks.imports import Imported, ImportRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRun(ImportRequest):
    """A file, and how it is to be read."""

    file: IO[bytes] = field(metadata={"format": "binary"})


@dataclass(frozen=True, slots=True)
class OneImport:
    """Which import."""

    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportAgain(ImportRequest):
    """An import whose file is kept, and how it is to be read now."""

    id: int


@dataclass(frozen=True, slots=True)
class ImportUnderWay(UnderWay[Imported]):
    """How far an import is; `problem`: why it failed, if it did. `asked`: how the file is read; `kept`: it is there for
    a day, to be read again."""

    problem: str | None = None
    asked: ImportRequest | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class ListedImport:
    """A file that came, and how far its import is: `read` lines, of which so many were `refused`; null until then."""

    id: int
    at: datetime
    name: str
    dry_run: bool
    state: str
    problem: str | None
    read: int | None
    refused: int | None


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
    return Begun(f"imports/{upload}", UnderWay("running", 0, 0))


@act("imports.again", "POST imports/{id}/again", status=202)
def again(doing: Doing, asked: ImportAgain) -> Begun[Imported]:
    """Read a file once more that was only looked at, or could not be read: as is asked now. It is kept for a day."""
    check(asked)
    number = doing.organisation.organisation
    found = _found(doing, asked.id)
    how = {one: getattr(asked, one) for one in ImportRequest.__slots__} | {"name": found.asked.get("name", "")}
    with doing.transaction() as connection:
        if not uploads.again(connection, number, asked.id, how):
            raise Conflict(f"Import {asked.id} is being read, or its file is not kept any more: send the file again.")
        work.add(connection, number, "tasks", "imports.run", asked.id)
        doing.record(connection, str(asked.id), after={"dry_run": asked.dry_run}, outcome="begun")
    return Begun(f"imports/{asked.id}", UnderWay("running", 0, 0))


@act("imports.list", "GET imports")
def list_(doing: Doing, asked: PageAsked) -> Page[ListedImport]:
    """List the imports of the last month, the newest first."""
    number = doing.organisation.organisation
    (before,) = keys_after(asked.after, tuple[int], "imports", number) or (None,)
    with doing.transaction() as connection:
        found = uploads.newest(connection, number, before, asked.limit + 1)
    listed = [_listed(one) for one in found]
    return page(listed, asked.limit, lambda one: (one.id,), "imports", number)


def _listed(one: uploads.Upload) -> ListedImport:
    result = one.result or {}
    read, refused = result.get("read"), result.get("refused")
    return ListedImport(
        one.upload,
        one.at,
        one.asked.get("name", ""),
        bool(one.asked.get("dry_run")),
        one.state,
        one.problem,
        read,
        None if refused is None else sum(refused.values()),
    )


@act("imports.show", "GET imports/{id}")
def show(doing: Doing, asked: OneImport) -> ImportUnderWay:
    """How far an import is, and its result."""
    found = _found(doing, asked.id)
    result = None if found.result is None else msgspec.convert(found.result, Imported)
    how = msgspec.convert(found.asked, ImportRequest)
    return ImportUnderWay(found.state, found.done, found.total, result, found.problem, how, found.kept)


@act("imports.refused", "GET imports/{id}/refused", media=("text/csv",))
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
