"""R29, R30, R25: numbers by day, course and segment, as pages show them: counted at once, or kept."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.errors import NotFound
from tasks.acts import analytics as acts
from tasks.acts import reports, seats
from tasks.acts.acting import Nothing
from tasks.acts.paging import PageAsked
from tasks.acts.reports import SummaryOf
from tasks.analytics import store
from tests.acts.doing import do
from tests.databases import Databases
from tests.world import World

TODAY = datetime.now(UTC).replace(hour=9)


def ago(days: int) -> datetime:
    return TODAY - timedelta(days=days)


def half_a_year(world: World) -> None:
    """What happened at an organisation, which is described as all are at first."""
    world.has_organisation()
    year = {"licence_starts": ago(100).isoformat(), "licence_ends": ago(-200).isoformat()}
    world.has_organisation(pool=10, **year)
    world.has_learners("ann", "bob", "cas", "dan", at=ago(90))
    world.has_segment("red", "ann", "bob", at=ago(90))
    world.has_segment("none", at=ago(90))
    for course, cost in (("c1", 2), ("c2", 0), ("c3", 1)):
        world.has_course(course, cost=cost, at=ago(90))
    world.asks_to_enrol("c1", "ann", "bob", "cas", at=ago(80))
    world.asks_to_enrol("c2", "ann", "dan", at=ago(80))
    world.settle()
    world.starts("ann", "c1", at=ago(40))
    world.starts("bob", "c1", at=ago(40))
    world.starts("ann", "c2", at=ago(3))
    world.say("course.completed", at=ago(2), learner="ann", course="c1", result="passed")
    world.withdraws("c2", "dan", at=ago(1))
    world.becomes("inactive", "cas", at=ago(1))
    world.settle()


@pytest.fixture(scope="module")
def _acme(copies_of: Callable[..., Databases]) -> Databases:
    return copies_of(half_a_year)


@pytest.fixture
def copies(_acme: Databases) -> Databases:
    """Of one in which that has happened."""
    return _acme


@pytest.fixture(autouse=True)
def _later(world: World) -> None:
    world.clock += timedelta(minutes=1)


@pytest.fixture(params=["live", "kept"])
def counted(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Both ways to know: few enough to be counted by whoever looks, or kept by a worker."""
    if request.param == "kept":
        monkeypatch.setattr(store, "FEW", 1)
        first = do(world, acts.of_days, acts.AnalyticsOf())
        assert (first.counted_at, first.counting, sum(one.started for one in first.days)) == (None, True, 0)
        world.settle()
    return world


def shown(world: World, **asked: Any) -> list[tuple[int, int, int]]:
    """Days ago, started and completed: of days on which anything was."""
    found = do(world, acts.of_days, acts.AnalyticsOf(**asked))
    assert len(found.days) == asked.get("days", 90)
    assert (found.counting, found.counted_at is None) == (False, False)
    days = [((TODAY.date() - one.day).days, one.started, one.completed) for one in found.days]
    return [one for one in days if any(one[1:])]


def test_r29_what_the_active_started_and_completed_by_day(counted: World) -> None:
    assert shown(counted) == [(40, 2, 0), (3, 1, 0), (2, 0, 1)]
    assert shown(counted, course="c2") == [(3, 1, 0)]
    assert shown(counted, days=7) == [(3, 1, 0), (2, 0, 1)]


def test_r29_who_becomes_inactive_is_in_no_number(world: World) -> None:
    world.becomes("inactive", "ann")

    assert shown(world) == [(40, 1, 0)]
    assert [one.enrolled for one in do(world, acts.by_course, PageAsked()).items] == [1, 0, 0]
    assert [(one.members, one.enrolled) for one in do(world, acts.by_segment, PageAsked()).items] == [
        (1, 1),
        (0, 0),
    ]


def test_r29_by_course_is_what_the_summary_says_and_by_segment_adds_up(counted: World) -> None:
    courses = do(counted, acts.by_course, PageAsked()).items
    segments = do(counted, acts.by_segment, PageAsked()).items

    assert [one.course for one in courses] == ["c1", "c2", "c3"]
    assert sorted(courses, key=lambda one: one.course) == do(counted, reports.summary, SummaryOf())
    assert segments == [
        store.SegmentSummary("red", "Segment red", 2, 3, 3, 1),
        store.SegmentSummary("none", "Segment none", 0, 0, 0, 0),
    ]


def test_pages_of_one_have_each_once(counted: World) -> None:
    for act, key in ((acts.by_course, "course"), (acts.by_segment, "segment")):
        found: list[str] = []
        after = None
        while not found or after:
            part = do(counted, act, PageAsked(limit=1, after=after))
            found += [getattr(one, key) for one in part.items]
            after = part.next
        assert found in (["c1", "c2", "c3"], ["red", "none"])


def test_r25_what_is_used_by_day_is_what_the_balance_says(counted: World) -> None:
    found = do(counted, acts.use, Nothing())
    balance = do(counted, seats.show, seats.BalanceOf())

    assert (
        (found.used, found.entries, found.overdrawn) == (balance.used, balance.entries, balance.overdrawn) == (4, 3, 0)
    )
    assert [((TODAY.date() - one.day).days, one.used) for one in found.days] == [(40, 4), (3, 0)]
    assert (found.pool, found.unit, found.pace_days, found.per_day, found.runs_out) == (10, "credit", 28, 0, None)


def test_r25_entries_of_another_period_are_in_no_number_of_this_one(counted: World) -> None:
    counted.has_organisation(pool=10, licence_starts=ago(5).isoformat(), licence_ends=None)

    assert do(counted, acts.use, Nothing()).used == 0


def test_what_was_kept_long_is_counted_anew_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "FEW", 1)
    for _ in range(2):
        assert do(world, acts.of_days, acts.AnalyticsOf()).counting
    assert world.ask("SELECT count(*) FROM work WHERE actor = 'analytics.count'") == 1
    world.settle()
    world.starts("cas", "c1", at=ago(2))
    assert not do(world, acts.of_days, acts.AnalyticsOf()).counting
    world.execute("UPDATE counts SET asked_at = now() - interval '1 hour', counted_at = now() - interval '59 minutes'")

    stale = do(world, acts.of_days, acts.AnalyticsOf())
    world.settle()

    assert world.list("SELECT actor FROM work") == []
    assert (stale.counting, stale.counted_at is None) == (True, False)
    assert not do(world, acts.of_days, acts.AnalyticsOf()).counting
    assert world.ask("SELECT count(*) FROM training_days WHERE id = ''") == 3


def test_r30_the_archived_are_the_inactive_with_all_they_did(world: World) -> None:
    world.has_learners("una", email=None)
    world.becomes("inactive", "ann", "una")
    first = do(world, acts.archived, PageAsked(limit=2))
    then = do(world, acts.archived, PageAsked(limit=2, after=first.next))

    assert [one.learner for one in first.items + then.items] == ["ann", "cas", "una"]
    assert then.next is None
    assert [(one.course, one.result) for one in first.items[0].enrolments] == [("c1", "passed"), ("c2", None)]
    assert then.items[0].enrolments == []


def test_r31_nothing_of_another_organisation_is_counted(world: World) -> None:
    world.send(
        world.event("organisation.saved", {"name": "B", "licence": "credits", "pool": 1}, organisation="borealis")
    )

    for act in (acts.by_course, acts.by_segment, acts.archived):
        assert do(world, act, PageAsked(), "borealis").items == []
    assert do(world, acts.use, Nothing(), "borealis").used == 0
    with pytest.raises(NotFound):
        do(world, acts.of_days, acts.AnalyticsOf(course="c1"), "borealis")
