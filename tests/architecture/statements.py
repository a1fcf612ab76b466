"""Every statement that stands in the sources, as it is sent: in files, in constants, and in what functions say."""

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from config.sql import query
from tests.sources import ROOT, files, tree_of, walk

#: What begins a statement that PostgreSQL prepares.
BEGINS = re.compile(r"\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH)\s")

#: What SQL has, wherever it begins.
_SQL = re.compile(r"\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM)\b")


class Statement(NamedTuple):
    """A text that is a statement, or the beginning of one, and where it stands. `name`: of the constant, or of the
    function that says it. `text` is None if something is spliced in that is known only when the function runs."""

    module: str
    name: str
    line: int
    text: str | None


@cache
def statements() -> tuple[Statement, ...]:
    """All of them, those in files first."""
    in_files = [
        Statement(
            ".".join(file.relative_to(ROOT).with_suffix("").parts), file.stem, 1, query(f"{file.parts[-3]}.{file.stem}")
        )
        for file in sorted(ROOT.glob("tasks/*/sql/*.sql"))
    ]
    return (*in_files, *(found for source in files("config", "tasks", "workers") for found in in_source(source)))


def in_source(file: Path, root: Path = ROOT) -> Iterator[Statement]:
    """Those of a module: what its constants are once it is imported, and what its functions say."""
    tree = tree_of(file)
    parts = file.relative_to(root).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    texts = [*_texts(tree, "")]
    if not any(BEGINS.match(_beginning(node)) for _, node in texts):
        return
    module = importlib.import_module(name)
    constants = {
        target.id: node.lineno
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in walk(node)
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
    }
    for constant, line in constants.items():
        said = getattr(module, constant, None)
        for one in said if isinstance(said, tuple) else (said,):
            if isinstance(one, str) and BEGINS.match(one):
                yield Statement(name, constant, line, one)
    for function, node in texts:
        if function and BEGINS.match(_beginning(node)):
            yield Statement(name, function, node.lineno, _evaluated(node, module))


def long_texts(most: int, root: Path = ROOT) -> set[str]:
    """The constants and functions of `tasks` and `workers` that hold SQL of more than so many lines, put together of
    parts or not."""
    found: set[str] = set()
    for file in files("tasks", "workers", root=root):
        module = ".".join(file.relative_to(root).with_suffix("").parts)
        for top in tree_of(file).body:
            named = ast.unparse(top.targets[0]) if isinstance(top, ast.Assign) else ""
            for function, node in _texts(ast.Module([top], []), ""):
                if (node.end_lineno or 0) - node.lineno >= most and _SQL.search(ast.unparse(node)):
                    found.add(f"{module}.{function or named}")
    return found


def _texts(node: ast.AST, function: str) -> Iterator[tuple[str, ast.expr]]:
    """The texts below a node, each as much as is put together at once, with the function or class that says it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue  # a docstring
        if isinstance(child, ast.expr) and _is_text(child):
            yield function, child
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _texts(child, f"{function}.{child.name}".lstrip("."))
        else:
            yield from _texts(child, function)


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and (_is_text(node.left) or _is_text(node.right))
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "format" and _is_text(node.func.value)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _beginning(node: ast.expr) -> str:
    """How a text begins, as far as the source says so."""
    if isinstance(node, ast.BinOp):
        return _beginning(node.left)
    if isinstance(node, ast.Call):
        return _beginning(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _evaluated(node: ast.expr, module: ModuleType) -> str | None:
    try:
        return str(eval(compile(ast.Expression(node), module.__name__, "eval"), vars(module)))  # noqa: S307 - our source
    except (NameError, AttributeError):
        return None
