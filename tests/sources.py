"""The sources, parsed once for all the tests that look at them."""

import ast
import gc
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


def files(*rooms: str, root: Path = ROOT) -> Iterator[Path]:
    """The modules in these folders of a checkout, folder by folder."""
    for room in rooms:
        yield from sorted((root / room).rglob("*.py"))


@cache
def text_of(file: Path) -> str:
    """What stands in it."""
    return file.read_text(encoding="utf-8")


@cache
def tree_of(file: Path) -> ast.Module:
    """What it is parsed to: for all, so nobody changes it."""
    tree = ast.parse(text_of(file))
    gc.freeze()  # it stays: to look at all of it for garbage, again and again, takes longer than to parse it
    return tree


@cache
def nodes_of(file: Path) -> tuple[ast.AST, ...]:
    """All that its tree is made of, as `walk` finds it."""
    return tuple(walk(tree_of(file)))


def walk(tree: ast.AST) -> list[ast.AST]:
    """What `ast.walk` yields, whatever stands within another after it, but for `Load` and `Store`: in half the time."""
    found = [tree]
    for node in found:
        for value in vars(node).values():
            if isinstance(value, list):
                found.extend([one for one in value if isinstance(one, ast.AST)])
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                found.append(value)
    return found
