"""The words of explanations, and the cause of an access or of its lack: R3."""

import re
from pathlib import Path

import pytest

from tasks.explaining.rules import WHY, Step, explained, of_access, step
from tests.world import DAWN

RULES = Path(__file__).parents[2] / "docs" / "rules.md"


def test_each_step_names_rules_that_there_are_and_says_what_it_means() -> None:
    known = set(re.findall(r"\*\*([RS][0-9]+)\b", RULES.read_text(encoding="utf-8")))

    assert {rule for why in WHY.values() for rule in why.rules} <= known
    assert all(why.words and not why.words.endswith(".") for why in WHY.values())


def test_a_step_and_an_explanation_say_what_their_code_means() -> None:
    active = step(DAWN, "became active", detail="e1")

    assert active == Step(DAWN, "became active", WHY["became active"].words, ["R1", "R4"], detail="e1")
    assert explained("access", "has access", [active]).answer == WHY["has access"].words
    with pytest.raises(KeyError):
        step(DAWN, "no such thing")


@pytest.mark.parametrize(
    ("active", "missing", "steps", "because"),
    [
        (True, [], [], "has access"),
        (False, ["active"], [], "became inactive"),
        (False, ["active", "not on hold"], [], "became inactive"),
        (True, ["not on hold"], [], "on hold"),
        (True, ["enrolled"], [], "never enrolled"),
        (True, ["not withdrawn"], ["withdrawn by rule", "withdrawn by name"], "withdrawn by name"),
        (True, ["not withdrawn"], ["withdrawn by name", "started", "withdrawn by rule"], "withdrawn by rule"),
        (True, ["not withdrawn"], ["withdrawn by rule", "withdrawn by rule", "withdrawn by name"], "withdrawn by name"),
    ],
)
def test_r03_what_gives_access_or_takes_it(active: bool, missing: list[str], steps: list[str], because: str) -> None:
    assert of_access(active, missing, [step(DAWN, what) for what in steps]) == because
