"""Who is mailed, and who is held back with which reason: R15, R17, R18, R21, R22, S9."""

import pytest

from config.settings import Settings
from tests.world import World


def held_back(world: World, announcement: str = "news") -> dict[str, int]:
    """How many were skipped, by reason."""
    return world.progress(announcement).skipped


def test_r15_r17_who_is_inactive_at_launch_never_gets_it(world: World) -> None:
    world.has_learners("A")
    world.has_learners("B", status="inactive")
    world.announces()
    world.becomes("active", "B")

    world.settle()

    assert world.mail.recipients == ["a@acme.example"]
    assert held_back(world) == {"inactive": 1}
    assert world.progress("news").state == "finished"


def test_r15_who_becomes_inactive_between_the_audience_and_the_attempt_is_held_back(world: World) -> None:
    world.has_learners("A", "B")
    world.announces()
    assert world.progress("news").pending == 2
    world.becomes("inactive", "B")

    world.settle()

    assert world.mail.recipients == ["a@acme.example"]
    assert held_back(world) == {"inactive": 1}


def test_r15_who_becomes_inactive_between_two_attempts_is_held_back(world: World) -> None:
    world.has_learners("A", "B")
    world.mail.on_recipient = lambda address, _times: "451 later" if address.startswith("b@") else None
    world.announces()
    world.settle()
    assert world.progress("news").pending == 1
    world.mail.on_recipient = lambda _address, _times: None
    world.becomes("inactive", "B")

    world.comes_to_rest()

    assert world.mail.recipients == ["a@acme.example"]
    assert held_back(world) == {"inactive": 1}


@pytest.mark.parametrize("when", ["at launch", "at the attempt"])
def test_s09_the_reasons_come_in_their_order(world: World, when: str) -> None:
    world.has_learners("inactive", "unsubscribed", "suppressed", "fine", "no-address")
    if when == "at the attempt":
        world.announces()
    world.execute(
        "INSERT INTO unsubscribed (organisation, learner) SELECT organisation, learner FROM learners WHERE id <> 'fine'"
        " AND id <> 'suppressed'"
    )
    world.execute(
        "INSERT INTO suppressions (organisation, address, reason)"
        " SELECT organisation, lower(email), 'test' FROM learners WHERE id <> 'fine'"
    )
    world.has_learners("no-address", email=None)
    world.has_learners("inactive", status="inactive", email=None)
    if when == "at launch":
        world.announces()

    world.settle()

    assert world.mail.recipients == ["fine@acme.example"]
    assert held_back(world) == {"inactive": 1, "no address": 1, "unsubscribed": 1, "suppressed": 1}


def test_r15_a_notice_goes_to_who_unsubscribed_from_announcements(world: World) -> None:
    world.has_learners("A")
    world.execute("INSERT INTO unsubscribed (organisation, learner) SELECT organisation, learner FROM learners")
    world.announces()
    world.has_course("safety", "everyone")

    world.settle()

    assert [message["Feedback-ID"].split(":")[2] for message in world.mail.to("a@acme.example")] == ["enrolment"]


def test_r18_each_recipient_has_their_own_mail_and_one_row_with_the_servers_reply(world: World) -> None:
    world.has_learners("A", "B")
    world.announces()

    world.settle()

    for id_ in ("A", "B"):
        (message,) = world.mail.to(f"{id_.lower()}@acme.example")
        body = message.get_body(("plain",))
        assert body is not None
        assert f"Hello First{id_}." in body.get_content()
        assert message["To"] == f"First{id_} Last{id_} <{id_.lower()}@acme.example>"
    rows = world.rows("SELECT state::text, attempts, code, reply, settled_at IS NOT NULL FROM deliveries")
    assert rows == [("accepted", 1, 250, "OK", True)] * 2


def test_r22_a_mailing_to_nobody_finishes_at_once_with_zeros(world: World) -> None:
    world.has_learners("A")
    world.has_segment("empty")
    world.announces(audience={"segments": ["empty"]})

    world.settle()

    zeros = dict.fromkeys(("selected", "accepted", "failed", "cancelled", "uncertain", "pending"), 0)
    assert world.out("announcement.finished") == [{"announcement": "news", "state": "finished", "skipped": {}, **zeros}]
    assert world.mail.recipients == []


def test_r22_who_has_no_address_is_skipped_and_none_is_made_up(world: World) -> None:
    world.has_learners("A", email=None)
    world.has_learners("B", email="")
    world.announces()

    world.settle()

    assert held_back(world) == {"no address": 2}
    assert world.mail.named == 0


@pytest.mark.parametrize("reply", ["451 4.7.1 slow down", "421 4.7.0 too many", "450 busy", "452 full", "454 not now"])
def test_r21_throttling_uses_up_no_attempt_and_everybody_is_mailed_in_the_end(world: World, reply: str) -> None:
    world.has_learners("A", "B", "C")
    world.mail.on_recipient = lambda _address, times: reply if times < 3 else None
    world.announces()

    world.comes_to_rest()

    assert world.mail.recipients == ["a@acme.example", "b@acme.example", "c@acme.example"]
    assert world.list("SELECT attempts FROM deliveries") == [1, 1, 1]
    told = world.rows("SELECT DISTINCT code, reason FROM attempts")
    assert told == [(int(reply[:3]), "throttled")]
    assert world.ask("SELECT count(*) FROM attempts") == 9


def test_r21_a_refusal_fails_that_recipient_and_suppresses_that_address_alone(world: World) -> None:
    world.has_learners("A", "B")
    world.mail.on_recipient = lambda address, _times: "550 5.1.1 no such user" if address.startswith("b@") else None
    world.announces("first")
    world.settle()
    world.mail.on_recipient = lambda _address, _times: None
    world.announces("second")
    world.settle()

    first = world.progress("first")
    assert (first.state, first.accepted, first.failed) == ("finished with failures", 1, 1)
    assert world.list("SELECT reply FROM deliveries WHERE state = 'failed'") == ["5.1.1 no such user"]
    assert world.list("SELECT address FROM suppressions") == ["b@acme.example"]
    assert held_back(world, "second") == {"suppressed": 1}
    assert world.mail.recipients == ["a@acme.example", "a@acme.example"]


@pytest.mark.parametrize(
    ("reply", "state", "suppressed"),
    [
        ("551 moved", "failed", True),
        ("553 odd", "failed", False),
        ("554 no", "failed", False),
        ("556 null MX", "failed", True),
        ("550 5.1.1 no such user", "failed", True),
        ("550 5.2.1 disabled", "failed", True),
        ("550 5.5.1 odd", "failed", False),
        ("530 log in", "pending", False),
        ("554 5.7.1 Relay access denied", "pending", False),
        ("550 5.7.606 banned", "pending", False),
        ("553 5.1.8 your domain is not there", "pending", False),
    ],
)
def test_r21_what_a_permanent_refusal_says_of_the_address(
    world: World, reply: str, state: str, suppressed: bool
) -> None:
    world.has_learners("A")
    world.mail.on_recipient = lambda _address, _times: reply
    world.announces()

    world.settle()

    assert world.list("SELECT CAST(state AS text) FROM deliveries") == [state]
    assert bool(world.list("SELECT address FROM suppressions")) is suppressed


def test_r21_a_refusal_of_the_message_suppresses_nobody(world: World) -> None:
    world.has_learners("A")
    world.mail.on_data = lambda _address: "554 5.7.1 looks like spam"
    world.announces()

    world.settle()

    assert world.progress("news").failed == 1
    assert world.list("SELECT address FROM suppressions") == []


class TestAttempts:
    """What is put off is tried as often as the settings say."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"rollcall_mail_attempts": 3})

    def test_r21_a_temporary_refusal_is_tried_again_up_to_the_limit(self, world: World) -> None:
        world.has_learners("A", "B")
        world.mail.on_recipient = lambda address, times: (
            "432 not today" if address.startswith("b@") or times == 0 else None
        )
        world.announces()

        world.comes_to_rest()

        assert world.mail.recipients == ["a@acme.example"]
        rows = world.rows("SELECT state::text, attempts, code FROM deliveries ORDER BY recipient")
        assert rows == [("accepted", 2, 250), ("failed", 3, 432)]
        assert world.ask("SELECT count(*) FROM attempts") == 1 + 2, "each attempt that settled nothing is kept"
        assert world.progress("news").state == "finished with failures"
