"""Files that came through the API, imported by a worker. One whose worker is lost is imported again, and goes on."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile

import msgspec

from config import clock
from config.database import autocommit, transaction, value
from config.locks import IMPORT_LOCK
from config.pooler import session_engine
from config.runtime import Runtime
from tasks import organisations, uploads, work
from tasks.imports.intake import Imported, ImportOptions, import_file
from tasks.imports.reader import layout_of
from tasks.imports.requests import ImportRequest, approval, delimiter_of, reading_options
from tasks.imports.rules import NotReadable
from tasks.work import actor

#: How long a file is kept that was only looked at, or could not be read: to be corrected, and read again.
KEPT = timedelta(days=1)

#: How long an import waits before it looks again whether it is its turn.
TURN_SOON = timedelta(seconds=1)


@actor("imports.run")
def run(runtime: Runtime, piece: work.Piece) -> None:
    """Import a file, if no other is being imported: an import takes a thread of the pool for minutes, and what enrols
    and gives access must not wait for several (R31)."""
    with autocommit(session_engine(runtime.engine)) as lock:
        if not value(lock, "SELECT pg_try_advisory_lock(:lock)", lock=IMPORT_LOCK):
            with transaction(runtime.engine, piece.organisation) as connection:
                work.release(connection, piece, after=TURN_SOON, failed=False)
            return
        try:
            _run(runtime, piece)
        finally:
            value(lock, "SELECT pg_advisory_unlock(:lock)", lock=IMPORT_LOCK)


def _run(runtime: Runtime, piece: work.Piece) -> None:
    """Import a file, and write down what became of it; what was refused of it is kept."""
    number, subject = piece.organisation, piece.subject
    with transaction(runtime.engine, number) as connection:
        upload = uploads.find(connection, number, subject)
        if upload is None:
            work.finish(connection, piece)
            return
        organisation = organisations.numbered(connection, number)
    asked = msgspec.convert(upload.asked, ImportRequest)
    result: Imported | None = None
    problem: str | None = None
    with TemporaryFile() as source, TemporaryFile() as refused:  # without a name: gone with whoever is killed
        source.writelines(uploads.blocks(runtime.engine, number, subject, "file"))

        def progressed(done: int, total: int) -> None:
            with transaction(runtime.engine, number) as connection:
                work.extend(connection, piece, runtime.lease)  # whoever has lost it takes no more of the file
                uploads.progressed(connection, number, subject, done, total)

        try:
            listed = Path(f"/dev/fd/{refused.fileno()}")
            result = import_file(
                runtime.engine,
                runtime.settings,
                organisation,
                source,
                layout_of(source, reading_options(asked), encoding=asked.encoding, delimiter=delimiter_of(asked)),
                ImportOptions(listed, notify=asked.notices, keep_empty=asked.keep_empty, dry_run=asked.dry_run),
                approve=approval(asked),
                on_slice=progressed,
            )
        except NotReadable as said:
            problem = str(said)
        with transaction(runtime.engine, number) as connection:
            work.finish(connection, piece)
            if result is not None and result.refused:
                result.refused_file = f"imports/{subject}/refused"
                refused.seek(0)
                uploads.write(connection, number, subject, "refused", refused)
            keep = asked.dry_run or result is None
            if keep:
                work.add(connection, number, "tasks", "imports.drop", subject, scheduled_for=clock.now() + KEPT)
            uploads.settle(connection, number, subject, result=result, problem=problem, keep=keep)


@actor("imports.drop")
def drop(runtime: Runtime, piece: work.Piece) -> None:
    """Keep a file no longer that nobody had read to its end."""
    with transaction(runtime.engine, piece.organisation) as connection:
        uploads.drop(connection, piece.organisation, piece.subject)
        work.finish(connection, piece)
