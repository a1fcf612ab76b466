"""Texts that are made to keep a regular expression busy: whatever it looks for, over and over, and never to the end."""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from typing import Any

#: How `re` reads a pattern. Whether their types are known is up to what else is installed.
ops: Any = importlib.import_module("re._constants")
_parser: Any = importlib.import_module("re._parser")

#: Characters tried where a pattern takes any but some.
_ANY = "a \"'<[{(;.-\\1\n"

#: Where our patterns are.
_ROOMS = ("tasks", "workers")


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Every regular expression that a module has, by its name; also those within its tuples and dictionaries."""
    for room in _ROOMS:
        for found in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}."):
            module = importlib.import_module(found.name)
            for name, value in sorted(vars(module).items()):
                yield from ((f"{found.name}:{name}", one) for one in _within(value))


def _within(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from _within(tuple(value.values()))
    elif isinstance(value, tuple):
        for one in value:
            yield from _within(one)


def attacks(pattern: re.Pattern[Any]) -> Iterator[Callable[[int], Any]]:
    """Texts of any length, of the pattern's own type: each begins somehow and goes on with the same, to a false end."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    tree = _parser.parse(source, pattern.flags & ~re.DEBUG)
    begun = sorted({one[:end] for one in _examples(tree) for end in range(1, min(len(one), 24) + 1)}, key=len)
    letters = sorted({letter for one in _letters(tree) for letter in one})[:8]
    texts: Iterable[tuple[str, str]] = (
        *(("\xa7", letter) for letter in letters),
        *(("", part) for part in begun[::-1][:12]),
        *product(begun[:2] + begun[-3:], letters),
        *(("", one + other) for one, other in product(letters[:6], letters[:6]) if one < other),
    )
    for before, again in dict.fromkeys(texts):
        yield partial(_text, before, again, as_octets=isinstance(pattern.pattern, bytes))


def _text(before: str, again: str, length: int, *, as_octets: bool) -> str | bytes:
    text = before + again * (length // len(again)) + "\xa7"
    return text.encode("latin-1", "replace") if as_octets else text


def _letters(tree: Any) -> Iterator[str]:
    """A character or two for each place of a pattern."""
    for op, argument in tree:
        if op is ops.LITERAL:
            yield chr(argument)
        elif op in {ops.ANY, ops.NOT_LITERAL}:
            yield "a"
        elif op is ops.IN:
            yield "".join(letter for letter in _of_set(argument))
        elif op in {ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT}:
            yield from _letters(argument[2])
        elif op is ops.SUBPATTERN:
            yield from _letters(argument[3])
        elif op is ops.BRANCH:
            for branch in argument[1]:
                yield from _letters(branch)
        elif op in {ops.ASSERT, ops.ASSERT_NOT}:
            yield from _letters(argument[1])
        elif op is ops.ATOMIC_GROUP:
            yield from _letters(argument)


_CLASSES = {
    ops.CATEGORY_SPACE: " ",
    ops.CATEGORY_DIGIT: "1",
    ops.CATEGORY_WORD: "a",
    ops.CATEGORY_NOT_SPACE: "a",
    ops.CATEGORY_NOT_DIGIT: "a",
    ops.CATEGORY_NOT_WORD: ".",
}


def _of_set(members: Any) -> str:
    if members and members[0][0] is ops.NEGATE:
        taken = re.compile("[" + "".join(map(_member, members[1:])) + "]")
        return "".join(letter for letter in _ANY if not taken.match(letter))[:3]
    found = ""
    for op, argument in members:
        if op is ops.LITERAL:
            found += chr(argument)
        elif op is ops.RANGE:
            found += chr(argument[0])
        elif op is ops.CATEGORY:
            found += _CLASSES[argument]
    return found[:3] + "".join(letter for letter in found if letter in "-;' ")


_SPELT = {
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_NOT_WORD: r"\W",
}


def _member(member: Any) -> str:
    op, argument = member
    if op is ops.CATEGORY:
        return _SPELT[argument]
    if op is ops.RANGE:
        return f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}"
    return re.escape(chr(argument))


def _examples(tree: Any) -> list[str]:
    """A few texts that a pattern matches, or nearly."""
    found = [""]
    for op, argument in tree:
        if op is ops.LITERAL:
            more = [chr(argument)]
        elif op in {ops.ANY, ops.NOT_LITERAL}:
            more = ["a"]
        elif op is ops.IN:
            more = [_of_set(argument)[:1]]
        elif op in {ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT}:
            more = [example * max(argument[0], 1) for example in _examples(argument[2])]
        elif op is ops.SUBPATTERN:
            more = _examples(argument[3])
        elif op is ops.ATOMIC_GROUP:
            more = _examples(argument)
        elif op is ops.BRANCH:
            more = [example for branch in argument[1][:8] for example in _examples(branch)]
        else:
            continue
        found = [before + after for before in found for after in more[:8]][:8]
    return found
