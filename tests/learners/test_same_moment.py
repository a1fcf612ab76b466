"""Two changes of status that claim the same version and moment: what the one gave is taken back by the other (R6)."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.world import World

MOMENT = datetime.now(UTC) - timedelta(hours=1)


@pytest.mark.parametrize("order", [("active", "inactive"), ("inactive", "active")])
def test_r06_what_became_active_at_a_moment_did_not_if_the_learner_was_inactive_then(
    world: World, order: tuple[str, str]
) -> None:
    early = MOMENT - timedelta(hours=1)
    world.has_learners("A", at=early - timedelta(hours=1))
    world.becomes("inactive", "A", at=early)
    world.has_course("safety", "everyone", at=early + timedelta(minutes=1))

    for status in order:
        world.becomes(status, "A", at=MOMENT, version=5)

    assert world.rows("SELECT silent, activated_at FROM enrolments") == [(True, None)]


def test_r04_what_became_active_by_a_change_is_not_told_anew(world: World) -> None:
    early = MOMENT - timedelta(hours=1)
    world.has_learners("A", at=early - timedelta(hours=1))
    world.becomes("inactive", "A", at=early)
    world.has_course("safety", "everyone", at=early + timedelta(minutes=1))

    world.becomes("active", "A", at=MOMENT)

    assert world.rows("SELECT silent, activated_at FROM enrolments") == [(True, MOMENT)]
