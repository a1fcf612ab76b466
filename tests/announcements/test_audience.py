"""Whom an announcement is for: made at launch, frozen, each learner once. R13, R17, S9."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.settings import Settings
from tests.announcements.conftest import Admin
from tests.announcements.counting import adds_up
from tests.world import World


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """So small chunks that an audience of a few is made in pieces."""
    return settings.model_copy(update={"rollcall_chunk": 3, "rollcall_mail_batch": 2})


def test_r18_who_is_in_three_segments_gets_it_once(world: World) -> None:
    world.has_learners("A", "B", "C", "D")
    world.has_segment("one", "A", "B")
    world.has_segment("two", "B", "A")
    world.has_segment("three", "A", "C")
    world.announces(audience={"segments": ["one", "two", "three", "one"]})

    world.comes_to_rest()

    assert world.mail.recipients == ["a@acme.example", "b@acme.example", "c@acme.example"]
    assert adds_up(world).selected == 3


@pytest.mark.parametrize("audience", [{"learners": []}, {"segments": []}])
def test_r13_an_empty_list_is_nobody(audience: dict[str, object], world: World) -> None:
    world.has_learners("A")
    world.announces(audience=audience)

    world.comes_to_rest()

    assert (adds_up(world).state, adds_up(world).selected) == ("finished", 0)
    assert world.mail.named == 0


def test_s09_a_segment_is_asked_who_is_in_it_at_the_launch(world: World) -> None:
    world.has_learners("stays", "leaves", "joins", "late")
    world.has_segment("nurses", "stays", "leaves")
    at = datetime.now(UTC) + timedelta(seconds=0.5)
    world.announces(audience={"segments": ["nurses"]}, send_at=at.isoformat())
    world.say("segment.left", segment="nurses", learners=["leaves"])
    world.say("segment.joined", segment="nurses", learners=["joins"])
    while world.progress("news").state != "sending":
        world.settle()
        assert datetime.now(UTC) < at + timedelta(seconds=15)
        if world.progress("news").state == "finished":
            break
    world.say("segment.joined", segment="nurses", learners=["late"])
    world.comes_to_rest()

    assert world.mail.recipients == ["joins@acme.example", "stays@acme.example"]


def test_s02_an_announcement_to_a_segment_that_is_not_known_yet_waits_for_it(world: World) -> None:
    world.has_learners("A")
    world.announces(audience={"segments": ["nurses"]})
    assert [entry.reason for entry in world.quarantine().values()] == ["unknown segment"]

    world.say("segment.saved", segment="nurses", name="Nurses")
    world.say("segment.joined", segment="nurses", learners=["A"])
    world.comes_to_rest()

    assert adds_up(world).state == "finished"
    assert adds_up(world).selected == 0, "nobody was in it when it was launched"


def test_r17_whoever_becomes_active_or_arrives_after_the_launch_does_not_get_it(world: World, admin: Admin) -> None:
    world.has_learners("A", "B", "C", "D")
    world.becomes("inactive", "B")
    world.announces()
    admin("pause", "news")
    world.settle()  # the audience is made, though nothing is sent
    world.becomes("active", "B")
    world.becomes("inactive", "C")
    world.has_learners("E")
    admin("resume", "news")
    world.comes_to_rest()

    assert world.mail.recipients == ["a@acme.example", "d@acme.example"]
    counts = adds_up(world)
    assert (counts.selected, counts.skipped) == (4, {"inactive": 2})


def test_a_hundred_thousand_learners_are_named_in_a_file(world: World, admin: Admin, tmp_path: Path) -> None:
    world.has_learners("A", "B", "C", "D", "E")
    world.execute(
        """
        INSERT INTO learners (organisation, learner, id, standing, version)
        SELECT 1, 5 + n, 'n' || n, 'inactive', 0 FROM generate_series(1, 99997) n
        """
    )
    file = tmp_path / "ids.txt"
    file.write_text("\n".join(["B", "D", "B", *(f"n{n}" for n in range(1, 99998))]), encoding="utf-8-sig")
    admin("create", "--id", "news", "--subject", "s", "--body", "b", "--learner", "E", "--learners-file", str(file))

    seen = admin("preview", "news")

    assert (seen["selected"], seen["will_receive"], seen["left_out"]) == (100_000, 3, {"inactive": 99_997})
    assert seen["sample"]["learner"] == "B"
    more = tmp_path / "more.txt"
    more.write_text(file.read_text() + "\nA\nC")
    assert admin("edit", "news", "--learners-file", str(more)) is None, "a hundred thousand at most"
