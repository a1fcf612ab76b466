"""What an event lists, and what comes with it, costs rows, not statements: organisations are locked meanwhile (R31)."""

from collections.abc import Callable
from typing import Any

import pytest

from config.sql import query
from tests.scale.explained import counted
from tests.world import DAWN, World

#: Elements, which each are to cost as many statements.
SIZES = (1, 10, 1000)

Batch = Callable[[World, int, str], list[bytes]]


def _ids(kind: str, n: int) -> list[str]:
    return [f"{kind}-{place}" for place in range(n)]


def _one(type_: str, listed: str, **data: Any) -> Batch:
    """One event that lists so many."""
    return lambda world, n, kind: [world.event(type_, data | {listed: _ids(kind, n)})]


def _each(type_: str, named: str, **data: Any) -> Batch:
    """So many events."""
    return lambda world, n, kind: [world.event(type_, data | {named: id_}) for id_ in _ids(kind, n)]


def _announced(**listed: str) -> Batch:
    [(what, kind_of)] = listed.items()
    said = {"subject": "News", "body": "Hello."}
    return lambda world, n, kind: [
        world.event(
            "announcement.requested", said | {"announcement": kind, "audience": {what: _ids(f"{kind_of}{kind}", n)}}
        )
    ]


def _saved(world: World, n: int, kind: str) -> list[bytes]:
    return [world.event("learner.saved", world.learner(id_)) for id_ in _ids(kind, n)]


def _of_organisations(world: World, n: int, kind: str) -> list[bytes]:
    said = {"course": "c", "title": "C", "method": "manual"}
    return [world.event("course.saved", said, organisation=id_) for id_ in _ids(kind, n)]


def _malformed(_world: World, n: int, kind: str) -> list[bytes]:
    return [id_.encode() for id_ in _ids(kind, n)]


BATCHES: dict[str, Batch] = {
    "course.saved": _one("course.saved", "segments", course="linked", title="Linked", cost=1, method="segments"),
    "segment.joined, unknown learners": _one("segment.joined", "learners", segment="nurses"),
    "segment.left, unknown learners": _one("segment.left", "learners", segment="nurses"),
    "enrolment.withdrawn, unknown learners": _one("enrolment.withdrawn", "learners", course="safety"),
    "enrolment.requested, unknown learners": lambda world, n, kind: [
        world.event(
            "enrolment.requested", {"request": kind, "course": "safety", "learners": _ids(kind, n), "tab": "all"}
        )
    ],
    "announcement.requested, unknown segments": _announced(segments="s"),
    "announcement.requested, unknown learners": _announced(learners="l"),
    "learner.saved": _saved,
    "learner.status_changed, held": _each("learner.status_changed", "learner", status="inactive"),
    "learner.deleted, held": _each("learner.deleted", "learner"),
    "course.started, held": _each("course.started", "learner", course="safety", cycle=1),
    "course.completed, held": _each("course.completed", "learner", course="safety", cycle=1),
    "of organisations nobody knows": _of_organisations,
    "malformed": _malformed,
}

#: The same of learners who are known, enrolled and active: what was done to them before.
KNOWN: dict[str, Batch] = {
    "segment.joined": _one("segment.joined", "learners", segment="nurses"),
    "enrolment.withdrawn": _one("enrolment.withdrawn", "learners", course="safety"),
    "learner.saved again": _saved,
    "learner.status_changed": _each("learner.status_changed", "learner", status="inactive"),
    "learner.deleted": _each("learner.deleted", "learner"),
    "course.started": _each("course.started", "learner", course="safety", cycle=1),
    "course.completed": _each("course.completed", "learner", course="safety", cycle=1),
}


def _statements(world: World, bodies: list[bytes]) -> int:
    with counted(world.runtime.engine) as costs:
        world.send(*bodies)
    return sum(cost.runs for cost in costs.values())


@pytest.mark.parametrize("name", BATCHES)
def test_r31_what_is_new_costs_no_statement_for_each_element(world: World, name: str) -> None:
    world.has_course("safety")

    costs = {n: _statements(world, BATCHES[name](world, n, f"of{n}")) for n in SIZES}

    assert len(set(costs.values())) == 1, costs


@pytest.mark.parametrize("name", KNOWN)
def test_r31_what_is_known_costs_no_statement_for_each_element(world: World, name: str) -> None:
    world.has_organisation(pool=None)
    world.has_course("safety", "everyone", at=world.clock)
    for n in SIZES:
        world.has_learners(*_ids(f"of{n}", n))

    costs = {n: _statements(world, KNOWN[name](world, n, f"of{n}")) for n in SIZES}

    few, more, many = costs.values()
    assert few == more >= many, f"{costs}: of many, some is left to the workers"


def test_r06_a_newer_description_of_a_learner_tells_nothing_of_their_past_anew(world: World) -> None:
    world.has_course("safety", "everyone", at=DAWN)
    world.has_learners("A")
    [asked, *_] = query("enrolments.pairs_of").splitlines()

    with counted(world.runtime.engine) as newer:
        world.has_learners("A")
    with counted(world.runtime.engine) as older:
        world.has_learners("A", at=DAWN)

    assert [any(asked in statement for statement in costs) for costs in (newer, older)] == [False, True]
