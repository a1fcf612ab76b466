"""Before anything is sent: who would get it, what they would read, and one to look at. R15, R16."""

from collections.abc import Callable

import pytest

from tests.announcements.conftest import Admin, Rollcall
from tests.world import World

Refusal = Callable[..., str]

#: A text with holes for whoever has no name, and none for whoever has no username.
BODY = 'Dear {{ first_name }} {{ last_name | default: "" }}, {{ username | default: "you" }}: {{ full_name }}.'


@pytest.fixture
def audience(world: World, admin: Admin) -> World:
    """Six who would get an announcement, and one left out for each reason."""
    world.has_learners("A", "B", "C")
    world.has_learners("nameless", first_name=None, last_name=None)
    world.has_learners("blank", first_name=" \u2028\t", last_name="Blank")
    world.has_learners("first", last_name="")
    world.has_learners("inactive", status="inactive")
    world.has_learners("inactive-too", status="inactive", email=None)
    world.has_learners("no-address", email=None)
    world.has_learners("unsubscribed", "suppressed")
    world.execute("INSERT INTO unsubscribed SELECT 1, learner FROM learners WHERE id = 'unsubscribed'")
    world.execute("INSERT INTO suppressions VALUES (1, 'suppressed@acme.example', 'refused by its server')")
    admin("create", "--id", "news", "--subject", "For {{ first_name }}", "--body", BODY, "--everyone")
    return world


def test_r16_a_preview_says_who_will_receive_it_and_who_is_left_out_and_why(audience: World, admin: Admin) -> None:
    seen = admin("preview", "news")

    assert (seen["selected"], seen["will_receive"]) == (11, 6)
    assert seen["left_out"] == {"inactive": 2, "no address": 1, "suppressed": 1, "unsubscribed": 1}
    assert audience.mail.taken == []


def test_r16_what_is_launched_at_once_does_what_the_preview_said(audience: World, admin: Admin) -> None:
    seen = admin("preview", "news")
    admin("launch", "news")
    audience.comes_to_rest()

    counts = audience.progress("news")
    assert (counts.selected, counts.accepted) == (seen["selected"], seen["will_receive"])
    assert counts.skipped == seen["left_out"]


def test_r16_a_preview_shows_the_holes_in_the_text_against_the_real_audience(
    audience: World, admin: Admin, rollcall: Rollcall
) -> None:
    assert admin("preview", "news")["mistakes"] == [
        {"field": "first_name", "without_value": 2, "of": 6},
        {"field": "last_name", "without_value": 2, "of": 6},
        {"field": "full_name", "without_value": 1, "of": 6},
    ]
    shown = rollcall("preview", "news").stdout
    assert "6 of 11 will receive news." in shown
    assert "2 of 6 have no first_name" in shown


def test_r16_a_preview_shows_what_one_of_them_reads(audience: World, admin: Admin, refused: Refusal) -> None:
    first = admin("preview", "news")["sample"]
    blank = admin("preview", "news", "--learner", "blank")["sample"]

    assert (first["learner"], first["subject"]) == ("A", "For FirstA")
    assert "Dear FirstA LastA, user-A: FirstA LastA." in first["text"]
    assert (blank["subject"], "Dear  Blank, user-blank: Blank." in blank["text"]) == ("For", True)
    assert refused("preview", "news", "--learner", "nobody") == "there is no learner 'nobody' in this organisation"
    assert "no address" in refused("preview", "news", "--learner", "no-address")


def test_r16_a_preview_is_not_put_off_by_an_address_that_no_server_would_take(world: World, admin: Admin) -> None:
    world.has_learners("A", email="no address@acme.example")
    world.has_learners("B")
    admin("create", "--id", "news", "--subject", "News", "--body", "Hello.", "--everyone")

    seen = admin("preview", "news")

    assert (seen["will_receive"], seen["sample"]) == (2, None)
    assert admin("preview", "news", "--learner", "B")["sample"]["text"].startswith("Hello.")


def test_r17_what_is_launched_has_an_audience_and_no_preview(audience: World, admin: Admin, refused: Refusal) -> None:
    admin("launch", "news")

    assert "is sending: show says how it stands" in refused("preview", "news")


def test_a_test_is_the_real_message_marked_and_counted_nowhere(audience: World, admin: Admin) -> None:
    sent = admin("test", "news", "--to", "boss@elsewhere.example", "--learner", "B")

    [(address, trial)] = audience.mail.taken
    assert (address, trial["To"]) == ("boss@elsewhere.example", "FirstB LastB <boss@elsewhere.example>")
    assert sent == {
        "announcement": "news",
        "to": "boss@elsewhere.example",
        "learner": "B",
        "subject": "[Test] For FirstB",
        "answer": "accepted",
        "code": 250,
        "reply": "OK",
    }
    assert audience.ask("SELECT count(*) FROM deliveries") + audience.ask("SELECT count(*) FROM attempts") == 0
    assert audience.progress("news").state == "draft"

    admin("launch", "news")
    audience.comes_to_rest()
    [real] = audience.mail.to("b@acme.example")
    assert trial["Message-ID"] != real["Message-ID"], "a mail program would take the real one for a copy"
    assert trial["Subject"] == f"[Test] {real['Subject']}"
    kept = {"From", "Feedback-ID", "Precedence", "Auto-Submitted", "MIME-Version"}
    assert {name: trial[name] for name in kept} == {name: real[name] for name in kept}
    shown, sent = (letter.get_body(("plain",)).get_content() for letter in (trial, real))  # type: ignore[union-attr]
    assert shown.split() == sent.partition("Unsubscribe ")[0].split(), "whoever tries it out unsubscribes nobody"


@pytest.mark.parametrize("reason", ["inactive", "suppressed", "unsubscribed"])
def test_r15_a_test_does_not_go_past_the_gate(reason: str, audience: World, refused: Refusal) -> None:
    line = refused("test", "news", "--to", f"{reason.upper()}@acme.example")

    assert line == f"nothing was sent to {reason.upper()}@acme.example: the gate holds back who is {reason}"
    assert audience.mail.named == 0


def test_r15_a_test_goes_to_an_address_that_an_active_learner_has_too(audience: World, admin: Admin) -> None:
    audience.has_learners("shared", email="inactive@acme.example")

    assert admin("test", "news", "--to", "inactive@acme.example")["answer"] == "accepted"


def test_a_test_that_is_refused_says_what_the_server_said(audience: World, refused: Refusal) -> None:
    audience.mail.on_recipient = lambda _address, _times: "550 no such user"

    line = refused("test", "news", "--to", "boss@elsewhere.example")

    assert "not accepted (refused)" in line
    assert "550 no such user" in line
    assert audience.ask("SELECT count(*) FROM suppressions") == 1, "it counts nowhere"
    assert "nothing was sent" in refused("test", "news", "--to", "no address at all")
