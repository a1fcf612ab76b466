"""What goes the way of events takes several transactions: it is written down as done only once it is (R34)."""

from typing import Any

import pytest

from config.errors import Conflict
from tasks import intake
from tasks.acts import courses, enrolments, learners, segments
from tests.acts.doing import audited, do
from tests.world import World

ACTS: list[tuple[Any, Any]] = [
    (learners.activate, learners.LearnerToggle("B")),
    (learners.deactivate, learners.LearnerToggle("A")),
    (learners.set_status, learners.LearnersStatus(["A", "B"], "inactive")),
    (courses.set_method, courses.CourseMethod("safety", "everyone", [])),
    (segments.save, segments.NamedSegment("s", "Nurses")),
    (segments.join, segments.MembersNamed("s", ["A"])),
    (segments.leave, segments.MembersNamed("s", ["A"])),
    (enrolments.request, enrolments.EnrolmentsAsked("safety", ["A"], "all")),
    (enrolments.withdraw, enrolments.WithdrawalAsked("safety", ["A"])),
]


class Killed(BaseException):
    """Ends whoever does it."""


@pytest.mark.parametrize(("act", "asked"), ACTS, ids=[act.name for act, _ in ACTS])
def test_r34_nothing_is_written_down_as_done_before_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch, act: Any, asked: Any
) -> None:
    world.has_learners("A", "B")
    world.becomes("inactive", "B")
    world.has_course("safety")
    world.has_segment("s")

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as away:
        away.setattr(intake, "process_batch", killed)
        with pytest.raises(Killed):
            do(world, act, asked)
    begun = [row[-1] for row in audited(world, act.name)]
    do(world, act, asked)
    both = [row[-1] for row in audited(world, act.name)]

    assert set(begun) == {"begun"}
    assert both == begun * 2 + ["done"] * len(begun)


_FAILING = """
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
    CREATE TRIGGER fails BEFORE UPDATE OF standing ON learners FOR EACH ROW EXECUTE FUNCTION fail();
"""


@pytest.mark.parametrize("few", [learners.FEW, 0], ids=["together", "apart"])
def test_r34_what_could_not_be_applied_is_not_written_down_as_done(
    world: World, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("tasks.acts.learners.FEW", few)
    world.has_learners("A")
    world.execute(_FAILING)

    with pytest.raises(Conflict):
        do(world, learners.deactivate, learners.LearnerToggle("A"))
    world.execute("DROP TRIGGER fails ON learners")
    do(world, learners.deactivate, learners.LearnerToggle("A"))

    outcomes = [row[-1] for row in audited(world, "learners.deactivate")]
    assert outcomes == ["begun", "refused: Conflict", "begun", "done"]


@pytest.mark.parametrize("few", [learners.FEW, 0], ids=["together", "apart"])
def test_r34_what_is_done_is_written_down_once_for_each(
    world: World, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("tasks.acts.learners.FEW", few)
    world.has_learners("A", "B")
    world.becomes("inactive", "B")

    do(world, learners.set_status, learners.LearnersStatus(["A", "B"], "inactive"))

    before = {"A": {"status": "active"}, "B": {"status": "inactive"}}
    after = {"status": "inactive"}
    said = [(who, before[who], after, outcome) for outcome in ("begun", "done") for who in ("A", "B")]
    assert audited(world, "learners.status") == said
