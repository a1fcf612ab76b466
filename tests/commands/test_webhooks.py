"""`rollcall webhooks`: what it prints, what it refuses, and that a key is shown once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from tasks.events.outgoing import TYPES_OUT
from tests.commands.console import Rollcall, printed, refused, rollcall
from tests.webhooks.conftest import Hooks
from tests.webhooks.receiver import Receiver, receiving, saying
from tests.world import World

__all__ = ["refused", "rollcall"]  # fixtures


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch, rollcall: Rollcall) -> Iterator[Receiver]:
    """Somebody on this machine, where that may be."""
    monkeypatch.setenv("ROLLCALL_WEBHOOKS_PRIVATE", "true")
    with receiving() as found:
        yield found


def test_a_webhook_from_its_first_test_to_its_end(
    world: World, rollcall: Rollcall, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.runtime.settings, "rollcall_webhooks_private", True)
    printed_once: list[str] = []

    def command(word: str, *words: str) -> Any:
        found = printed(f"webhooks-{word}", rollcall("webhooks", word, *words, "--json"))
        if word in {"add", "rotate"}:
            printed_once.append(found.pop("key"))
        return found

    assert command("add", receiver.url, "--id", "billing", "--type", "rollcall.access.suspended") == {
        "id": "billing",
        "old_key_until": None,
    }
    [listed] = command("list")
    assert (listed["state"], listed["types"], listed["delivered"]) == ("enabled", ["rollcall.access.suspended"], 0)

    receiver.will(saying(201))
    assert command("test", "billing")["status"] == 201
    assert receiver.requests[0].event["type"] == "rollcall.webhook.test"
    Webhook(printed_once[0]).verify(receiver.requests[0].body, receiver.requests[0].headers)

    world.has_learners("A")
    world.becomes("inactive", "A")
    world.settle()
    Hooks(world).send()
    [attempt] = command("log", "billing")
    assert (attempt["type"], attempt["delivered"], attempt["status"]) == ("rollcall.access.suspended", True, 204)
    assert command("log", "billing", "--failures") == []

    assert command("rotate", "billing")["old_key_until"] is not None
    assert command("rotate", "billing", "--now")["old_key_until"] is None
    assert command("disable", "billing") == {"id": "billing", "state": "disabled"}
    assert command("show", "billing")["reason"] == "by hand"
    told = "".join(rollcall("webhooks", *words).output for words in (["list"], ["show", "billing"], ["log", "billing"]))
    assert "by hand" in told
    assert not [key for key in printed_once if key in told]
    assert command("enable", "billing") == {"id": "billing", "state": "enabled"}
    status = printed("status", rollcall("status", "--json"))
    assert status["webhooks"] == {"enabled": 1, "failing": 0, "disabled": 0, "lag_seconds": None}
    assert command("remove", "billing") == {"id": "billing", "state": "removed"}
    assert command("list") == []
    assert len(set(printed_once)) == 3


def test_what_cannot_be_is_refused_in_one_line(rollcall: Rollcall, refused: Callable[..., str]) -> None:
    assert rollcall("webhooks", "add", "http://example.org/").exit_code == 2
    for unknown in ("seat", "rollcall.seat.consume"):
        wrong = rollcall(
            "webhooks", "add", "https://example.org/", "--type", "rollcall.pool.reached", "--type", unknown
        )
        assert wrong.exit_code == 2
        assert all(type_ in "".join(wrong.stderr.split()) for type_ in (unknown, *TYPES_OUT))
    for never in ("noon", "2026-01-10T09:00:00", "0001-01-01T00:00:00+14:00"):
        assert rollcall("webhooks", "add", "https://example.org/", "--since", never).exit_code == 2
    assert "ROLLCALL_WEBHOOKS_PRIVATE" in refused("webhooks", "add", "https://169.254.169.254/latest")
    assert refused("webhooks", "show", "x", "-o", "acme") == "There is no webhook 'x' of the organisation 'acme'."
    assert refused("webhooks", "remove", "x") == "There is no webhook 'x' of the platform."
    rollcall("webhooks", "add", "https://example.org/", "--id", "x")
    assert "already" in refused("webhooks", "add", "https://example.org/", "--id", "x")
    rollcall("webhooks", "rotate", "x")
    assert "--now" in refused("webhooks", "rotate", "x")


def test_a_test_that_fails_says_what_was_answered(
    rollcall: Rollcall, refused: Callable[..., str], receiver: Receiver
) -> None:
    rollcall("webhooks", "add", receiver.url, "--id", "x")
    receiver.will(saying(403, "no [/such] key"))

    line = refused("webhooks", "test", "x")

    assert line.startswith("The test was not delivered: refused, status 403, after ")
    assert line.endswith(" ms: no [/such] key.")
