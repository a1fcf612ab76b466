"""What somebody sends is read in a time that grows with its length, and not with the square of it (R31)."""

import math
import re
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.scale.hostile_text import attacks, patterns
from tests.scale.readers import READERS, REPEATED, TEXTS

#: Characters of a hostile text for a reader and for a single pattern, and how many times as long the next is.
LENGTH, OF_A_PATTERN, LONGER = 1_500, 4_000, 6

#: How many times as long a longer text may take; the square of its length would be 36. What takes more than that is
#: compared with one twice as long again, of which the square would be 4: what is given up after a bound takes no longer
#: then. What else runs on the machine only ever lengthens a time, so the least of some tries counts, of each.
TIMES, TIMES_TWICE, TRIES = 16, 3, 4

#: A pattern that takes the square of a text of so many letters, on every machine.
STRAY, LETTERS = re.compile("a*b"), 2_000

#: Patterns that are not tried by themselves. The table of answers has hundreds: they are tried together, by what reads
#: an answer. The page in which comments for Outlook are looked for is ours, and none of an author's is left in it. What
#: looks for strays stops at the first.
BESIDES = {
    "tasks.mail.sending.answers:_COMPILED",
    "tasks.mail.composing.merge:_SLOT_OR_STRAY",
}

_ROOT = Path(__file__).parents[2]


@cache
def _sources() -> dict[str, str]:
    return {
        ".".join(path.relative_to(_ROOT).with_suffix("").parts): path.read_text()
        for room in ("tasks", "workers")
        for path in (_ROOT / room).rglob("*.py")
    }


def _is_at_one_place(name: str) -> bool:
    """Whether a pattern is only ever looked for at one place of a text."""
    module, _, said = name.partition(":")
    where = [_sources()[module.removesuffix(".__init__")]] if said.startswith("_") else _sources().values()
    use = re.compile(rf"\b{said}\.(match|fullmatch|search|sub|finditer|findall|split)\b")
    methods = {one for source in where for one in use.findall(source)}
    return bool(methods) and methods <= {"match", "fullmatch"}


def _seconds(do: Callable[[], object]) -> float:
    """Of the processor, for this thread: how busy the machine is does not matter."""
    begun = time.thread_time()
    do()
    return time.thread_time() - begun


@cache
def _suspect() -> float:
    """Seconds beyond which it is looked whether it is the length that took them or its square: on this machine, half of
    what the square of `LETTERS` takes."""
    stray = _all_of(STRAY, "a" * LETTERS, at_one_place=False)
    return min(_seconds(stray) for _ in range(TRIES)) / 2


def _is_quadratic(do: Callable[[int], Callable[[], object]], length: int) -> bool:
    """Whether a longer text takes much more than as many times as long, side by side, however often it is tried."""
    once = do(length)
    if _seconds(once) <= _suspect():
        return False
    longer, twice = do(length * LONGER), do(length * LONGER * 2)
    took = took_longer = took_twice = math.inf
    for _ in range(TRIES):
        took = min(took, _seconds(once), _seconds(once))
        took_longer = min(took_longer, _seconds(longer))
        if took_longer <= TIMES * took:
            return False
    for _ in range(TRIES):
        took_longer, took_twice = min(took_longer, _seconds(longer)), min(took_twice, _seconds(twice))
        if took_twice <= TIMES_TWICE * took_longer:
            return False
    return True


def _all_of(pattern: re.Pattern[Any], text: Any, *, at_one_place: bool) -> Callable[[], object]:
    if at_one_place:
        return lambda: (pattern.match(text), pattern.fullmatch(text))
    return lambda: sum(1 for _ in pattern.finditer(text))


def test_r31_no_pattern_takes_the_square_of_a_text() -> None:
    slow = set()
    seen = set[tuple[str, int]]()
    for name, pattern in patterns():
        if name in BESIDES or (str(pattern.pattern), pattern.flags) in seen:
            continue
        seen.add((str(pattern.pattern), pattern.flags))
        at_one_place = _is_at_one_place(name)
        for attack in attacks(pattern):
            if _is_quadratic(lambda n: _all_of(pattern, attack(n), at_one_place=at_one_place), OF_A_PATTERN):  # noqa: B023
                slow.add((name, str(attack(30))))
                break
    assert slow == set()
    assert len(seen) > 60, "these are all patterns of what runs"


def test_what_takes_the_square_of_a_text_is_found_and_what_takes_long_is_not() -> None:
    long = re.compile("(?=(a{0,999}))a")

    def given_up(n: int) -> Callable[[], object]:
        stray = _all_of(STRAY, "a" * LETTERS, at_one_place=False)
        return lambda: [stray() for _ in range(20 if n > LETTERS else 1)]

    assert _is_quadratic(lambda n: _all_of(STRAY, "a" * n, at_one_place=False), LETTERS)
    assert not _is_quadratic(lambda n: _all_of(long, "a" * n, at_one_place=False), 20_000)
    assert not _is_quadratic(given_up, LETTERS)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_r31_no_reader_takes_the_square_of_a_text(reader: str) -> None:
    slow = [kind for kind, text in TEXTS.items() if _is_quadratic(lambda n: READERS[reader](text(n)), LENGTH)]  # noqa: B023
    assert slow == []


@pytest.mark.parametrize("what", REPEATED)
def test_r31_nothing_that_is_repeated_takes_the_square_of_its_number(what: str) -> None:
    assert not _is_quadratic(REPEATED[what], LENGTH)
