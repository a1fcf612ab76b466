"""Reports that go out row by row: streamed by PostgreSQL itself, however many rows there are (R29, R30)."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from psycopg import sql
from sqlalchemy import Connection

from config.database import within, without_nested_loops
from config.words import with_rfc3339

#: Bytes handed on at once: a system call and a step of the progress for each, not for each row.
BLOCK = 65_536


class Tab(StrEnum):
    """Whose rows: of the learners active now, or of those who are not."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class Format(StrEnum):
    """How a row is written."""

    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Report:
    """A report: the query of its rows, and the query that makes of these rows `r` the cells of a spreadsheet."""

    rows: str
    cells: str

    def query(self, organisation: int, tab: Tab | None) -> sql.Composed:
        """The rows of one organisation's tab, where the report has tabs."""
        return bound(self.rows, organisation=organisation, standing="active" if tab is Tab.ACTIVE else "inactive")


#: JSON escapes what this "CSV" would quote, so that each line is the JSON text as it is.
_JSONL = "COPY (SELECT row_to_json(r) FROM ({rows}) r) TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"

_CSV = "COPY (WITH r AS ({rows}) {cells}) TO STDOUT (FORMAT csv, HEADER)"

#: What the times of a report come behind in JSON. It is in nobody's text, in which quotation marks are escaped.
_TIME = b'_at":"'

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


def bound(query: str, **parameters: object) -> sql.Composed:
    """A query with its parameters written into it as literals: COPY takes none."""
    parts = _PARAMETER.split(query)
    return sql.Composed([sql.Literal(parameters[part]) if n % 2 else sql.SQL(part) for n, part in enumerate(parts)])


def stream(
    connection: Connection, report: Report, organisation: int, tab: Tab | None, format_: Format, *, block: int = BLOCK
) -> Iterator[bytes]:
    """A report, in blocks of at least `block` bytes, whole rows each, as the database makes them."""
    within(connection, organisation)
    return stream_rows(connection, report.query(organisation, tab), report.cells, format_, block=block)


def stream_rows(
    connection: Connection, rows: sql.Composed, cells: str, format_: Format, *, block: int = BLOCK
) -> Iterator[bytes]:
    """The rows of a query, which names its organisation; `cells` makes of them the cells of a spreadsheet. In JSON, a
    time that is none of text has a name that ends with `_at`."""
    if format_ is Format.JSONL:
        statement = sql.SQL(_JSONL).format(rows=rows)
    else:
        statement = sql.SQL(_CSV).format(rows=rows, cells=sql.SQL(cells))
    without_nested_loops(connection)
    written: Callable[[bytes], bytes] = partial(with_rfc3339, behind=_TIME) if format_ is Format.JSONL else bytes
    gathered = bytearray()
    with connection.connection.cursor().copy(statement) as copy:
        for piece in copy:
            gathered += piece
            if len(gathered) >= block:
                yield written(bytes(gathered))
                gathered.clear()
    yield written(bytes(gathered))
