"""R31: whoever acts for one organisation sees and changes nothing of another's, whichever command they use."""

import re
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import typer

from tests.isolation.conftest import Rollcall
from tests.isolation.neighbours import ONLY_THEIRS, OURS, SECRET, THEIRS, belongings, number_of
from tests.webhooks.conftest import receiver
from tests.webhooks.receiver import Receiver
from tests.world import World
from workers import cli

__all__ = ["receiver"]  # a fixture

#: Each command about one organisation: how it is used for ours. The last word is an id that theirs has too; the same is
#: tried with one that only they have.
ABOUT_ONE = {
    "audit": [],
    "announcements preview": ["scheduled"],
    "announcements test": ["--to", "boss@nowhere.example", "scheduled"],
    "announcements unschedule": ["scheduled"],
    "announcements edit": ["--subject", "Hi", "--learner", "A", "scheduled"],
    "announcements cancel": ["scheduled"],
    "announcements delete": ["unsent"],
    "announcements create": ["--subject", "Hi", "--body", "Dear {{ first_name }}", "--segment", "nurses"],
    "announcements launch": ["draft"],
    "announcements list": [],
    "announcements pause": ["sending"],
    "announcements resume": ["paused"],
    "announcements recipients": ["sent"],
    "announcements show": ["--history", "sent"],
    "announcements retry-failed": ["sent"],
    "courses preview": ["--method", "everyone", "safety"],
    "events decided": [],
    "events discard": ["--why", "a mistake", "waits"],
    "events quarantined": [],
    "events release": ["held"],
    "events replay": ["--since", "1"],
    "explain": ["A"],
    "learners activate": ["B"],
    "learners deactivate": ["A"],
    "learners export": ["A"],
    "learners import": [str(Path(__file__).with_name("learners.csv"))],
    "learners resubscribe": ["A"],
    "learners show": ["A"],
    "learners unsubscribe": ["A"],
    "mail retry": ["--since", "1h"],
    "reconcile": [],
    "reports history": [],
    "reports summary": [],
    "reports training": [],
    "seats ledger": [],
    "seats reviewed": ["--why", "asked", "5"],
    "seats show": [],
    "seats verify": [],
    "suppressions add": ["--why", "asked to", "new@acme.example"],
    "suppressions list": [],
    "suppressions remove": ["x@x"],
    "templates render": ["--no-png", "--out", mkdtemp(prefix="rollcall-"), "announcement"],
    "webhooks add": ["https://hooks.invalid/"],
    "webhooks disable": ["hook"],
    "webhooks enable": ["--skip", "hook"],
    "webhooks list": [],
    "webhooks log": ["hook"],
    "webhooks rotate": ["--now", "hook"],
    "webhooks show": ["hook"],
    "webhooks test": ["hook"],
    "webhooks remove": ["hook"],
}

#: A time in JSON, and the one form that it has.
A_TIME = re.compile(r'"(\d{4}-\d\d-\d\d[T ]\d\d:[^"\\]*)"')
ONE_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")

#: An operator's, about everybody at once: none of these takes an organisation.
OPERATORS = {
    "accounts add", "accounts disable", "accounts list", "accounts password", "accounts sessions", "accounts sign-out",
    "accounts totp", "cells add", "cells forget", "cells list", "cells move", "cells run",
    "demo", "events key", "events publish", "events sign", "mail check", "mail dkim", "mail pause", "mail resume",
    "mail sent-since", "migrate", "restored", "run bounces", "run ingress", "run pool", "run relay", "run web",
    "run webhooks", "status", "templates list",
    "tokens add", "tokens list", "tokens revoke", "up", "verify", "wait", "work discard", "work failing",
    "work retry", "work pause", "work resume", "pools advise", "pools pause", "pools resume",
}  # fmt: skip


def commands(group: Any = None, *words: str) -> dict[str, set[str]]:
    """Every command there is, by its words, with the names of its parameters."""
    group = group or typer.main.get_command(cli.app)
    if not hasattr(group, "commands"):
        return {" ".join(words): {parameter.name for parameter in group.params}}
    return {name: names for word, one in group.commands.items() for name, names in commands(one, *words, word).items()}


def test_r31_every_command_is_tried_on_a_neighbour_or_is_an_operators() -> None:
    takes_one = {name for name, parameters in commands().items() if "organisation" in parameters}

    assert takes_one == ABOUT_ONE.keys()
    assert commands().keys() - takes_one == OPERATORS


def test_r31_no_command_crosses_over(
    neighbours: World, rollcall: Rollcall, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLCALL_WEBHOOKS_PRIVATE", "true")
    url, ours = receiver.url, number_of(neighbours, OURS)
    neighbours.execute("UPDATE webhooks SET url = :url WHERE organisation = :ours", url=url, ours=ours)
    for state in ("draft", "sending", "paused"):  # in which announcements are that commands move on
        neighbours.execute("UPDATE mailings SET state = :state WHERE id = :state", state=state)
    neighbours.execute("UPDATE deliveries SET state = 'failed', reason = 'deferred' WHERE state = 'accepted'")
    before = belongings(neighbours, THEIRS)
    failed, crossed, times = {}, {}, dict[str, set[str]]()

    for command, named in ABOUT_ONE.items():
        words = command.split()
        done = rollcall(*words, *named, "-o", OURS)
        as_json = rollcall(*words, *named, "-o", OURS, "--json")
        naming_theirs = [rollcall(*words, *named[:-1], ONLY_THEIRS, "-o", OURS)] if named else []

        if done.exit_code or not all(result.exit_code for result in naming_theirs):
            failed[command] = done.output + str(done.exception)
        times[command] = set(A_TIME.findall(as_json.stdout))
        told = [
            text
            for result in (done, as_json, *naming_theirs)
            for text in (result.output, str(result.exception))
            if SECRET in text or THEIRS in text
        ]
        after = belongings(neighbours, THEIRS)
        changed = [what for what in before if after[what] != before[what]]
        if told or changed:
            crossed[command] = (told, changed)

    assert crossed == {}
    assert failed == {}, "refused for ours, or done for what only they have"
    assert {
        command: odd for command, found in times.items() if (odd := found - {*filter(ONE_FORM.fullmatch, found)})
    } == {}
    assert {command for command, found in times.items() if found} >= {
        "announcements list", "announcements recipients", "announcements show", "events quarantined",
        "learners show", "reports history", "reports training", "seats ledger", "suppressions list", "webhooks log",
    }, "these say when"  # fmt: skip
