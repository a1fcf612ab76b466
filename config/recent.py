"""Numbers that take long to count, as they were a moment ago: of many who look at once, one counts."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

Answer = TypeVar("Answer")

#: Answers that are kept for one engine at most; the oldest go first.
MOST = 1000

#: Times as long as it took to count, for which a number is kept at least: no more is counted than that share of time.
SHARE = 5

#: Seconds that the first answer to a question is waited for, before one asks by oneself.
PATIENCE = 10.0


@dataclass(slots=True)
class _Remembered(Generic[Answer]):
    """An answer, if there is one, when it was asked for (monotonic, seconds), how many seconds it is kept, and whether
    somebody asks now."""

    answer: Answer | None = None
    at: float | None = None
    fresh: float = 0.0
    asking: bool = True
    answered: threading.Event = field(default_factory=threading.Event)


class Recent(Generic[Answer]):
    """Keeps an answer that is `dear` for so many `seconds`. Who asks while there is none waits for whoever asked first.
    After that time the next who asks counts anew, and the others get the last answer meanwhile, unless that takes ten
    times as long. What is not dear is always asked."""

    def __init__(self, seconds: float, dear: Callable[[Answer], bool]) -> None:
        self._seconds, self._dear, self._lock = seconds, dear, threading.Lock()
        self._kept: WeakKeyDictionary[Engine, dict[Hashable, _Remembered[Answer]]] = WeakKeyDictionary()

    def ask(self, connection: Connection, key: Hashable, question: Callable[[], Answer]) -> Answer:
        """The answer to a question, which `key` tells from all others of this database."""
        with self._lock:
            known = self._kept.setdefault(connection.engine, {})
            last = known.get(key)
            if last is None:
                ours = known[key] = _Remembered()
            elif last.at is None:
                ours = None
            elif time.monotonic() - last.at < last.fresh * (10 if last.asking else 1):
                assert last.answer is not None  # noqa: S101 - it has a time
                return last.answer
            else:
                ours = last
                ours.asking = True
        if ours is None:
            assert last is not None  # noqa: S101 - somebody asks
            if last.answered.wait(PATIENCE) and last.answer is not None:
                return last.answer
            return question()
        return self._asked(known, key, ours, question)

    def _asked(
        self,
        known: dict[Hashable, _Remembered[Answer]],
        key: Hashable,
        ours: _Remembered[Answer],
        question: Callable[[], Answer],
    ) -> Answer:
        begun, kept = time.monotonic(), False
        try:
            answer = question()
            kept = self._dear(answer)
        finally:
            with self._lock:
                if known.get(key) is ours and not kept:
                    del known[key]
                if kept:
                    took = time.monotonic() - begun
                    ours.answer, ours.at, ours.asking = answer, begun, False
                    ours.fresh = max(self._seconds, SHARE * took)
                    while len(known) > MOST:
                        del known[next(iter(known))]
                ours.answered.set()
        return answer
