"""`rollcall cells`: several pairs of a PostgreSQL and a Redis, and which organisation lives in which."""

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated

import typer
from sqlalchemy.exc import OperationalError

from config import services
from config.cells import HOME
from config.database import transaction
from config.runtime import Runtime
from config.words import counted
from tasks import cells, organisations
from workers import moving
from workers.commands.common import Json, Refused, document, opened, out, say, table

app = typer.Typer(
    help="Cells: each is a Rollcall with a PostgreSQL and a Redis of its own, and organisations live in one of them.",
    no_args_is_help=True,
)

Organisation = Annotated[str, typer.Argument(metavar="ORG", help="The organisation's id.")]
Name = Annotated[str, typer.Argument(metavar="CELL", help="A name in ROLLCALL_CELLS, or home.")]


@dataclass(frozen=True, slots=True)
class CellDetails:
    """A cell. `is_known`: ROLLCALL_CELLS names it here; `organisations`: how many live there; null: it is away, or not
    known here."""

    name: str
    is_known: bool
    organisations: int | None


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """An organisation that has begun to move and has not arrived."""

    organisation: str
    cell: str
    moves_to: str


@dataclass(frozen=True, slots=True)
class CellList:
    """The cells, and who is on the way from one to another."""

    cells: list[CellDetails]
    on_their_way: list[OnItsWay]


@dataclass(frozen=True, slots=True)
class AddedCell:
    """A cell that organisations can move to now."""

    name: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows an organisation had left elsewhere, that are deleted now."""

    organisation: str
    rows: int


@app.command()
def add(name: Name, json_: Json = False) -> None:
    """Make a cell known that ROLLCALL_CELLS names, and whose empty database rollcall migrate has prepared."""
    with opened("cells") as runtime:
        added = AddedCell(moving.add(runtime, name).name)
    say(added, f"Organisations can move to {added.name}: rollcall cells move ORG {added.name}.", json_=json_)


@app.command("list")
def list_(json_: Json = False) -> None:
    """List the cells with how many organisations live in each, and which are on their way."""
    with opened("cells") as runtime:
        with transaction(runtime.engine) as connection:
            known, places = cells.cells(connection), cells.every_place(connection)
        found = CellList(
            [_details(runtime, cell.name) for cell in known],
            [OnItsWay(one.id, one.cell, one.moves_to) for one in places if one.moves_to is not None],
        )
    if json_:
        document(found)
        return
    table(
        ["cell", "known here", "organisations"],
        [[cell.name, cell.is_known, cell.organisations] for cell in found.cells],
        "There is one cell, and no other: docs/guides/cells.md says how to add one.",
    )
    for one in found.on_their_way:
        out.print(f"{one.organisation} is on its way from {one.cell} to {one.moves_to}.", markup=False)


@app.command()
def move(org: Organisation, cell: Name, json_: Json = False) -> None:
    """Move an organisation to another cell, or finish a move that was broken off.

    Nothing can be done with it meanwhile: requests are answered 503, and events wait. If it has not arrived yet, moving
    it to the cell where it was takes it back. One that is not known yet is to live there when it comes.
    """
    with opened("cells", services.DATABASE | services.REDIS) as runtime:
        moved = moving.move(runtime, org, cell)
    rows = f"{counted(moved.rows, 'row')} of {counted(moved.tables, 'table')}"
    say(moved, f"{org} lives in {moved.to_cell}: {rows}, in {moved.frozen_seconds:g} s.", json_=json_)


@app.command()
def forget(org: Organisation, json_: Json = False) -> None:
    """Delete what an organisation left in cells where it does not live any more."""
    with opened("cells") as runtime:
        forgotten = Forgotten(org, moving.forget(runtime, org))
    say(forgotten, f"{counted(forgotten.rows, 'row')} deleted.", json_=json_)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND…", help="A command with its options: status --json.")
    ],
    cell: Annotated[
        list[str] | None, typer.Option("--cell", metavar="CELL", help="Only in this one; repeat it.")
    ] = None,
) -> None:
    """Run a command of rollcall in each cell, one after the other: migrate, status, verify, wait.

    Exit code 1 if it failed in any.
    """
    with opened("cells", frozenset()) as runtime:
        others = {} if runtime.cells is None else runtime.cells.servers
        names = cell or [HOME, *others]
        if unknown := {*names} - {HOME, *others}:
            raise Refused(f"ROLLCALL_CELLS names no cell {sorted(unknown)[0]!r}.")
    failed = []
    for name in names:
        out.print(f"{name}:", markup=False)
        own = {}
        if name in others:
            own = {"DATABASE_URL": others[name].database_url, "REDIS_URL": others[name].redis_url}
            own |= {"DATABASE_POOLER_URL": "", "DATABASE_REPLICA_URL": "", "ROLLCALL_CELLS": ""}
        sys.stdout.flush()
        ended = subprocess.run(
            [sys.executable, "-c", "from workers.cli import main; main()", *command], env=os.environ | own, check=False
        )
        failed += [name] * bool(ended.returncode)
    if failed:
        raise Refused(f"It failed in {', '.join(failed)}.")


def _details(runtime: Runtime, name: str) -> CellDetails:
    if name != HOME and (runtime.cells is None or name not in runtime.cells.servers):
        return CellDetails(name, False, None)
    there = runtime if runtime.cells is None else runtime.cells.at(runtime, name)
    try:
        with transaction(there.engine) as connection:
            return CellDetails(name, True, len(organisations.every(connection)))
    except OperationalError:
        return CellDetails(name, True, None)
