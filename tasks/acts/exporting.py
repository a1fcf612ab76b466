"""Exports: what leaves as a file, streamed by PostgreSQL itself in a transaction of its own."""

from collections.abc import Callable, Iterator

from sqlalchemy import Connection

from tasks.acts.acting import Doing
from tasks.acts.paging import Stream
from tasks.reports import Format

#: RFC 4180 and 7111, and what JSON Lines asks to be registered.
MEDIA_TYPES = {Format.CSV: "text/csv; charset=utf-8; header=present", Format.JSONL: "application/jsonl"}


def exported(doing: Doing, name: str, written: Format, make: Callable[[Connection], Iterator[bytes]]) -> Stream:
    """A file called `name` of whatever `make` reads, which begins to be read when the first block is taken."""

    def blocks() -> Iterator[bytes]:
        with doing.transaction() as connection:
            yield from make(connection)

    return Stream(MEDIA_TYPES[written], blocks(), f"{name}.{written}")
