"""The failed alone are tried again, what came before is kept, and the counts add up at every step. R18, R19."""

from collections.abc import Callable

import pytest

from config.settings import Settings
from tests.announcements.conftest import Admin, Rollcall
from tests.announcements.counting import adds_up
from tests.world import World

Refusal = Callable[..., str]

LEARNERS = ("fine", "refused", "gone", "deferred", "unsure", "asleep")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Two tries."""
    return settings.model_copy(update={"rollcall_mail_attempts": 2})


@pytest.fixture
def failed(world: World, admin: Admin) -> World:
    """An announcement that is finished with failures, of each kind one."""
    answers = {"refused": "500 not now", "gone": "550 no such user", "deferred": "447 later", "asleep": "447 later"}
    world.has_learners(*LEARNERS)
    world.mail.on_recipient = lambda address, _times: answers.get(address.partition("@")[0])
    world.mail.hangs_up = lambda address: address.startswith("unsure@")
    world.announces()
    world.comes_to_rest()
    counts = adds_up(world)
    assert (counts.state, counts.accepted, counts.failed, counts.uncertain) == ("finished with failures", 1, 4, 1)
    world.becomes("inactive", "asleep")
    world.mail.reset()
    return world


def test_r18_the_failed_alone_are_tried_again(failed: World, admin: Admin) -> None:
    retried = admin("retry-failed", "news")

    assert retried == {
        "announcement": "news",
        "state": "sending",
        "pending": 2,
        "held_back": {"inactive": 1, "suppressed": 1},
    }
    counts = adds_up(failed)
    assert (counts.state, counts.accepted, counts.pending, counts.failed, counts.uncertain) == ("sending", 1, 2, 2, 1)
    failed.comes_to_rest()
    assert failed.mail.recipients == ["deferred@acme.example", "refused@acme.example"]
    counts = adds_up(failed)
    assert (counts.state, counts.accepted, counts.failed, counts.uncertain) == ("finished with failures", 3, 2, 1)


def test_r18_the_end_is_told_again_after_each_retry(failed: World, admin: Admin) -> None:
    failed.execute("DELETE FROM suppressions")
    failed.becomes("active", "asleep")
    admin("retry-failed", "news")
    failed.comes_to_rest()

    told = failed.out("announcement.finished")

    assert [(one["state"], one["accepted"], one["failed"]) for one in told] == [
        ("finished with failures", 1, 4),
        ("finished", 5, 0),
    ]


def test_r18_the_attempts_of_every_round_are_kept_and_each_round_has_as_many(failed: World, admin: Admin) -> None:
    failed.mail.on_recipient = lambda address, _times: "447 still" if address.startswith("deferred@") else None
    admin("retry-failed", "news")
    failed.comes_to_rest()

    kept = "SELECT reason, code, reply FROM attempts JOIN learners ON learner = recipient WHERE id = :id ORDER BY 1, 3"
    assert failed.rows(kept, id="refused") == [("refused", 500, "not now")]
    assert failed.rows(kept, id="deferred") == [
        ("deferred", 447, "later"),
        ("deferred", 447, "later"),
        ("deferred", 447, "still"),
    ]
    assert failed.rows(
        "SELECT CAST(state AS text), attempts, code FROM deliveries JOIN learners ON learner = recipient"
        " WHERE id = 'deferred'"
    ) == [("failed", 2, 447)]


def test_r21_a_suppressed_address_stays_failed_and_nothing_is_sent_to_it(
    failed: World, admin: Admin, refused: Refusal
) -> None:
    admin("retry-failed", "news")
    failed.comes_to_rest()

    why = refused("retry-failed", "news")

    assert why.endswith("of those who are failed, the gate holds back 1 inactive, 1 suppressed")
    assert failed.mail.to("gone@acme.example") == []
    assert failed.progress("news").state == "finished with failures"


def test_r19_the_uncertain_are_tried_again_only_when_it_is_asked_for(
    failed: World, admin: Admin, rollcall: Rollcall
) -> None:
    admin("retry-failed", "news")
    failed.comes_to_rest()
    assert failed.progress("news").uncertain == 1

    done = rollcall("retry-failed", "news", "--uncertain")
    failed.comes_to_rest()

    assert "some of them get it twice" in done.stderr
    [second] = failed.mail.to("unsure@acme.example")
    assert second["Message-ID"] is not None
    assert adds_up(failed).uncertain == 0
    assert failed.list("SELECT reason FROM attempts JOIN learners ON learner = recipient WHERE id = 'unsure'") == [
        "ambiguous"
    ]


def test_r19_where_nothing_but_the_uncertain_is_left_a_finished_one_is_retried(world: World, admin: Admin) -> None:
    world.has_learners("A", "B")
    world.mail.hangs_up = lambda address: address.startswith("b@")
    world.announces()
    world.comes_to_rest()
    assert (world.progress("news").state, admin("retry-failed", "news")) == ("finished", None)
    [first] = world.mail.to("b@acme.example")
    world.mail.reset()

    assert admin("retry-failed", "news", "--uncertain")["pending"] == 1
    assert adds_up(world).pending == 1
    world.comes_to_rest()

    [second] = world.mail.to("b@acme.example")
    assert first["Message-ID"] == second["Message-ID"]
    assert world.mail.to("a@acme.example") == []
    assert (adds_up(world).state, adds_up(world).accepted) == ("finished", 2)


def test_r20_a_retry_can_be_paused_and_cancelled(failed: World, admin: Admin) -> None:
    admin("retry-failed", "news")
    admin("pause", "news")
    failed.comes_to_rest()
    assert (adds_up(failed).pending, failed.mail.named) == (2, 0)

    admin("cancel", "news")
    failed.comes_to_rest()

    counts = adds_up(failed)
    assert (counts.state, counts.accepted, counts.failed, counts.cancelled) == ("cancelled", 1, 2, 2)
