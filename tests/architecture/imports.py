"""Who imports whom: read from the sources, those for type checkers and those inside of functions included."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.sources import ROOT, files, nodes_of


class Import(NamedTuple):
    """One import of a module of ours, and what it takes of it; `names` is empty where it is the module itself."""

    importer: str
    line: int
    module: str
    names: tuple[str, ...]


def imports_of(root: Path = ROOT) -> Iterator[Import]:
    """Every import of a module of ours in the sources of a checkout."""
    for file in files("config", "tasks", "workers", "migrations", root=root):
        parts = file.relative_to(root).with_suffix("").parts
        package = parts[:-1]
        importer = ".".join(package if parts[-1] == "__init__" else parts)
        for node in nodes_of(file):
            if isinstance(node, ast.Import):
                yield from (Import(importer, node.lineno, alias.name, ()) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) + 1 - node.level] if node.level else ()
                module = ".".join([*base, *([node.module] if node.module else [])])
                yield Import(importer, node.lineno, module, tuple(alias.name for alias in node.names))


def room_of(module: str) -> str:
    """The top folder that a module is in."""
    return module.split(".", maxsplit=1)[0]


def part_of(module: str) -> str:
    """The part of `tasks` that a module is: a capability, or a module beside them."""
    return ".".join(module.split(".")[1:2])


def is_module(name: str, root: Path = ROOT) -> bool:
    """Whether this is a module or package of ours."""
    path = root.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()
