"""What the commands on seats print: what is used, the ledger, and the proof of it."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.commands.console import Rollcall, printed, refused, rollcall, story
from tests.world import DAWN, World

__all__ = ["refused", "rollcall", "story"]  # fixtures


def test_seats_show_and_ledger_agree(story: World, rollcall: Rollcall) -> None:
    shown = printed("seats-show", rollcall("seats", "show", "-o", "acme", "--json"))
    ledger = printed("seats-ledger", rollcall("seats", "ledger", "-o", "acme", "--json"))

    assert (shown["unit"], shown["pool"], shown["used"], shown["remaining"]) == ("credit", 1000, 1, 999)
    assert sum(entry["amount"] for entry in ledger) == shown["used"]


def test_the_ledger_is_streamed_in_every_format_and_by_what_is_wanted(story: World, rollcall: Rollcall) -> None:
    story.has_learners("C", at=DAWN)
    story.starts("C", "safety", at=DAWN - timedelta(days=9, minutes=30))
    story.has_course("=1", "everyone", cost=2)
    story.starts("A", "=1")

    def ledger(*words: str) -> Any:
        return printed("seats-ledger", rollcall("seats", "ledger", "-o", "acme", "--json", *words))

    def text(*words: str) -> list[str]:
        return rollcall("seats", "ledger", "-o", "acme", *words).stdout.splitlines()

    everything = ledger()
    assert [entry["learner"] for entry in everything] == ["A", "A"]
    assert ledger("--learner", "A", "--since", "2026-01-10T09:00:00", "--until", "2026-02-01") == everything
    assert ledger("--learner", "C") == ledger("--until", "2026-01-10") == ledger("--review") == []
    assert [json.loads(line) for line in text("--format", "jsonl")] == everything
    header, *lines = text("--format", "csv")
    assert header == "id,organisation,learner,course,cycle,unit,amount,occurred_at,event,overdrawn,review"
    assert (len(lines), ",'=1," in lines[1]) == (2, True)
    assert len(text()) == 3


def test_r28_a_person_says_that_they_looked_at_a_flag(
    story: World, rollcall: Rollcall, refused: Callable[..., str]
) -> None:
    story.becomes("inactive", "A", at=DAWN)
    [flagged] = printed("seats-ledger", rollcall("seats", "ledger", "-o", "acme", "--review", "--json"))
    assert flagged["review"] == "learner inactive"
    looked = ("seats", "reviewed", flagged["id"], "-o", "acme", "--why", "on parental leave", "--by", "Kim")
    assert refused("seats", "reviewed", flagged["id"], "99", "-o", "acme", "--why", "so").startswith("Nothing was")

    done = printed("seats-reviewed", rollcall(*looked, "--json"))
    story.becomes("active", "A", at=DAWN - timedelta(days=1))
    story.becomes("inactive", "A", at=DAWN)

    assert done == [{"id": flagged["id"], "settled": ["learner inactive"]}]
    [entry] = printed("seats-ledger", rollcall("seats", "ledger", "-o", "acme", "--json"))
    assert entry == flagged | {"review": None}
    assert printed("seats-show", rollcall("seats", "show", "-o", "acme", "--json"))["review"] == 0
    assert story.rows("SELECT code, by_whom, why FROM settled_reviews") == [
        ("learner inactive", "Kim", "on parental leave")
    ]
    assert refused(*looked).startswith("Nothing was changed")


def test_seats_show_says_how_much_of_the_pool_is_used_and_what_earlier_periods_used(
    story: World, rollcall: Rollcall
) -> None:
    story.has_organisation("credits", 1)
    story.has_organisation("credits", 1, licence_starts="2026-02-01")
    story.has_course("law", "everyone")
    story.starts("A", "law", at=DAWN + timedelta(days=40))
    story.has_organisation("credits", 8, licence_starts="2026-02-01")

    shown = printed("seats-show", rollcall("seats", "show", "-o", "acme", "--all-periods", "--json"))

    assert (shown["percent"], shown["warned"]) == (12, [])
    assert [(period["used"], period["entries"]) for period in shown["periods"]] == [(1, 1), (1, 1)]
    assert "7 of 8 left (12 % used)" in rollcall("seats", "show", "-o", "acme").stdout


def test_r28_the_ledger_is_proved_and_balances_are_mended(
    story: World, rollcall: Rollcall, refused: Callable[..., str]
) -> None:
    right = printed("seats-verify", rollcall("seats", "verify", "--json"))
    story.execute("UPDATE balances SET used = 9")
    wrong = rollcall("seats", "verify", "-o", "acme")
    mended = printed("seats-verify", rollcall("seats", "verify", "--repair", "--json"))
    story.execute("DELETE FROM outbox WHERE type = 'rollcall.seat.consumed'")
    beyond = rollcall("seats", "verify", "--repair")

    assert right == {"organisations": 1, "entries": 1, "announced": 1, "balances": 1, "off": [], "repaired": 0}
    assert "acme: balance credit 2026-01-01T00:00:00.000000Z: the balance says 9, its entries 1" in wrong.stdout
    assert (wrong.exit_code, beyond.exit_code) == (1, 1)
    assert (mended["repaired"], [off["what"] for off in mended["off"]]) == (1, ["balance"])
    assert "acme: not announced" in beyond.stdout
    assert refused("seats", "verify", "-o", "nobody") == "There is no organisation 'nobody'."


def test_a_ledger_without_anything_to_review_says_just_that(story: World, rollcall: Rollcall) -> None:
    assert "Nothing is to be reviewed." in rollcall("seats", "ledger", "-o", "acme", "--review").stdout
