"""Numbers that take long to count are counted for many who look at once, and never kept where they cost little."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from config import recent
from config.recent import Recent

#: Seconds that an answer is kept here.
SECONDS = 3.0


class Clock:
    """The time, which passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """What `time.monotonic` would say."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of what is recent."""
    made = Clock()
    monkeypatch.setattr(recent, "time", made)
    return made


class Counted:
    """A number that is one more each time that it is counted."""

    def __init__(self, size: int) -> None:
        self.n = size

    def __call__(self) -> int:
        """Count."""
        self.n += 1
        return self.n


def of(engine: Engine) -> Any:
    """A connection, as far as it matters here."""
    return SimpleNamespace(engine=engine)


@pytest.fixture
def engine() -> Engine:
    """A database that nobody connects to."""
    return create_engine("postgresql+psycopg://")


def test_what_is_dear_is_asked_once_in_so_many_seconds(clock: Clock, engine: Engine) -> None:
    count, kept = Counted(1000), Recent[int](SECONDS, lambda n: n > 1000)

    answers = []
    for passed in (0.0, 2.9, 0.2, 2.8):
        clock.now += passed
        answers.append(kept.ask(of(engine), "all", count))

    assert answers == [1001, 1001, 1002, 1002]
    assert kept.ask(of(engine), "others", count) == 1003
    assert kept.ask(of(create_engine("postgresql+psycopg://")), "all", count) == 1004, "another database"


def test_what_takes_long_is_kept_for_longer(clock: Clock, engine: Engine) -> None:
    kept = Recent[int](SECONDS, lambda n: n > 1000)

    def slow() -> int:
        clock.now += 2.0
        return 5000

    answers = [kept.ask(of(engine), "all", slow)]
    for passed in (7.9, 0.1):  # ten seconds after it was asked for
        clock.now += passed
        answers.append(kept.ask(of(engine), "all", Counted(9000)))

    assert answers == [5000, 5000, 9001]


def test_what_costs_little_is_always_asked(clock: Clock, engine: Engine) -> None:
    count, kept = Counted(0), Recent[int](SECONDS, lambda n: n > 1000)

    assert [kept.ask(of(engine), "all", count) for _ in range(3)] == [1, 2, 3]
    assert clock.now == 100.0


def test_while_one_asks_anew_the_others_get_the_last_answer_but_not_for_long(clock: Clock, engine: Engine) -> None:
    count, kept = Counted(1000), Recent[int](SECONDS, lambda n: n > 1000)
    kept.ask(of(engine), "all", count)
    clock.now += SECONDS

    def ask_meanwhile() -> int:
        meanwhile.append(kept.ask(of(engine), "all", count))
        clock.now += 10 * SECONDS
        meanwhile.append(kept.ask(of(engine), "all", count))
        return 9000

    meanwhile: list[int] = []
    assert kept.ask(of(engine), "all", ask_meanwhile) == 9000
    assert meanwhile == [1001, 1002]


def test_what_goes_wrong_is_nobodys_answer(clock: Clock, engine: Engine) -> None:
    count, kept = Counted(1000), Recent[int](SECONDS, lambda n: n > 1000)
    kept.ask(of(engine), "all", count)
    clock.now += SECONDS

    def fail() -> int:
        raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        kept.ask(of(engine), "all", fail)
    assert kept.ask(of(engine), "all", count) == 1002


def test_few_answers_are_kept(clock: Clock, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST", 2)
    count, kept = Counted(1000), Recent[int](SECONDS, lambda n: n > 1000)

    assert [kept.ask(of(engine), key, count) for key in ("a", "b", "c", "a")] == [1001, 1002, 1003, 1004]
    assert clock.now == 100.0


def test_who_asks_while_there_is_no_answer_waits_for_the_first(engine: Engine) -> None:
    kept, begun, go = Recent[int](SECONDS, lambda n: n > 1000), threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        assert go.wait(10)
        return 5000

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(kept.ask, of(engine), "all", slow)
        assert begun.wait(10)
        second = pool.submit(kept.ask, of(engine), "all", Counted(9000))
        go.set()

    assert (first.result(), second.result()) == (5000, 5000)


def test_who_waited_for_what_costs_little_asks_too(engine: Engine) -> None:
    kept, begun, go = Recent[int](SECONDS, lambda n: n > 1000), threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        assert go.wait(10)
        return 5

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(kept.ask, of(engine), "all", slow)
        assert begun.wait(10)
        second = pool.submit(kept.ask, of(engine), "all", Counted(6))
        go.set()

    assert (first.result(), second.result()) == (5, 7)
