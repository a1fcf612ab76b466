"""Nothing that names a learner who was erased is left, whichever way it came in: S15, R35."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.errors import NotFound
from config.log import configure_logging
from tasks.acts import learners
from tests.acts.doing import audited, do
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


def exported(world: World, learner: str) -> dict[str, Any]:
    """What is kept of a learner, as they are shown it."""
    blocks = do(world, learners.export, learners.LearnerToggle(learner)).blocks
    found: dict[str, Any] = msgspec.json.decode(b"".join(blocks))
    return found


def test_r35_everything_that_is_kept_of_a_person_is_in_one_document(world: World) -> None:
    plant(world)
    named = in_tables(world.runtime.endpoints.database_url)

    found = [exported(world, learner) for learner in ("A", "U")]

    assert [one["learner"] for one in found] == ["A", "U"]
    shown = {
        table: {row for one in found for row in map(msgspec.json.encode, one["kept"].get(table, []))}
        for table in named.keys() | found[0]["kept"].keys()
    }
    shown["upload_blocks"] = {  # of a block, each is shown the lines that name them
        f"{CANARY} {one['upload']} {one['part']}".encode() for kept in found for one in kept["kept"]["upload_blocks"]
    }
    with_canary = {table: [row for row in rows if CANARY in row.decode().lower()] for table, rows in shown.items()}
    assert {table: len(with_canary[table]) for table in named} == {table: len(rows) for table, rows in named.items()}
    assert shown.keys() >= {"enrolments", "status_changes", "consumptions", "starts", "memberships", "audit", "fanouts"}
    assert audited(world, "learners.export") == [("A", None, None, "done"), ("U", None, None, "done")]


def test_r35_the_document_stays_the_same_and_has_nothing_of_anybody_else(world: World) -> None:
    world.has_learners("A")
    world.has_learners("B", first_name="Neighbour", username="neighbour", email="neighbour@acme.example")
    world.has_course("safety", "everyone")
    world.announces()
    world.comes_to_rest()
    once = exported(world, "A")
    once["kept"].pop("audit")
    again = exported(world, "A")
    again["kept"].pop("audit")

    assert once == again
    assert "neighbour" not in str(once).lower()
    assert once["kept"]["learners"][0]["email"] == "a@acme.example"
    with pytest.raises(NotFound):
        exported(world, "nobody")
