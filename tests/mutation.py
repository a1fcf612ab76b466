"""Changes what decides, one place at a time, and shows which changes no fast test sees: `make mutants`. Of one module,
by some of the tests: `python -m tests.mutation tasks/seats/rules.py tests/seats`.

A pytest plugin. One run collects the fast tests and notes which of them call which function. Then each mutant of a
function is tried in a fork, where the function's code is exchanged, by the tests that call it, the cheapest first. What
a module says outside of functions is not changed: a fork is too late for it. What needs servers is tried by the tests
that `-m` chooses in place of the fast ones: `python -m tests.mutation tasks/intake/*.py tests/events -m 'not slow'`.
As that takes long, `--sample=40 --seed=7` tries but so many mutants, which the seed chooses: the same ones each time;
`tasks/intake/batch.py::Batch` means those alone of what begins so; and `--again=FILE` those that survived by the output
in FILE, for other tests to try.
"""

import ast
import gc
import os
import random
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import _lru_cache_wrapper
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from config.embedded import embedded_services
from tests import conftest

ROOT = Path(__file__).parents[1]

#: What decides without I/O.
MODULES = ["tasks/*/rules.py", "tasks/enrolments/timeline.py", "tasks/events/awaited.py"]

#: Seconds of one test after which a mutant counts as seen: it never ends.
DEADLINE = 120

#: Mutants tried at once.
AT_ONCE = 2

#: The greatest number that a process can end with.
MOST = 255

#: The mutants that nobody can tell from what they were made of, a line each, below the reason.
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")

_COMPARED: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is], ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
}  # fmt: skip
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Mod: ast.Mult,
}  # fmt: skip
_SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """A function whose code was changed at one place."""

    path: str
    line: int
    function: str
    what: str
    code: CodeType

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.function}: {self.what}"

    @property
    def name(self) -> str:
        """What it is known by in `EQUIVALENT`, wherever its line stands by now."""
        return f"{self.path} {self.function}: {self.what}"

    @property
    def full(self) -> str:
        """Its module, as its code names it."""
        return str(ROOT / self.path)


def _instead(node: ast.AST) -> Iterator[ast.AST]:  # noqa: PLR0912 - a case for each kind
    """What may stand in the place of a node."""
    match node:
        case ast.Compare(ops=[op]):
            for other in _COMPARED[type(op)]:
                yield ast.Compare(node.left, [other()], node.comparators)
        case ast.Compare():
            for at, op in enumerate(node.ops):
                for other in _COMPARED[type(op)]:
                    yield ast.Compare(node.left, [*node.ops[:at], other(), *node.ops[at + 1 :]], node.comparators)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
            for at in range(len(node.values)):
                rest = node.values[:at] + node.values[at + 1 :]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.UnaryOp(op=ast.USub()):
            yield node.operand
        case ast.BinOp() if type(node.op) in _COMPUTED:
            yield ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
        case ast.Constant(value=bool(said)):
            yield ast.Constant(not said)
        case ast.Constant(value=int(number)):
            yield ast.Constant(number + 1)
        case ast.Constant(value=str(text)):
            yield ast.Constant(text + "?")
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.If(test=ast.Name() | ast.Attribute() | ast.Call()) | ast.While():
            yield type(node)(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.Call(func=ast.Name(id=name)) if name in _SWAPPED:
            yield ast.Call(ast.Name(_SWAPPED[name], ast.Load()), node.args, node.keywords)
        case ast.Call(keywords=[_, *_]):
            for at in range(len(node.keywords)):
                yield ast.Call(node.func, node.args, node.keywords[:at] + node.keywords[at + 1 :])
        case ast.Return(value=ast.expr()) if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Slice() if node.lower is not None or node.upper is not None:
            yield ast.Slice()


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of every function of a module."""
    name = str(path.relative_to(ROOT))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    seen = set()
    places: list[tuple[ast.AST, str, int | None, ast.AST, str]] = []
    for function, qualified in _functions(tree):
        for parent, field_, index, node in _nodes(function):
            places += [(parent, field_, index, other, qualified) for other in _instead(node)]
    for parent, field_, index, other, qualified in places:
        before: Any = getattr(parent, field_)
        old = before if index is None else before[index]
        new = ast.copy_location(deepcopy(other), old)
        ast.fix_missing_locations(new)
        if index is None:
            setattr(parent, field_, new)
        else:
            before[index] = new
        try:
            code = _code(compile(tree, str(path), "exec"), qualified)
            what = f"{_shown(old)}  ->  {_shown(new)}"
        finally:
            if index is None:
                setattr(parent, field_, before)
            else:
                before[index] = old
        if code is not None and (key := (old.lineno, qualified, what)) not in seen:
            seen.add(key)
            yield Mutant(name, old.lineno, qualified, what, code)


def _shown(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split("\n", 1)[0].split())[:110]


def _functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, node.name
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield inner, f"{node.name}.{inner.name}"


def _nodes(function: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Each node in a function's body, and where it stands; without annotations, docstrings and prose."""
    for name, said in ast.iter_fields(function):
        if name in {"decorator_list", "args", "returns", "annotation", "type_params"} and not isinstance(
            function, ast.Lambda | ast.Call
        ):
            continue
        for index, node in enumerate(said) if isinstance(said, list) else [(None, said)]:
            if not isinstance(node, ast.AST) or isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert):
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            yield function, name, index, node
            yield from _nodes(node)


def _code(module: CodeType, qualified: str) -> CodeType | None:
    for name in qualified.split("."):
        found = [one for one in module.co_consts if isinstance(one, CodeType) and one.co_name == name]
        if len(found) != 1:
            return None
        module = found[0]
    return module


def exchange(mutant: Mutant) -> None:
    """Put a mutant in the place of what it was made of."""
    gc.unfreeze()  # what was there when the tests were collected is frozen, and no object that the collector shows
    for one in gc.get_objects():
        if isinstance(one, FunctionType):
            was = one.__code__
            if (was.co_filename, was.co_qualname) == (mutant.full, mutant.function):
                if mutant.code.co_freevars:
                    one.__code__ = mutant.code
                else:  # a function keeps the cells that it has, also if the mutant calls no `super()`
                    one.__code__ = mutant.code.replace(co_freevars=was.co_freevars)
                for user in gc.get_referrers(one):
                    if isinstance(user, _lru_cache_wrapper):
                        user.cache_clear()  # of what it said before it was changed


class Mutation:
    """Tries mutants, once the tests are collected."""

    def __init__(
        self, patterns: list[str], sample: int | None = None, seed: int = 0, again: Path | None = None
    ) -> None:
        self.sample, self.seed = sample, seed
        self.again = None if again is None else set(again.read_text(encoding="utf-8").splitlines())
        self.wanted: dict[Path, str] = {}
        for pattern in patterns or MODULES:
            files, _, begins = pattern.partition("::")
            self.wanted |= dict.fromkeys(sorted(ROOT.glob(files)), begins)
        self.calls: defaultdict[tuple[str, str], set[pytest.Item]] = defaultdict(set)
        self.seconds: dict[pytest.Item, float] = {}
        self.equivalent = set(EQUIVALENT.read_text(encoding="utf-8").splitlines())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Note who calls what, in a first run that must pass; then try every mutant."""
        with _servers(session):
            return self._try(session)

    def _try(self, session: pytest.Session) -> bool:
        self._note(session)
        if session.testsfailed:
            return True
        self._leave_out_what_fails_in_a_fork(session)
        every = [
            mutant
            for path, begins in self.wanted.items()
            for mutant in mutants(path)
            if mutant.function.startswith(begins) and (self.again is None or f"survived {mutant}" in self.again)
        ]
        if self.sample is not None and self.sample < len(every):
            print(f"\nof {len(every)} mutants {self.sample}, chosen by seed {self.seed}")  # noqa: T201
            every = random.Random(self.seed).sample(every, self.sample)  # noqa: S311 - the same ones each time
        survived, late = [], 0
        running: dict[int, tuple[Mutant, list[pytest.Item], int]] = {}
        slots = set(range(1, AT_ONCE + 1))
        for n, mutant in enumerate([*every, *[None] * AT_ONCE]):
            while running and (len(running) == AT_ONCE or mutant is None):
                pid, status = os.wait()
                tried, tests, slot = running.pop(pid)
                slots.add(slot)
                if os.WIFSIGNALED(status):
                    late += 1
                    print(f"\nout of time {tried}", end="", flush=True)  # noqa: T201
                elif status:
                    self._note_seen(tests, status)
                elif tried.name not in self.equivalent:
                    survived.append(tried)
                    print(f"\nsurvived {tried}", end="", flush=True)  # noqa: T201
                if mutant is not None:
                    break
            if mutant is not None:
                tests = sorted(self.calls[mutant.full, mutant.function], key=lambda item: self.seconds[item])
                slot = slots.pop()
                running[self._fork(session, mutant, tests, slot)] = (mutant, tests, slot)
                print(f"\r{n}/{len(every)} ", end="", file=sys.stderr, flush=True)  # noqa: T201
        self._report(every, survived, late)
        return True

    def _note(self, session: pytest.Session) -> None:
        ours = {str(path) for path in self.wanted}
        for at, item in enumerate(session.items):
            began = time.process_time()
            with calls_of(ours) as called:
                after = session.items[at + 1] if at + 1 < len(session.items) else None
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            self.seconds[item] = time.process_time() - began
            for code in called:
                function = code.co_qualname.split(".<locals>")[0]
                self.calls[code.co_filename, function].add(item)

    def _leave_out_what_fails_in_a_fork(self, session: pytest.Session) -> None:
        """A test that cannot stand one, with nothing changed, would see every mutant."""
        tests = sorted({test for them in self.calls.values() for test in them}, key=lambda item: self.seconds[item])
        unchanged = Mutant("", 0, "", "", (lambda: None).__code__)
        while tests:
            _, status = os.waitpid(self._fork(session, unchanged, tests[: MOST - 1], 1), 0)
            if os.WIFSIGNALED(status):
                raise TimeoutError(
                    f"with nothing changed, a test takes longer than {DEADLINE} s: the machine is too busy"
                )
            place = os.waitstatus_to_exitcode(status)
            if place == 0:
                tests = tests[MOST - 1 :]
                continue
            found, tests = tests[place - 1], tests[place:]
            print(f"left out, as it fails in a fork: {found.nodeid}")  # noqa: T201
            for them in self.calls.values():
                them.discard(found)

    def _note_seen(self, tests: list[pytest.Item], status: int) -> None:
        """A test that has seen one mutant goes first: it will see others."""
        place = os.waitstatus_to_exitcode(status) - 1
        if 0 <= place < len(tests):
            self.seconds[tests[place]] = 0

    def _fork(self, session: pytest.Session, mutant: Mutant, tests: list[pytest.Item], slot: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        conftest.WORKER = f"gw{slot}"  # its number in Valkey is its own
        session.config.pluginmanager.unregister(name="terminalreporter")
        exchange(mutant)
        failed = 0
        try:
            for place, item in enumerate(tests, 1):
                signal.alarm(DEADLINE)
                item.config.hook.pytest_runtest_protocol(
                    item=item, nextitem=tests[place] if place < len(tests) else None
                )
                if session.testsfailed:
                    failed = min(place, MOST)
                    break
        except BaseException:  # noqa: BLE001 - whatever it was, it is seen
            failed = MOST
        os._exit(failed)

    def _report(self, every: list[Mutant], survived: list[Mutant], late: int) -> None:
        print("\n")  # noqa: T201
        for path in dict.fromkeys(mutant.path for mutant in every):
            here = [mutant for mutant in every if mutant.path == path]
            print(f"{path}: {self._counted(here, survived)}")  # noqa: T201
        print(f"all: {self._counted(every, survived)}; out of time {late} of those seen")  # noqa: T201

    def _counted(self, every: list[Mutant], survived: list[Mutant]) -> str:
        same = sum(mutant.name in self.equivalent for mutant in every)
        left = len(set(survived) & set(every))
        return f"{len(every)} mutants, {len(every) - same - left} seen, {same} equivalent, {left} survived"


@contextmanager
def calls_of(modules: Collection[str]) -> Iterator[set[CodeType]]:
    """What of these modules is called within the block, also by threads that begin in it."""
    called: set[CodeType] = set()

    def hear(frame: Any, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename in modules:
            called.add(frame.f_code)

    threading.setprofile(hear)
    sys.setprofile(hear)
    try:
        yield called
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


@contextmanager
def _servers(session: pytest.Session) -> Iterator[None]:
    """Keep the servers that some of the tests need, so that no fork has to start them."""
    if not any(conftest.SERVERS & set(getattr(item, "fixturenames", ())) for item in session.items):
        yield
        return
    home = conftest.home_of_servers(session.config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
    with embedded_services(home, database=True, redis=True, smtp=False, durable=False):
        yield


if __name__ == "__main__":
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", type=Path)
    chosen, words = parser.parse_known_args()
    modules = [word for word in words if word.startswith("tasks/")]
    options = [word for word in words if word not in modules]
    plain = ["-m", "fast", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=fast"]
    sys.exit(pytest.main([*plain, *options], plugins=[Mutation(modules, chosen.sample, chosen.seed, chosen.again)]))
