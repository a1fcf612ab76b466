"""Searching learners: the index finds what reading all of them finds, whatever it has not reached yet."""

import time

import pytest

from tasks import learners
from tasks.accounts import Caller, Door, Role
from tasks.acts.acting import perform
from tasks.acts.learners import LearnersAsked, list_
from tests.world import World
from workers.relay import searching

CALLER = Caller("test", Door.API, Role.READER, frozenset({"acme", "borealis"}))

#: Whom a search finds.
FINDS = {
    "zoe": ["p1", "p6"],
    "ANGSTROM": ["p1"],
    "ångström zoë": ["p1"],
    "strom ngst": ["p1"],
    "lukasz": ["p2"],
    "STRASSE": ["p2"],
    "l_s%t": ["p2"],
    "_%": [],
    "伟": ["p3"],
    "王伟": ["p3"],
    "伟王": [],
    "σισυφοσ": ["p4"],
    "γδ": ["p4"],
    "back\\slash": ["p4"],
    "back\\\\slash": [],
    "xq": ["p5"],
    "x": ["p1", "p2", "p4", "p5"],
    "anna": ["p5", "p6"],
    "maria jansen anna": ["p5"],
    "jansen zoe": [],
    "p5": ["p5"],
}


def found(world: World, search: str, organisation: str = "acme", **asked: object) -> list[str]:
    """The ids on all pages."""
    ids: list[str] = []
    after: str | None = None
    while True:
        which = LearnersAsked(search=search, after=after, **asked)  # type: ignore[arg-type]
        page = perform(world.runtime, CALLER, list_, which, organisation)
        ids += [one.learner for one in page.items]
        if page.next is None:
            return ids
        after = page.next


def index(world: World) -> None:
    """Index all there is, a few at a time."""
    while learners.index_learners(world.runtime.engine, 7):
        pass


@pytest.fixture(params=["not indexed", "indexed"])
def people(world: World, request: pytest.FixtureRequest) -> World:
    """Some learners, whom the index knows or does not."""
    for id_, first, last, email in (
        ("p1", "Zoë", "Ångström", "zoe@ex.example"),
        ("p2", "Łukasz", "Straße", "l_s%t@ex.example"),
        ("p3", "王伟", "李", None),
        ("p4", "Σίσυφος", "ΑΒΓΔ", "back\\slash@ex.example"),
        ("p5", "Anna Maria", "Jansen", "xq.j@other.example"),
        ("p6", "ANNA", "Zoeller", None),
    ):
        world.has_learners(id_, first_name=first, last_name=last, email=email)
    world.has_segment("s", "p1", "p5")
    if request.param == "indexed":
        index(world)
    return world


def test_a_word_is_found_anywhere_without_accents_and_capitals(people: World) -> None:
    assert {search: found(people, search) for search in FINDS} == FINDS


def test_filters_and_pages_hold_for_a_search(people: World) -> None:
    people.becomes("inactive", "p5")

    assert found(people, "a", tab="all", segment="s") == ["p1", "p5"]
    assert found(people, "anna", segment="s") == []
    assert found(people, "anna", tab="inactive", segment="s") == ["p5"]
    assert found(people, "ex.example", limit=1) == ["p1", "p2", "p4"]


def test_whoever_is_described_anew_is_found_at_once_and_by_nothing_that_was_said_before(people: World) -> None:
    people.has_learners("p1", first_name="Bea", last_name="Novak", email="bea@new.example")
    before = found(people, "novak"), found(people, "angstrom"), found(people, "new.example")
    index(people)

    assert before == (["p1"], [], ["p1"])
    assert (found(people, "novak"), found(people, "angstrom"), found(people, "new.example")) == before
    assert people.ask("SELECT count(*) FROM unsearchable") == 0


def test_r31_a_search_shows_nobody_of_another_organisation(people: World) -> None:
    people.send(people.event("organisation.saved", {"name": "B", "licence": "seats"}, organisation="borealis"))
    anna = {"learner": "b1", "first_name": "Anna", "version": 1, "status": "active"}
    people.send(people.event("learner.saved", anna, organisation="borealis"))

    assert found(people, "anna", "borealis") == ["b1"]
    assert found(people, "anna") == ["p5", "p6"]


def test_s15_what_a_learner_was_called_leaves_the_search_when_they_are_deleted(world: World) -> None:
    world.has_learners("gone", first_name="Wilhelmina", last_name="Quux", email="w.quux@ex.example")
    index(world)
    assert world.ask("SELECT count(*) FROM searchable WHERE said LIKE '%wilhelmina%'") == 1

    world.say("learner.deleted", learner="gone")

    assert world.ask("SELECT count(*) FROM searchable WHERE said LIKE '%quux%'") == 0
    index(world)
    assert world.list("SELECT said FROM searchable") == ["gone"]
    assert found(world, "wilhelmina", tab="all") == []


def test_who_indexes_rests_for_as_long_as_it_worked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "REST_SECONDS", 0.0)
    world.has_learners("p1", "p2")
    chore = searching.IndexLearners(world.runtime)

    begun = time.monotonic()
    rests = chore.do()
    took = time.monotonic() - begun

    assert rests is not None
    assert 0 < rests <= took
    assert chore.do() is None, "there is nothing left"
