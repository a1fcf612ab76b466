"""The SQL of the code, read: each statement with the function that runs it, and what in it names no organisation."""

import ast
import importlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from config.sql import query
from tests.sources import ROOT, files, nodes_of, tree_of, walk

#: The helpers of `config.database` that run SQL, and which of their arguments it is.
HELPERS = {
    "execute": 1, "changes_any": 1, "later": 1, "column": 1, "tuples": 1, "value": 1, "is_true": 1, "integer": 1,
    "rows": 2, "soon": 2, "numbered_rows": 2, "one": 2, "the_one": 2, "bound": 0, "Report": 0,
}  # fmt: skip

#: Functions that are handed SQL, which is read where they are called.
HANDED = {"tasks.reports.export.bound", "tasks.reports.export.query", "tasks.reports.export.stream_rows"}

#: Methods of connections and cursors that run SQL.
RUNS_SQL = {"execute", "executemany", "exec_driver_sql", "cursor", "copy"}


@dataclass(frozen=True)
class Statement:
    """A statement, and the function whose question it is."""

    function: str
    text: str


@cache
def statements() -> tuple[Statement, ...]:
    """Every statement that the code runs. SQL that cannot be read from the source raises."""
    return tuple(_statements())


def _statements() -> Iterator[Statement]:
    for name, function in _functions():
        if name in HANDED:
            continue
        module = importlib.import_module(name.rpartition(".")[0])
        made = {key: [ast.Constant(text)] for key, text in vars(module).items() if isinstance(text, str)}
        inside = walk(function)
        known = made | _constants(inside)
        for call in inside:
            for node in _sql_of(call):
                for text in _texts(node, known):
                    yield Statement(name, text.replace("{organisation}", ":organisation"))


def past_the_helpers() -> set[str]:
    """The functions that run a statement themselves, or seem to."""
    return {
        name
        for name, function in _functions()
        for call in walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in RUNS_SQL
    }


def _functions() -> Iterator[tuple[str, ast.AST]]:
    """Every function and constant of the code but the helpers themselves, by its name."""
    for path in files("tasks", "workers"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for function in nodes_of(path):
            if isinstance(function, ast.FunctionDef):
                yield f"{name}.{function.name}", function
        for constant in tree_of(path).body:
            if isinstance(constant, ast.Assign):
                yield f"{name}.{ast.unparse(constant.targets[0])}", constant


def _sql_of(call: ast.AST) -> list[ast.expr]:
    if not isinstance(call, ast.Call):
        return []
    if isinstance(call.func, ast.Name) and call.func.id in HELPERS:
        return [call.args[HELPERS[call.func.id]]]
    return call.args if isinstance(call.func, ast.Attribute) and call.func.attr == "SQL" else []


def _constants(body: Sequence[ast.AST]) -> dict[str, Sequence[ast.expr]]:
    """What names stand for in a function: what is assigned to them, or what a loop gives them one after the other."""
    found: dict[str, Sequence[ast.expr]] = {}
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = [node.value]
        elif isinstance(node, ast.For) and isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Tuple):
            found[node.target.id] = node.iter.elts
    return found


def _texts(node: ast.expr, known: Mapping[str, Sequence[ast.expr]]) -> list[str]:
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Call(func=ast.Name(id="query"), args=[ast.Constant(value=str(name))]):
            return [query(name)]
        case ast.Name(id=name) if name in known:
            return [text for value in known[name] for text in _texts(value, known)]
        case ast.IfExp(body=one, orelse=other):
            return _texts(one, known) + _texts(other, known)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            parts = [left, right]
        case ast.JoinedStr(values=parts):
            pass
        case ast.FormattedValue(value=value):
            return _texts(value, known)
        case _:
            raise AssertionError(f"line {node.lineno}: this SQL cannot be read: {ast.unparse(node)}")
    return ["".join(text) for text in itertools.product(*(_texts(part, known) for part in parts))]


@dataclass
class _Scope:
    """One SELECT, INSERT, UPDATE or DELETE, without those within it. `first`: the table that a bare name is of."""

    parent: "_Scope | None"
    text: str = ""
    first: str | None = None
    tables: dict[str, str] = field(default_factory=dict)
    bound: set[str] = field(default_factory=set)

    def holder(self, name: str) -> "_Scope | None":
        """The scope in which a table goes by this name; none where it is what a WITH or a function made."""
        return self if name in self.tables else self.parent.holder(name) if self.parent else None

    def holds(self, name: str | None) -> bool:
        """Whether the rows under this name are known to be of one organisation."""
        holder = self.holder(name) if name else None
        return holder is None or name in holder.bound

    def bind(self, name: str | None) -> None:
        """The rows under this name are of one organisation."""
        if name and (holder := self.holder(name)):
            holder.bound.add(name)


_QUERY = re.compile(r"\(\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b")
_TABLE = re.compile(r"(\bFROM|\bJOIN|\bUPDATE|\bINTO|\bUSING|,)\s+(\w+)(?=(?:\s+AS)?(?:\s+(\w+))?)")
_OTHER_FROM = re.compile(r"\b(?:epoch|DISTINCT) FROM\b")
_NO_NAME = {"SET", "WHERE", "ON", "USING", "JOIN", "LEFT", "CROSS", "ORDER", "GROUP", "LIMIT", "SELECT", "FROM", "FOR"}
_EQUAL = re.compile(r"(?<![\w.:])(?<!\bOR )(?:(\w+)\.)?organisation\s*=\s*(?::organisation\b|(\w+)\.organisation\b)")
_MERGED = re.compile(r"\bJOIN\s+(\w+)(?:\s+(\w+))?\s+USING\s*\(organisation\b")
_INSERTED = re.compile(
    r"\bINTO\s+(\w+)(?:\s+AS\s+(\w+))?\s*\(organisation\b[^)]*\)\s*(?:SELECT\s+(?:DISTINCT\s+)?|VALUES\s*\()"
    r"(:)?(?:(\w+)\.)?organisation\b"
)


def unbound(sql: str, tables: set[str]) -> list[str]:
    """The tables of organisations that a statement touches without saying whose rows: the `organisation` of each must
    be equal to `:organisation`, or to that of one which is, and not as one of two cases."""
    scopes = _scopes(_OTHER_FROM.sub("", re.sub(r"'[^']*'", "''", sql)))
    for scope in scopes:
        for keyword, table, alias in _TABLE.findall(scope.text):
            named = alias if alias and alias not in _NO_NAME else ""
            if keyword in {"FROM", "UPDATE"} and scope.first is None:
                scope.first = named or table
            if table in tables and (named or keyword != ","):
                scope.tables[named or table] = table
    before = -1
    while before != (before := sum(len(scope.bound) for scope in scopes)):
        for scope in scopes:
            _bind(scope)
    return [name for scope in scopes for name in scope.tables if name not in scope.bound]


def _scopes(sql: str) -> list[_Scope]:
    found = [_Scope(None)]
    open_ = [found[0]]
    for position, character in enumerate(sql):
        if character == ")":
            open_.pop()
        elif sql.startswith("UNION", position):
            found.append(_Scope(open_[-1].parent))
            open_[-1] = found[-1]
        open_[-1].text += character
        if character == "(":
            if _QUERY.match(sql, position):
                found.append(_Scope(open_[-1]))
            open_.append(found[-1] if _QUERY.match(sql, position) else open_[-1])
    return found


def _bind(scope: _Scope) -> None:
    """Bind what is equal to what is bound already."""
    for left, right in _EQUAL.findall(scope.text):
        if scope.holds(right):
            scope.bind(left or scope.first)
        elif scope.holds(left or scope.first):
            scope.bind(right)
    for table, alias in _MERGED.findall(scope.text):
        if scope.holds(scope.first):
            scope.bind(alias or table)
        elif scope.holds(alias or table):
            scope.bind(scope.first)
    for table, alias, parameter, source in _INSERTED.findall(scope.text):
        if parameter or scope.holds(source or scope.first):
            scope.bind(alias or table)
