"""Files that came through the API, in blocks, so that nobody holds a whole one in memory; as SQL."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import IO, Any, Literal

from sqlalchemy import Connection, Engine

from config.database import changes_any, execute, integer, one, rows, transaction, value
from config.words import as_json

#: Bytes of a block.
BLOCK = 1 << 20

#: Days for which what became of a file is kept.
KEPT_DAYS = 30

#: What is kept in blocks: the file, or those of its lines that were refused.
Part = Literal["file", "refused"]


@dataclass(frozen=True, slots=True)
class Upload:
    """How far the work on a file is. `asked`: how it is to be read; `kept`: the file is there, to be read again."""

    upload: int
    state: Literal["running", "done", "failed"]
    asked: dict[str, Any]
    done: int
    total: int
    result: dict[str, Any] | None
    problem: str | None
    at: datetime
    kept: bool


#: Whether the file is kept; the first of its blocks is.
_KEPT = """EXISTS (
    SELECT FROM upload_blocks b
    WHERE b.organisation = uploads.organisation AND b.upload = uploads.upload AND b.part = 'file' AND b.number = 0)"""


def begin(connection: Connection, organisation: int, asked: object) -> int:
    """Keep how a file is to be read, and forget those of a month ago; its number."""
    execute(
        connection,
        """
        DELETE FROM uploads
        WHERE organisation = :organisation AND at < now() - make_interval(days => :days) AND state <> 'running'
        """,
        organisation=organisation,
        days=KEPT_DAYS,
    )
    return integer(
        connection,
        "INSERT INTO uploads (organisation, asked) VALUES (:organisation, CAST(:asked AS jsonb)) RETURNING upload",
        organisation=organisation,
        asked=as_json(asked).decode(),
    )


def write(connection: Connection, organisation: int, upload: int, part: Part, source: IO[bytes]) -> None:
    """Keep bytes, from where the source stands on."""
    for number, block in enumerate(iter(lambda: source.read(BLOCK), b"")):
        execute(
            connection,
            """
            INSERT INTO upload_blocks (organisation, upload, part, number, block)
            VALUES (:organisation, :upload, :part, :number, :block)
            """,
            organisation=organisation,
            upload=upload,
            part=part,
            number=number,
            block=block,
        )


def blocks(engine: Engine, organisation: int, upload: int, part: Part) -> Iterator[bytes]:
    """The bytes that are kept, each block in a transaction of its own."""
    for number in count():
        with transaction(engine, organisation) as connection:
            block = value(
                connection,
                """
                SELECT block FROM upload_blocks
                WHERE organisation = :organisation AND upload = :upload AND part = :part AND number = :number
                """,
                organisation=organisation,
                upload=upload,
                part=part,
                number=number,
            )
        if block is None:
            return
        yield bytes(block)


def find(connection: Connection, organisation: int, upload: int) -> Upload | None:
    """How far the work on a file is."""
    return one(
        connection,
        Upload,
        f"""
        SELECT upload, state, asked, done, total, result, problem, at, {_KEPT} AS kept FROM uploads
        WHERE organisation = :organisation AND upload = :upload
        """,
        organisation=organisation,
        upload=upload,
    )


def newest(connection: Connection, organisation: int, before: int | None, limit: int) -> list[Upload]:
    """So many files, the newest first; `before`: those that came earlier than this one."""
    return rows(
        connection,
        Upload,
        f"""
        SELECT upload, state, asked, done, total, result, problem, at, {_KEPT} AS kept FROM uploads
        WHERE organisation = :organisation AND upload < :before ORDER BY upload DESC LIMIT :limit
        """,
        organisation=organisation,
        before=before if before is not None else 1 << 62,
        limit=limit,
    )


def again(connection: Connection, organisation: int, upload: int, asked: object) -> bool:
    """Have a file read once more, as is asked now: what became of it before is forgotten. False if it is being read, or
    is not kept any more."""
    return changes_any(
        connection,
        f"""
        WITH refused AS (
            DELETE FROM upload_blocks WHERE organisation = :organisation AND upload = :upload AND part = 'refused'
        )
        UPDATE uploads SET state = 'running', asked = CAST(:asked AS jsonb), done = 0, total = 0, result = NULL,
            problem = NULL
        WHERE organisation = :organisation AND upload = :upload AND state <> 'running' AND {_KEPT}
        """,
        organisation=organisation,
        upload=upload,
        asked=as_json(asked).decode(),
    )


def drop(connection: Connection, organisation: int, upload: int) -> None:
    """Keep a file no longer, unless it is being read."""
    execute(
        connection,
        """
        DELETE FROM upload_blocks b USING uploads u
        WHERE b.organisation = :organisation AND b.upload = :upload AND b.part = 'file'
          AND u.organisation = :organisation AND u.upload = :upload AND u.state <> 'running'
        """,
        organisation=organisation,
        upload=upload,
    )


def progressed(connection: Connection, organisation: int, upload: int, done: int, total: int) -> None:
    """Note how far the work on a file is."""
    execute(
        connection,
        "UPDATE uploads SET done = :done, total = :total WHERE organisation = :organisation AND upload = :upload",
        organisation=organisation,
        upload=upload,
        done=done,
        total=total,
    )


def settle(
    connection: Connection,
    organisation: int,
    upload: int,
    *,
    result: object | None,
    problem: str | None = None,
    keep: bool = False,
) -> None:
    """Note what became of a file, which is then not kept any longer; or is, so that it can be read again."""
    execute(
        connection,
        """
        WITH read AS (
            DELETE FROM upload_blocks
            WHERE organisation = :organisation AND upload = :upload AND part = 'file' AND NOT :keep
        )
        UPDATE uploads SET state = CASE WHEN CAST(:problem AS text) IS NULL THEN 'done' ELSE 'failed' END,
            result = CAST(:result AS jsonb), problem = :problem, done = total
        WHERE organisation = :organisation AND upload = :upload
        """,
        organisation=organisation,
        upload=upload,
        result=None if result is None else as_json(result).decode(),
        problem=problem,
        keep=keep,
    )


def forget(connection: Connection, organisation: int) -> None:
    """Remove what files said of people, of those that were read: it may name whoever is erased (S15)."""
    execute(
        connection,
        """
        WITH said AS (
            DELETE FROM upload_blocks b USING uploads u
            WHERE b.organisation = :organisation AND u.organisation = :organisation AND u.upload = b.upload
              AND (b.part = 'refused' OR u.state <> 'running')
        )
        UPDATE uploads SET result = result || '{"sample": [], "unknown_time_zones": {}, "unknown_statuses": {}}'
        WHERE organisation = :organisation AND state <> 'running'
        """,
        organisation=organisation,
    )


@dataclass(frozen=True, slots=True)
class NamingResult:
    """What a result says of somebody."""

    upload: int
    says: str


@dataclass(frozen=True, slots=True)
class NamingLine:
    """A line of a file, or one that was refused, that names somebody."""

    upload: int
    part: str
    line: str


@dataclass(frozen=True, slots=True)
class _Piece:
    upload: int
    part: str
    number: int
    block: bytes


def results_naming(connection: Connection, organisation: int, says: Callable[[str], bool]) -> list[NamingResult]:
    """What the results of files say that names somebody."""
    found = rows(
        connection,
        NamingResult,
        """
        SELECT u.upload, said.says
        FROM uploads u CROSS JOIN LATERAL (
            SELECT one.value AS says FROM jsonb_array_elements_text(u.result -> 'sample') AS one
            UNION ALL
            SELECT jsonb_object_keys(u.result -> 'unknown_time_zones')) said
        WHERE u.organisation = :organisation AND u.result IS NOT NULL
        ORDER BY u.upload, said.says
        """,
        organisation=organisation,
    )
    return [one for one in found if says(one.says)]


def lines_naming(connection: Connection, organisation: int, says: Callable[[str], bool]) -> Iterator[NamingLine]:
    """The lines of files, as far as they are kept, that name somebody; a line that two blocks share is read whole."""
    of, number, left = (0, ""), -1, b""
    while piece := one(
        connection,
        _Piece,
        """
        SELECT upload, part, number, block FROM upload_blocks
        WHERE organisation = :organisation AND (upload, part, number) > (:upload, :part, :number)
        ORDER BY upload, part, number LIMIT 1
        """,
        organisation=organisation,
        upload=of[0],
        part=of[1],
        number=number,
    ):
        if (piece.upload, piece.part) != of:
            yield from _naming(of, left, says)
            left = b""
        of, number = (piece.upload, piece.part), piece.number
        whole, _, left = (left + piece.block).rpartition(b"\n")
        yield from _naming(of, whole, says)
    yield from _naming(of, left, says)


def _naming(of: tuple[int, str], lines: bytes, says: Callable[[str], bool]) -> Iterator[NamingLine]:
    for line in lines.decode(errors="replace").splitlines():
        if says(line):
            yield NamingLine(*of, line)
