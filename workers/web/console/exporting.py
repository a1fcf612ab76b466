"""A file of what a list shows: all of it, page by page, so that no transaction is as long as the file."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar, get_args

from tasks import imports
from tasks.acts import Act
from tasks.acts.exporting import MEDIA_TYPES
from tasks.acts.paging import Page, Stream
from tasks.reports import Format
from workers.web.console.choosing import each
from workers.web.console.visits import Visit

Asked = TypeVar("Asked")

#: Octets of a block at least.
BLOCK = 65_536


def exported(visit: Visit, name: str, what: Act[Asked, Page[Any]], **more: object) -> Stream:
    """A CSV of all that the list of this visit finds; its columns are the fields of an item."""
    (item,) = get_args(what.gives)
    columns = [field.name for field in fields(item)]
    return Stream(MEDIA_TYPES[Format.CSV], _blocks(visit, what, columns, more), f"{name}.csv")


def _blocks(
    visit: Visit, what: Act[Asked, Page[Any]], columns: Sequence[str], more: dict[str, object]
) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for item in each(visit, what, **more):
        writer.writerow([_cell(getattr(item, column)) for column in columns])
        if text.tell() >= BLOCK:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _cell(value: object) -> str:
    """A value as the other exports write it, and as no spreadsheet takes it for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, (list, tuple)):
        return imports.safe(", ".join(str(one) for one in value))
    return str(value) if isinstance(value, (int, float)) else imports.safe(str(value))
