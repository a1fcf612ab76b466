"""A rule's number in code or in a test's name leads to the rule."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_rule_that_is_named_is_written_down() -> None:
    written = set(re.findall(r"\*\*([RS]\d+)\b", (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")))
    named: dict[str, str] = {}
    for folder in ("config", "tasks", "workers", "migrations", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for rule in re.findall(r"\b([RS]\d{1,2})\b(?!\d)", text) + [
                f"{letter.upper()}{int(number)}" for letter, number in re.findall(r"_([rs])(\d\d)_", text)
            ]:
                named.setdefault(rule, str(path.relative_to(ROOT)))

    assert {rule: where for rule, where in named.items() if rule not in written} == {}
