"""The lists of acts: whole in every order, and with nobody else's."""

from dataclasses import replace
from typing import Any

import pytest

from config.errors import Invalid
from tasks.acts import courses, enrolments, learners, segments
from tasks.acts.acting import Act, Nothing
from tasks.acts.courses import CoursesAsked
from tasks.acts.enrolments import RosterAsked
from tasks.acts.learners import LearnersAsked
from tasks.acts.segments import OneSegment
from tests.acts.doing import do
from tests.world import World


def whole(world: World, act: Act[Any, Any], asked: Any) -> list[Any]:
    """All pages of a list."""
    found, after = [], None
    while True:
        page = do(world, act, replace(asked, after=after))
        found += page.items
        after = page.next
        if after is None:
            return found


@pytest.mark.parametrize("scanned", [2, 100])
def test_the_newest_first_is_the_list_from_behind(world: World, monkeypatch: pytest.MonkeyPatch, scanned: int) -> None:
    monkeypatch.setattr(learners, "SCANNED", scanned)
    world.has_organisation()
    world.has_learners(*(f"l{n}" for n in range(9)))
    world.becomes("inactive", "l0", "l3", "l4", "l8")
    for tab in ("active", "all", "inactive"):
        asked = LearnersAsked(tab=tab, limit=2)
        upwards = whole(world, learners.list_, asked)
        assert whole(world, learners.list_, replace(asked, order="-added")) == upwards[::-1], tab
    for more in ({"search": "l0"}, {"segment": "s1"}):
        with pytest.raises(Invalid, match="in the order in which they were added"):
            do(world, learners.list_, LearnersAsked(order="-added", **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("scanned", [2, 100])
def test_r10_the_list_of_a_course_is_whole_whatever_a_page_looks_at(
    world: World, monkeypatch: pytest.MonkeyPatch, scanned: int
) -> None:
    monkeypatch.setattr(enrolments, "SCANNED", scanned)
    world.has_organisation()
    world.has_course("c1")
    world.has_learners(*(f"l{n}" for n in range(5)))
    world.asks_to_enrol("c1", *(f"l{n}" for n in range(5)))
    world.asks_to_enrol("c1", "l0", "l4", cycle=2)
    world.becomes("inactive", "l1")
    world.settle()
    world.withdraws("c1", "l0", "l3")

    def listed(state: str) -> list[tuple[str, int]]:
        asked = RosterAsked("c1", state=state, limit=1)  # type: ignore[arg-type]
        return [(one.learner, one.cycle) for one in whole(world, enrolments.roster, asked)]

    assert listed("enrolled") == [("l1", 1), ("l2", 1), ("l4", 1), ("l4", 2)]
    assert listed("withdrawn") == [("l0", 1), ("l3", 1), ("l0", 2)]
    assert listed("all") == [("l0", 1), ("l1", 1), ("l2", 1), ("l3", 1), ("l4", 1), ("l0", 2), ("l4", 2)]


def test_r09_members_are_counted_and_the_courses_of_a_segment_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_organisation()
    world.has_learners("a", "b", "c")
    world.has_segment("s1", "a", "b", "c")
    world.has_segment("s2")
    world.say("segment.left", segment="s1", learners=["c"])
    world.becomes("inactive", "b")
    world.has_course("c1", "segments", segments=["s1", "s2"])
    world.has_course("c2")

    counts = do(world, segments.counts, OneSegment("s1"))
    assert (counts.active, counts.inactive, counts.more) == (1, 1, False)
    monkeypatch.setattr(segments, "COUNTED", 2)
    assert do(world, segments.counts, OneSegment("s1")).more
    for segment in ("s1", "s2"):
        assert [one.course for one in whole(world, courses.list_, CoursesAsked(segment=segment, limit=1))] == ["c1"]
    assert len(whole(world, courses.list_, CoursesAsked(limit=1))) == 2


def test_r14_what_enrols_many_is_listed_until_it_is_done(world: World) -> None:
    world.has_organisation()
    world.has_course("c1")
    world.has_learners("a", "b")
    world.settle()
    assert do(world, enrolments.running, Nothing()) == []
    settings = world.runtime.settings.model_copy(update={"rollcall_chunk": 1})
    world.runtime = replace(world.runtime, settings=settings)
    world.asks_to_enrol("c1", "a", "b")
    (one,) = do(world, enrolments.running, Nothing())
    assert (one.cause, one.course, one.title) == ("request", "c1", "Course c1")
    world.settle()
    assert do(world, enrolments.running, Nothing()) == []
