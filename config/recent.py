"""Numbers that take long to count, as they were a moment ago: of many who look at once, one counts."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

Answer = TypeVar("Answer")

#: Answers that are kept for one engine at most; the oldest go first.
MOST = 1000


@dataclass(slots=True)
class _Kept(Generic[Answer]):
    """An answer, when it was asked for (monotonic, seconds), and whether somebody asks again."""

    answer: Answer
    at: float
    asking: bool = False


class Recent(Generic[Answer]):
    """Keeps an answer that is `dear` for so many `seconds`. After that the next who asks counts anew and, unless that
    takes ten times as long, the others get the last answer meanwhile. What is not dear is always asked."""

    def __init__(self, seconds: float, dear: Callable[[Answer], bool]) -> None:
        self._seconds, self._dear, self._lock = seconds, dear, threading.Lock()
        self._kept: WeakKeyDictionary[Engine, dict[Hashable, _Kept[Answer]]] = WeakKeyDictionary()

    def ask(self, connection: Connection, key: Hashable, question: Callable[[], Answer]) -> Answer:
        """The answer to a question, which `key` tells from all others of this database."""
        begun = time.monotonic()
        with self._lock:
            known = self._kept.setdefault(connection.engine, {})
            last = known.get(key)
            if last is not None:
                if begun - last.at < self._seconds * (10 if last.asking else 1):
                    return last.answer
                last.asking = True
        try:
            answer = question()
        except BaseException:
            with self._lock:
                known.pop(key, None)
            raise
        with self._lock:
            known.pop(key, None)
            if self._dear(answer):
                known[key] = _Kept(answer, begun)
                if len(known) > MOST:
                    known.pop(next(iter(known)))
        return answer
