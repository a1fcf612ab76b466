"""A class name means one thing in the whole project."""

import ast
from pathlib import Path

from tests.sources import ROOT, files, nodes_of


def classes_of(root: Path = ROOT) -> dict[str, list[str]]:
    """Where each class name is given, inside of functions and of other classes included."""
    found: dict[str, list[str]] = {}
    for file in files("config", "tasks", "workers", root=root):
        for node in nodes_of(file):
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


#: Words that once meant something of our own, and the standard ones (docs/glossary.md has those of the field).
PRIVATE = {
    "announced": "shown, or announces",
    "foretaste": "preview",
    "held": "deferred, or unresolved",
    "kept": "stored",
    "lean": "minify",
    "locksmith": "signing keys",
    "look": "what it looks for",
    "posted": "what was posted",
    "stints": "enrolment periods",
    "taken": "what was done with it",
    "taking": "context",
    "tell": "announce",
    "told": "outgoing, or translated",
    "wire": "connection",
}


def names_of(root: Path = ROOT) -> dict[str, list[str]]:
    """Where each class, function and module is named, in small letters and without the line before a private one."""
    found: dict[str, list[str]] = {}
    for file in files("config", "tasks", "workers", root=root):
        found.setdefault(file.stem.strip("_").lower(), []).append(str(file.relative_to(root)))
        for node in nodes_of(file):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.setdefault(node.name.strip("_").lower(), []).append(f"{file.relative_to(root)}:{node.lineno}")
    return found


def test_nothing_is_named_by_a_private_word() -> None:
    named = names_of()

    assert len(named) > 2500
    assert {word: named[word] for word in PRIVATE if word in named} == {}, "use the standard word"


def test_a_private_word_is_found(tmp_path: Path) -> None:
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "wire.py").write_text("class Taken:\n    async def _look(self): ...", encoding="utf-8")

    assert {word: places for word, places in names_of(tmp_path).items() if word in PRIVATE} == {
        "wire": ["workers/wire.py"],
        "taken": ["workers/wire.py:1"],
        "look": ["workers/wire.py:2"],
    }
