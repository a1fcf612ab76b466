"""What goes the way of events takes several transactions: it is written down as done only once it is (R34)."""

from typing import Any

import pytest

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
