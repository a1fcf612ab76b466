"""Imports point one way, and a capability is reached through what its `__init__.py` offers alone."""

from functools import cache
from pathlib import Path

import pytest

from tests.architecture.declared import CAPABILITIES
from tests.architecture.imports import Import, imports_of, is_module, part_of, room_of
from tests.sources import ROOT

#: What each folder may import of the others.
ROOMS = {
    "config": set(),
    "migrations": {"config"},
    "tasks": {"config"},
    "workers": {"config", "tasks", "migrations"},
}

#: The parts of `tasks`, from what happens to people to what that stands on: each imports of those below it alone.
ORDER = [
    "acts",
    "system",
    "explaining",
    "verification",
    "reconcile",
    "analytics",
    "imports",
    "intake",
    "erasure",
    "announcements",
    "enrolments",
    "seats",
    "bounces",
    "mail",
    "webhooks",
    "learners",
    "audit",
    "accounts",
    "organisations",
    "uploads",
    "events",
    "cells",
    "fleet",
    "work",
    "reports",
    "retention",
    "chores",
]

#: Capabilities whose modules are what they offer.
OPEN = {"acts"}


@cache
def every() -> list[Import]:
    """Every import of ours."""
    return [*imports_of()]


def against_the_rooms(found: list[Import]) -> list[Import]:
    """Imports of a folder that the importer's may not know."""
    rooms = [(one, room_of(one.importer), room_of(one.module)) for one in found]
    return [one for one, own, other in rooms if other in ROOMS and other != own and other not in ROOMS[own]]


def rank_of(importer: str) -> float:
    """How far down a module of `tasks` stands. What a capability does with an event is called by the intake, and
    stands right above it, wherever the capability stands."""
    own = ORDER.index(part_of(importer))
    return min(own, ORDER.index("intake") - 0.5) if importer.endswith(".intake") else own


def against_the_order(found: list[Import]) -> dict[tuple[str, str], list[str]]:
    """Imports of a part of `tasks` that stands above the importer's, by the pair of them."""
    breaches: dict[tuple[str, str], list[str]] = {}
    for one in found:
        if room_of(one.importer) == room_of(one.module) == "tasks":
            for other in {part_of(one.module)} if part_of(one.module) else {*one.names}:
                pair = (part_of(one.importer), other)
                if pair[0] != other and rank_of(one.importer) >= ORDER.index(other):
                    breaches.setdefault(pair, []).append(f"{one.importer}:{one.line}")
    return breaches


def past_the_facade(found: list[Import], root: Path = ROOT) -> list[Import]:
    """Imports of what is inside of a capability by another part: of its modules, or of names from them."""
    return [
        one
        for one in found
        if room_of(one.module) == "tasks"
        and part_of(one.module) not in OPEN
        and (room_of(one.importer), part_of(one.importer)) != ("tasks", part_of(one.module))
        and (
            one.module.count(".") > 1
            or (one.module.count(".") == 1 and any(is_module(f"{one.module}.{name}", root) for name in one.names))
        )
    ]


def test_folders_import_one_way() -> None:
    assert against_the_rooms(every()) == []


def test_capabilities_import_one_way() -> None:
    found = every()

    assert {*CAPABILITIES} <= {*ORDER}
    assert against_the_order(found) == {}


def test_a_capability_is_reached_through_what_it_offers() -> None:
    assert past_the_facade(every()) == [], "export it from the façade"


@pytest.mark.parametrize(
    "code",
    [
        "from tasks.seats.store import used",
        "from tasks.seats import store",
        "import tasks.seats.store",
        "def f():\n    from tasks.seats.store import used",
        "from ..seats import store",
    ],
)
def test_an_import_past_the_facade_is_found(code: str, tmp_path: Path) -> None:
    for capability in ("seats", "reports"):
        (tmp_path / "tasks" / capability).mkdir(parents=True)
    (tmp_path / "tasks" / "seats" / "store.py").write_text("", encoding="utf-8")
    (tmp_path / "tasks" / "reports" / "store.py").write_text(code, encoding="utf-8")
    found = [*imports_of(tmp_path)]

    assert len(past_the_facade(found, tmp_path)) == 1
    assert [*against_the_order(found)] == [("reports", "seats")]


@pytest.mark.parametrize("code", ["import workers", "from workers import pool", "from workers.pool import work_on"])
def test_an_import_upwards_is_found(code: str, tmp_path: Path) -> None:
    (tmp_path / "tasks" / "seats").mkdir(parents=True)
    (tmp_path / "tasks" / "seats" / "store.py").write_text(code, encoding="utf-8")

    assert len(against_the_rooms([*imports_of(tmp_path)])) == 1
