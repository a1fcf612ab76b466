"""Whoever asks how publishing stands does not read what is published: by rows, however many events there were."""

from datetime import timedelta

from config import clock
from config.database import transaction
from tasks import events
from tests.scale.explained import explained
from tests.world import World


def test_whether_publishing_stands_still_is_seen_without_reading_what_is_published(world: World) -> None:
    world.execute(
        "INSERT INTO outbox (organisation, type, time, data, position)"
        " SELECT 1, 'rollcall.access.suspended', now() - interval '1 hour', '{}', n FROM generate_series(1, 20000) n"
    )
    world.execute("UPDATE publication SET ordered = 20000, published = 20000")
    world.execute("ANALYZE")

    with explained(world.runtime.engine) as costs, transaction(world.runtime.engine) as connection:
        assert not events.is_stalled(connection, timedelta(seconds=10))
        assert events.is_done_with(connection, clock.now())
    assert sum(cost.rows for cost in costs.values()) < 50

    world.execute("UPDATE publication SET published = 19999, published_at = now() - interval '1 minute'")
    with transaction(world.runtime.engine) as connection:
        assert events.is_stalled(connection, timedelta(seconds=10))
        assert not events.is_done_with(connection, clock.now())
