"""A class name means one thing in the whole project."""

import ast
from pathlib import Path

from tests.architecture.writes import ROOT


def classes_of(root: Path = ROOT) -> dict[str, list[str]]:
    """Where each class name is given, inside of functions and of other classes included."""
    found: dict[str, list[str]] = {}
    for file in sorted(file for room in ("config", "tasks", "workers") for file in (root / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(f"{file.relative_to(root)}:{node.lineno}")
    return found


def used_twice(root: Path = ROOT) -> dict[str, list[str]]:
    """Class names that stand for several things, with where."""
    return {name: places for name, places in classes_of(root).items() if len(places) > 1}


def test_a_class_name_means_one_thing() -> None:
    assert len(classes_of()) > 400
    assert used_twice() == {}, "give each a name that says what it is where it is used"


def test_a_name_that_is_used_twice_is_found(tmp_path: Path) -> None:
    for room, code in (
        ("config", "class Wanted: ..."),
        ("workers", "def f():\n    class Wanted: ...\nclass Other: ..."),
    ):
        (tmp_path / room).mkdir()
        (tmp_path / room / "module.py").write_text(code, encoding="utf-8")

    assert used_twice(tmp_path) == {"Wanted": ["config/module.py:1", "workers/module.py:2"]}
