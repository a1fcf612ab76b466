"""A file is imported: what the tests of imports have in common."""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.database import transaction
from tasks import imports, organisations
from tasks.imports import Imported, ImportOptions, ReadingOptions, intake
from tests.world import World

HEADER = "Id,Username,E-mail,First name,Last name,Status\n"


def imported(
    world: World,
    text: str,
    *,
    organisation: str = "acme",
    on_batch: Callable[[], None] = lambda: None,
    on_slice: Callable[[int, int], None] = lambda _done, _of: None,
    **options: Any,
) -> Imported:
    """A file is imported into the organisation; one that says no status leaves it as it is."""
    engine = world.runtime.engine
    with transaction(engine) as connection:
        org = organisations.find(connection, [organisation])[organisation]
    source = io.BytesIO(text.encode())
    layout = imports.layout_of(source, ReadingOptions(keep_status=True))
    wanted = ImportOptions(refused_file(world), **options)
    return imports.import_file(
        engine, world.runtime.settings, org, source, layout, wanted, on_batch=on_batch, on_slice=on_slice
    )


def refused_file(world: World) -> Path:
    return world.runtime.home / "refused.csv"


def refused(world: World) -> list[tuple[int, str, str, str]]:
    """Each line that was refused: its number, its learner, the reason, and what there is to say of it."""
    with refused_file(world).open(newline="") as file:
        lines = [[*row, "", ""] for row in csv.reader(file)][1:]
    return [(int(number), id_, reason, detail) for number, reason, detail, id_, *_ in lines]


def everything(world: World) -> dict[str, list[str]]:
    """All that an import may write, to see that it wrote nothing."""
    tables = ["learners", "status_changes", "enrolments", "outbox", "mailings", "deliveries", "work", "organisations"]
    return {table: sorted(map(repr, world.rows(f"SELECT * FROM {table}"))) for table in tables}


def standings(world: World) -> dict[str, str]:
    return dict(world.rows("SELECT id, standing FROM learners"))


def line(id_: str, status: str = "Active", email: str | None = "") -> str:
    """A line about a learner as `World.learner` describes them."""
    address = f"{id_.lower()}@acme.example" if email == "" else email or ""
    return f"{id_},user-{id_},{address},First{id_},Last{id_},{status}\n"


@contextmanager
def small_slices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Slices of a page, some seventy learners."""
    with monkeypatch.context() as patched:
        patched.setattr(intake, "SLICE_PAGES", 1)
        yield
