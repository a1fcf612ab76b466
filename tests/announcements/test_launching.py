"""Before a launch: how many will receive it, and, before the first, whether the mail server takes our mail."""

from collections.abc import Callable

import pytest

from config.settings import load_settings
from tests.announcements.conftest import Admin, Rollcall
from tests.mailserver import free_port
from tests.world import World

Refusal = Callable[..., str]


@pytest.fixture
def draft(world: World, admin: Admin) -> World:
    """A draft that three would receive and one would not."""
    world.has_learners("A", "B", "C")
    world.has_learners("D", status="inactive")
    admin("create", "--id", "news", "--subject", "News", "--body", "Hello.", "--everyone")
    return world


def state(admin: Admin) -> str:
    """How the announcement stands."""
    return str(admin("show", "news")["state"])


def test_r16_a_launch_says_how_many_will_receive_it(draft: World, rollcall: Rollcall) -> None:
    assert rollcall("launch", "news").stdout == "news is sending. 3 learners get it.\n"


def test_r16_a_launch_to_many_is_refused_unless_a_person_says_yes(
    draft: World, admin: Admin, refused: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.commands.launching.UNASKED", 2)

    assert refused("launch", "news") == (
        "It was not launched: 3 learners would receive news. Say --yes if they are to."
    )
    assert (state(admin), draft.mail.named) == ("draft", 0)
    assert admin("launch", "news", "--yes") == {"announcement": "news", "state": "sending"}
    assert "sending" in refused("launch", "news"), "nobody is asked again"


@pytest.mark.parametrize(("answer", "expected"), [("y\n", "sending"), ("n\n", "draft")])
def test_r16_a_person_at_a_terminal_is_asked_before_a_launch_to_many(
    draft: World, admin: Admin, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch, answer: str, expected: str
) -> None:
    monkeypatch.setattr("workers.commands.launching.UNASKED", 2)
    monkeypatch.setattr("workers.commands.launching.at_a_terminal", lambda: True)

    result = rollcall("launch", "news", stdin=answer)

    assert "3 learners would receive news. Launch it?" in result.stderr
    assert state(admin) == expected


@pytest.mark.parametrize(
    "said",
    ["554 5.7.1 Relay access denied", "530 5.7.0 Must issue a STARTTLS command first", "550 5.7.1 Sender rejected"],
)
def test_r21_the_first_launch_of_all_is_refused_where_the_server_would_take_nothing(
    draft: World, admin: Admin, refused: Refusal, said: str
) -> None:
    draft.mail.on_recipient = lambda _address, _times: said

    line = refused("launch", "news")

    assert line.startswith(f"It was not launched. The mail server 127.0.0.1:{draft.mail.port} does not take our mail (")
    assert said in line
    assert "Do this: look at " in line
    assert (state(admin), draft.mail.taken) == ("draft", [])
    assert admin("launch", "news", "--no-check")["state"] == "sending"


@pytest.mark.parametrize("url", ["smtp://u:p@127.0.0.1:{port}", "smtp://127.0.0.1:{nobody}?tls=none"])
def test_r21_the_first_launch_of_all_is_refused_where_nobody_signs_us_in_or_answers(
    draft: World, admin: Admin, refused: Refusal, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("SMTP_URL", url.format(port=draft.mail.port, nobody=free_port()))
    load_settings.cache_clear()

    assert "look at SMTP_URL" in (line := refused("launch", "news")) or "see that the mail server" in line
    assert state(admin) == "draft"


@pytest.mark.parametrize(
    "said", ["550 5.1.1 No such user here", "450 4.2.0 Greylisted", "452 4.5.3 Too many messages", "552 5.2.2 Full"]
)
def test_r21_what_is_about_one_recipient_or_passes_holds_no_launch_up(draft: World, admin: Admin, said: str) -> None:
    draft.mail.on_recipient = lambda _address, times: said if not times else None

    assert admin("launch", "news")["state"] == "sending"


def test_r21_a_first_recipient_whose_address_is_beyond_ascii_holds_no_launch_up(draft: World, admin: Admin) -> None:
    draft.execute("UPDATE learners SET email = 'anna' || learner || '@müller.example'")

    assert admin("launch", "news")["state"] == "sending"


def test_r21_who_was_mailed_before_launches_whatever_the_server_says_now(draft: World, admin: Admin) -> None:
    admin("launch", "news")
    draft.comes_to_rest()
    named = draft.mail.named
    admin("create", "--id", "more", "--subject", "News", "--body", "Hello.", "--everyone")
    draft.mail.on_recipient = lambda _address, _times: "554 5.7.1 Relay access denied"

    assert admin("launch", "more")["state"] == "sending"
    assert draft.mail.named == named
