"""Nothing that names a learner who was erased is left, whichever way it came in: S15, R35."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.log import configure_logging
from tests.conftest import home_of_servers
from tests.erasure.canaries import CALLED, CANARY, NEW, bounce, in_files, in_redis, in_tables, of_every_type, plant
from tests.world import World

#: Where a canary is before the learner is erased: else nothing is proved of these.
PLACES = {
    "attempts", "bounces", "deliveries", "descriptions", "enrolments", "inbox", "learners", "lifted_suppressions",
    "mailings", "outbox", "searchable", "suppressions", "upload_blocks", "uploads", "webhook_attempts",
}  # fmt: skip


def look_again(world: World) -> None:
    """Have it looked for once more, as is done a while later."""
    world.execute("UPDATE erasures SET looked_at = looked_at - interval '1 hour'")
    world.execute("UPDATE work SET due_at = now() WHERE actor = 'learners.erase'")
    world.comes_to_rest()


def test_s15_a_canary_in_every_way_in_is_gone_from_tables_streams_files_and_logs(
    world: World,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    configure_logging("json", "debug")
    plant(world)
    url = world.runtime.endpoints.database_url
    assert in_tables(url).keys() >= PLACES
    assert in_redis(world)

    for learner in ("A", "U"):
        world.say("learner.deleted", at=datetime.now(UTC), learner=learner, why=CALLED)
    world.comes_to_rest()
    look_again(world)
    assert [*in_tables(url)] == []
    assert in_redis(world) == {}

    bounce(world)
    world.send(*of_every_type(world, at=world.clock.replace(year=2025)))
    world.comes_to_rest()
    look_again(world)
    assert [*in_tables(url)] == []
    assert in_redis(world) == {}
    said = capfd.readouterr()
    assert '"event"' in said.err, "something is logged"
    assert CANARY not in (said.out + said.err).lower()
    assert world.runtime.endpoints.secret_key not in said.out + said.err
    servers = home_of_servers(tmp_path_factory.getbasetemp())
    assert in_files([tmp_path, servers / "postgresql" / "log", *servers.glob("*.log")]) == []
    assert NEW in world.mail.senders, "what left is not ours any more"
