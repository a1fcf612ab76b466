"""`rollcall suppressions`, and what came back as `learners show` tells it."""

import json
from typing import Any

import jsonschema
import pytest

from config.errors import NotFound
from tests.bounces import reports
from tests.bounces.conftest import Desk
from tests.bounces.test_effects import A, announced, bounces, held_back, returned
from tests.isolation.conftest import Rollcall
from tests.world import World
from workers.schemas import FOLDER

HARD = {"status": "5.1.1"}
SOFT = {"status": "4.2.2"}


def listed(rollcall: Rollcall) -> list[Any]:
    """Every suppression, each as its schema says."""
    done = rollcall("suppressions", "list", "-o", "acme", "--json")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    schema = json.loads((FOLDER / "commands" / "suppressions-list.json").read_text())
    for row in rows:
        jsonschema.validate(row, schema)
    return rows


def decided(rollcall: Rollcall, *words: str) -> Any:
    """What `add` or `remove` made of an address, as its schema says."""
    done = rollcall("suppressions", *words, "-o", "acme", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads((FOLDER / "commands" / f"suppressions-{words[0]}.json").read_text()))
    return document


def test_r21_what_was_suppressed_is_listed_and_lifted_and_the_next_announcement_arrives(
    world: World, rollcall: Rollcall, lmtp: Desk
) -> None:
    world.has_learners("A", email="A@Acme.Example")
    world.announces("first")
    world.settle()
    (sender,) = world.mail.senders["A@Acme.Example"]
    lmtp.gives(reports.gmail(sender, "A@Acme.Example"), sender)
    assert [(row["address"], row["reason"], row["why"], row["by"]) for row in listed(rollcall)] == [
        (A, "hard bounce", "5.1.1", None)
    ]

    lifted = decided(rollcall, "remove", "A@ACME.example", "--why", "the mailbox is back", "--by", "ann")
    world.announces("second")
    world.settle()

    assert lifted == {"address": A, "suppressed": False, "changed": True}
    assert listed(rollcall) == []
    assert world.progress("second").accepted == 1
    assert world.rows("SELECT address, why, by_whom FROM lifted_suppressions") == [(A, "the mailbox is back", "ann")]


def test_an_address_that_a_person_adds_gets_no_more_mail(world: World, rollcall: Rollcall) -> None:
    world.has_learners("A", "B")

    added = decided(rollcall, "add", "A@acme.example", "--why", "asked by phone", "--by", "ann")
    again = decided(rollcall, "add", A, "--why", "again", "--by", "bob")
    world.announces()
    world.settle()

    assert added == {"address": A, "suppressed": True, "changed": True}
    assert again == {"address": A, "suppressed": True, "changed": False}
    assert held_back(world, "news") == {"suppressed": 1}
    assert [(row["reason"], row["why"], row["by"]) for row in listed(rollcall)] == [
        ("by hand", "asked by phone", "ann")
    ]


def test_an_address_that_is_not_suppressed_is_refused_in_one_line(world: World, rollcall: Rollcall) -> None:
    done = rollcall("suppressions", "remove", "Nobody@acme.example", "-o", "acme")

    assert isinstance(done.exception, NotFound)
    assert str(done.exception) == "The organisation 'acme' has not suppressed 'nobody@acme.example'."
    assert done.stdout == ""


@pytest.mark.parametrize("words", [("add", A), ("add", "nobody", "--why", "x"), ("add", "a b@c", "--why", "x")])
def test_wrong_usage_exits_with_two(rollcall: Rollcall, words: tuple[str, ...]) -> None:
    assert rollcall("suppressions", *words, "-o", "acme").exit_code == 2


def test_the_list_is_a_spreadsheet_without_formulas(world: World, rollcall: Rollcall) -> None:
    decided(rollcall, "add", A, "--why", "=1+1")

    done = rollcall("suppressions", "list", "-o", "acme")

    header, line = done.stdout.splitlines()
    assert header == "address,reason,since,why,by"
    assert line.startswith(f"{A},by hand,")
    assert "'=1+1" in line


def test_r21_what_came_back_before_a_suppression_was_lifted_counts_no_more(world: World, rollcall: Rollcall) -> None:
    world.has_learners("A")
    late = announced(world, "late")
    for number in range(5):
        bounces(world, announced(world, f"n{number}"), SOFT)
    assert [row["reason"] for row in listed(rollcall)] == ["five soft bounces"]
    decided(rollcall, "remove", A)

    bounces(world, late, HARD)
    assert listed(rollcall) == []
    for number in range(4):
        bounces(world, announced(world, f"again{number}"), SOFT)
    assert listed(rollcall) == []
    bounces(world, announced(world, "fifth"), SOFT)

    assert [row["reason"] for row in listed(rollcall)] == ["five soft bounces"]


def test_r18_what_came_back_is_shown_beside_what_the_server_said(world: World, rollcall: Rollcall) -> None:
    world.has_learners("A")
    bounces(world, announced(world, "first"), HARD)
    world.execute("DELETE FROM suppressions")
    sender = announced(world, "second")
    returned(world, reports.complaint(sender, A), sender)
    world.execute("DELETE FROM unsubscribed")
    announced(world, "third")

    shown = json.loads(rollcall("learners", "show", "A", "-o", "acme", "--json").stdout)
    told = rollcall("learners", "show", "A", "-o", "acme").stdout

    assert [(m["mailing"], m["state"], m["bounced"], m["bounce_status"]) for m in shown["mail"]] == [
        ("first", "accepted", "hard", "5.1.1"),
        ("second", "accepted", "complaint", None),
        ("third", "accepted", None, None),
    ]
    assert "hard 5.1.1" in told


@pytest.fixture
def refused(world: World) -> World:
    """Four learners whose addresses are suppressed: two refused at `first`, one came back from it, one by hand."""
    world.has_learners("A", "B", "C", "D")
    world.mail.on_recipient = lambda address, _: "550 5.1.1 no such user" if address[0] in "bc" else None
    world.announces("first")
    world.settle()
    bounces(world, world.mail.senders[A][-1], HARD)
    world.execute("INSERT INTO suppressions (organisation, address, reason) SELECT 1, 'd@acme.example', 'by hand'")
    world.execute("UPDATE suppressions SET since = now() - interval '3 days' WHERE address = 'b@acme.example'")
    return world


@pytest.mark.parametrize(
    ("words", "lifted"),
    [
        (["--reason", "refused by its server"], "bc"),
        (["--reason", "hard bounce"], "a"),
        (["--mailing", "first"], "abc"),
        (["--since", "1d"], "acd"),
        (["--until", "1d"], "b"),
        (["--mailing", "first", "--reason", "refused by its server", "--since", "1d"], "c"),
        (["A@acme.example", "d@acme.example"], "ad"),
    ],
)
def test_many_suppressions_are_lifted_at_once(
    refused: World, rollcall: Rollcall, words: list[str], lifted: str
) -> None:
    schema = json.loads((FOLDER / "commands" / "suppressions-remove-many.json").read_text())
    for dry in (True, False):
        done = rollcall("suppressions", "remove", *words, "-o", "acme", "--json", *(["--dry-run"] if dry else []))
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout) == {"lifted": len(lifted), "dry_run": dry}
        jsonschema.validate(json.loads(done.stdout), schema)

    left = refused.list("SELECT left(address, 1) FROM suppressions ORDER BY 1")
    assert left == sorted(set("abcd") - set(lifted))
    assert refused.list("SELECT left(address, 1) FROM lifted_suppressions ORDER BY 1") == sorted(lifted)


@pytest.mark.parametrize("words", [[], ["a@acme.example", "--reason", "by hand"], ["--since", "yesterday"]])
def test_what_to_lift_is_said_in_one_way(refused: World, rollcall: Rollcall, words: list[str]) -> None:
    assert rollcall("suppressions", "remove", *words, "-o", "acme").exit_code == 2
    assert refused.ask("SELECT count(*) FROM suppressions") == 4
