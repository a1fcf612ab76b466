"""All mail is paused by hand: R20, R31."""

import json
from typing import Any

import pytest

from config.database import transaction
from config.settings import Settings
from tasks.mail.ledger import control
from tasks.system import system_state
from tests.isolation.conftest import Rollcall, rollcall
from tests.workers.serving import served
from tests.workers.test_outages import get
from tests.world import World

__all__ = ["rollcall"]  # a fixture

MANY, GROUP = 40, 5


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Few mails in a group, so that there are many groups."""
    return settings.model_copy(update={"rollcall_mail_group": GROUP, "rollcall_mail_batch": 2 * GROUP})


def document(rollcall: Rollcall, *words: str) -> Any:
    """What a command prints with --json."""
    result = rollcall(*words, "--json")
    assert result.exit_code == 0, f"{result.output}{result.exception}"
    return json.loads(result.stdout)


def test_r20_nothing_leaves_while_all_mail_is_paused_and_all_of_it_when_it_goes_on(
    world: World, rollcall: Rollcall
) -> None:
    world.has_course("safety")
    world.has_learners("A", "B")
    world.has_learners("nameless", email=None, status="inactive")
    world.asks_to_enrol("safety", "A")  # due before, and held with the pause

    first = document(rollcall, "mail", "pause", "--by", "Ada")
    assert (first["changed"], first["paused"]["by"], first["paused"]["why"]) == (True, "Ada", "by hand")
    assert document(rollcall, "mail", "pause", "--by", "Eve")["paused"]["by"] == "Ada"
    world.announces()
    world.announces("held back")
    world.becomes("active", "nameless")  # a mail to the admins, about a password
    world.settle()
    assert rollcall("announcements", "pause", "held back", "-o", "acme").exit_code == 0
    for words in (["announcements", "resume", "held back"], ["mail", "retry", "--since", "1h"]):
        assert "rollcall mail resume" in rollcall(*words, "-o", "acme").output, "whoever sends something is told"
    assert rollcall("announcements", "pause", "held back", "-o", "acme").exit_code == 0

    assert world.mail.taken == []
    assert system_state(world.runtime, world.redis).at_rest
    assert rollcall("announcements", "test", "--to", "boss@nowhere.example", "news", "-o", "acme").exit_code == 1
    assert "by Ada" in document(rollcall, "announcements", "show", "news", "-o", "acme")["why"]
    assert "All mail is paused" in rollcall("status").output
    assert document(rollcall, "status")["mail_paused"]["what_to_do"] == "rollcall mail resume"

    assert document(rollcall, "mail", "resume")["changed"]
    world.settle()
    kinds = sorted(str(message["Feedback-ID"]).split(":")[2] for _, message in world.mail.taken)
    assert kinds == ["announcement"] * 2 + ["enrolment", "password"]
    assert world.progress("held back").state == "paused"
    assert not document(rollcall, "mail", "resume")["changed"]
    assert document(rollcall, "status")["mail_paused"] is None


def test_r20_a_worker_under_way_begins_no_group_after_the_pause(world: World) -> None:
    world.has_learners(*(f"L{n}" for n in range(MANY)))

    def pause(_address: str) -> None:
        world.mail.before_answer = lambda _address: None
        with transaction(world.runtime.engine) as connection:
            control.pause(connection, "Ada")

    world.mail.before_answer = pause
    world.announces()
    world.settle()

    assert 0 < len(world.mail.taken) <= GROUP
    counts = world.progress("news")
    assert (counts.state, counts.pending, counts.uncertain) == ("sending", MANY - len(world.mail.taken), 0)
    assert world.list("SELECT DISTINCT state FROM work WHERE actor = 'mail.deliver'") == ["held"]
    with transaction(world.runtime.engine) as connection:
        control.resume(connection)
    world.settle()
    assert sorted(world.mail.recipients) == sorted(f"l{n}@acme.example" for n in range(MANY))


def test_r20_what_was_cancelled_ends_while_all_mail_is_paused(world: World, rollcall: Rollcall) -> None:
    world.has_learners("A")
    rollcall("mail", "pause")
    world.announces()
    world.settle()

    assert rollcall("announcements", "cancel", "news", "-o", "acme").exit_code == 0
    world.settle()

    counts = world.progress("news")
    assert (counts.state, counts.cancelled, counts.pending) == ("cancelled", 1, 0)


def test_the_pages_say_that_all_mail_is_paused_and_that_all_is_well(world: World, rollcall: Rollcall) -> None:
    rollcall("mail", "pause", "--by", "Ada")

    with served(world.runtime) as runtime:
        url = runtime.endpoints.public_url
        status, health = get(f"{url}/healthz")
        _, metrics = get(f"{url}/metrics")

    assert status == 200
    assert [line.partition(" since ")[0] for line in json.loads(health)["mail"]] == ["All mail is paused"]
    assert 'rollcall_mail_paused_since_seconds{why="by hand"} 1' in metrics
