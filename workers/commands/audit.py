"""`rollcall audit`: what was done, by whom, through which door, and with which outcome."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, fields
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

import typer

from config.words import as_json, rfc3339
from tasks.acts import auditing as acts
from tasks.audit import AuditRecord
from tasks.reports import Format
from workers.commands.common import Lines, past, walked, write_blocks

#: Entries written at once.
BLOCK = 500

#: What a spreadsheet takes for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def audit(
    organisation: Annotated[
        str | None,
        typer.Option("--organisation", "-o", metavar="ORG", help="What is about this one; unset: all, as an operator."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Since a time, or as long ago as 2h or 3d.")
    ] = None,
    who: Annotated[str | None, typer.Option("--who", help="An account's address, a token's name, or a user.")] = None,
    act: Annotated[
        str | None, typer.Option("--act", help="An act, as learners.activate; or all of a kind, as learners.")
    ] = None,
    format_: Annotated[
        Format,
        typer.Option("--format", help="csv is safe in a spreadsheet; jsonl is one JSON document a line."),
    ] = Format.JSONL,
    json_: Lines = False,
) -> None:
    """Write what was done, the oldest first: when, who, by which door, from where, what, before, after, outcome."""
    asked = acts.AuditAsked(None if since is None else past(since, "--since"), who, act)
    found = walked(acts.all_ if organisation is None else acts.list_, asked, organisation)
    write_blocks(_blocks(found, _lines if json_ or format_ is Format.JSONL else _rows))


def _blocks(found: Iterator[AuditRecord], written: Callable[[Iterable[AuditRecord]], bytes]) -> Iterator[bytes]:
    if written is _rows:
        yield _csv([[field.name for field in fields(AuditRecord)]])
    while block := list(islice(found, BLOCK)):
        yield written(block)


def _lines(found: Iterable[AuditRecord]) -> bytes:
    return b"".join(as_json(one) + b"\n" for one in found)


def _rows(found: Iterable[AuditRecord]) -> bytes:
    return _csv([_cell(value) for value in astuple(one)] for one in found)


def _csv(lines: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return rfc3339(value)
        case dict():
            return as_json(value).decode()
        case str() if value.startswith(FORMULA):
            return f"'{value}"
        case _:
            return str(value)
