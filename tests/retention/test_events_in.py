"""What events in say of a person goes in time, and their ids go in the end; no fact is lost by it (R27, R32, R35)."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from config.database import transaction
from tasks import events
from tests.world import World
from workers.relay.forgetting import ForgetEvents


def forget(world: World, **kept: int) -> float | None:
    """The relay's chore, once, with these settings; when it is due again."""
    settings = world.runtime.settings.model_copy(update=kept)
    return ForgetEvents(type(world.runtime)(settings, world.runtime.endpoints, world.runtime.engine)).do()


def ages(world: World, days: int) -> None:
    """Everything that came in came so many days earlier."""
    world.execute("UPDATE inbox SET arrived_at = arrived_at - make_interval(days => :days)", days=days)


def held(world: World) -> dict[str, bytes | None]:
    """What is held, and everything that was: ids and what is kept of what they say."""
    return dict(world.rows("SELECT id, body FROM inbox WHERE state <> 'applied'"))


def test_r35_what_nobody_decides_on_is_discarded_after_its_days_and_says_so(world: World) -> None:
    world.send(world.event("learner.saved", {"learner": "L", "email": 7}, id_="malformed"))
    world.send(world.event("learner.saved", world.learner("N"), id_="unknown", organisation="nobody"))
    world.execute("UPDATE inbox SET state = 'quarantined', until = NULL WHERE id = 'unknown'")
    ages(world, 29)
    assert forget(world) is None
    assert None not in held(world).values()

    ages(world, 2)
    with capture_logs() as logs:
        assert forget(world) is None
    assert held(world) == {"malformed": None, "unknown": None}
    assert world.quarantine() == {}
    assert [(line["event"], line["events"], line["days"]) for line in logs] == [("events.discarded", 2, 30)]
    with transaction(world.runtime.engine) as connection:
        found = events.decided(connection, None, 0, 10)
    assert {(one.state, one.by, one.why) for one in found} == {
        ("discarded", "rollcall", "nobody decided on it for 30 days (ROLLCALL_KEEP_EVENTS_DAYS)")
    }


def test_r27_s12_a_start_that_is_quarantined_outlives_the_days_and_is_charged_when_its_status_comes(
    world: World,
) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.settle()
    world.becomes("inactive", "A")
    world.starts("A", "safety")
    between = world.clock - timedelta(seconds=0.5)
    ages(world, 399)
    assert forget(world) is None
    assert len(world.quarantine()) == 1

    world.becomes("active", "A", at=between)
    assert [entry.learner for entry in world.ledger()] == ["A"]


def test_r32_an_id_of_before_there_were_periods_is_known_for_its_days_and_its_row_is_deleted_after_them(
    world: World,
) -> None:
    saved = world.event("learner.saved", world.learner("A"), id_="old")
    world.execute(
        "INSERT INTO inbox (seq, source, id, type, organisation, state)"
        " VALUES (-1, 'urn:platform', 'old', 'platform.learner.saved', 'acme', 'applied')"
    )
    world.send(world.event("course.started", {"learner": "nobody", "course": "none"}, id_="waits"))
    ages(world, 399)
    forget(world)
    assert world.send(saved).new == 0, "it is known"

    ages(world, 2)
    assert forget(world) is None
    assert world.list("SELECT id FROM inbox") == ["waits"], "what waits is decided first"
    assert world.send(saved).new == 1
    assert world.ask("SELECT count(*) FROM learners") == 1


@pytest.mark.parametrize("more", [0, 1])
def test_r35_what_is_forgotten_at_once_is_bounded_and_the_rest_follows_at_once(world: World, more: int) -> None:
    world.execute("DELETE FROM inbox")
    world.execute(
        "INSERT INTO inbox (source, id, type, organisation, state, arrived_at)"
        " SELECT 's', CAST(n AS text), 'platform.learner.saved', 'acme', 'applied', now() - interval '401 days'"
        " FROM generate_series(1, :n) n",
        n=events.MOST_FORGOTTEN + more,
    )
    assert forget(world) == 0.0
    assert world.ask("SELECT count(*) FROM inbox") == more
    assert forget(world) is None
    assert world.ask("SELECT count(*) FROM inbox") == 0
