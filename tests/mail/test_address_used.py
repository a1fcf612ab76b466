"""Whose address it was: what is said of an attempt is said of the address that was tried. R18, R21, S15."""

import json

import pytest

from tasks import announcements
from tasks.announcements.export import recipients
from tasks.reports import Format
from tests.world import World

OLD, NEW = "old@acme.example", "new@acme.example"


def ledger(world: World, announcement: str = "news") -> dict[str, dict[str, object]]:
    """What `announcements recipients` says, by learner."""
    with world.about() as (connection, org):
        mailing = world.ask("SELECT mailing FROM mailings WHERE id = :id", id=announcement)
        lines = b"".join(recipients(connection, org.organisation, mailing, Format.JSONL)).splitlines()
    return {row["learner"]: row for row in map(json.loads, lines)}


def test_r21_a_refusal_while_the_address_changes_suppresses_the_one_that_was_tried(world: World) -> None:
    world.has_learners("A", email=OLD, at=world.clock)
    world.has_learners("B")

    def refuse(address: str, _times: int) -> str | None:
        if address != OLD:
            return None
        world.has_learners("A", email=NEW)  # while the server has not answered yet
        return "550 5.1.1 no such user"

    world.mail.on_recipient = refuse
    world.announces()
    world.settle()

    assert world.list("SELECT address FROM suppressions") == [OLD]
    assert (ledger(world)["A"]["state"], ledger(world)["A"]["address"]) == ("failed", OLD)
    world.announces("more")
    world.settle()
    assert len(world.mail.to(NEW)) == 1


@pytest.mark.parametrize("email", [NEW, None])
def test_r18_the_ledger_shows_the_address_that_the_server_took(world: World, email: str | None) -> None:
    world.has_learners("A", email=OLD)
    world.announces()
    world.settle()
    world.has_learners("A", email=email)

    row = ledger(world)["A"]

    assert (row["state"], row["address"]) == ("accepted", OLD)
    assert [attempt["address"] for attempt in row["attempts"]] == [OLD]  # type: ignore[attr-defined]


def test_r18_each_attempt_shows_its_address_and_what_is_pending_goes_to_todays(world: World) -> None:
    world.has_learners("A", email=OLD)
    world.mail.on_recipient = lambda address, _times: "451 later" if address == OLD else None
    world.announces()
    world.settle()
    world.has_learners("A", email=NEW)
    assert ledger(world)["A"]["address"] == NEW

    world.comes_to_rest()

    row = ledger(world)["A"]
    assert (row["state"], row["address"]) == ("accepted", NEW)
    addresses = [attempt["address"] for attempt in row["attempts"]]  # type: ignore[attr-defined]
    assert (addresses[0], addresses[-1], set(addresses)) == (OLD, NEW, {OLD, NEW})


def test_r18_who_is_retried_gets_it_at_todays_address(world: World) -> None:
    world.has_learners("A", email=OLD)
    world.mail.on_recipient = lambda address, _times: "550 no" if address == OLD else None
    world.announces()
    world.settle()
    world.has_learners("A", email=NEW)

    with world.about() as (connection, org):
        found = announcements.find(connection, org.organisation, "news")
        assert found is not None
        announcements.retry(connection, world.runtime.settings, org, found, uncertain=False, by="Ada")
    world.settle()

    row = ledger(world)["A"]
    assert [attempt["address"] for attempt in row["attempts"]] == [OLD, NEW]  # type: ignore[attr-defined]
    assert world.mail.recipients == [NEW]


def test_r35_s15_every_address_goes_with_the_learner(world: World) -> None:
    world.has_learners("A", email=OLD)
    world.mail.on_recipient = lambda address, _times: f"550 5.1.1 <{address}> no such user" if address == OLD else None
    world.announces()
    world.settle()
    world.has_learners("A", email=NEW)
    world.announces("more")
    world.settle()
    assert world.list("SELECT address FROM suppressions") == [OLD]

    world.say("learner.deleted", learner="A")
    world.settle()

    for table in ("deliveries", "attempts"):
        found = world.list(f"SELECT concat_ws(' ', address, reply) FROM {table}")
        assert [text for text in found if "acme.example" in text] == []
    assert world.list("SELECT address FROM suppressions") == []


def test_r35_s15_an_answer_that_comes_after_the_deletion_leaves_no_address(world: World) -> None:
    world.has_learners("A", email=OLD)

    def refuse(address: str, _times: int) -> str | None:
        world.say("learner.deleted", learner="A")
        return f"550 5.1.1 <{address}> no such user"

    world.mail.on_recipient = refuse
    world.announces()
    world.settle()

    assert world.rows("SELECT CAST(state AS text), reply, address FROM deliveries") == [("failed", None, None)]
    assert world.list("SELECT address FROM suppressions") == []
