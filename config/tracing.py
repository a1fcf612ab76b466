"""One id from an event to everything that follows from it: the `traceparent` of W3C Trace Context that a CloudEvent may
carry.

What a transaction writes while a trace is known keeps it: the column `traceparent` of events out, work, fan-outs and
mailings has it by default from the transaction. Each line of the log says it, as `trace_id`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

#: Version, trace, parent and flags; neither the trace nor the parent is all zeros.
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

#: The trace that this thread, or task, works for.
TRACE: ContextVar[str | None] = ContextVar("trace", default=None)


def read(said: object) -> str | None:
    """A trace as an event carries it, or None where it is none: no event is refused for that."""
    return said if isinstance(said, str) and _FORM.fullmatch(said) else None


def trace_id(traceparent: str) -> str:
    """The part of it that is the same from the first event to the last."""
    return traceparent.split("-")[1]


@contextmanager
def tracing(traceparent: str | None) -> Iterator[None]:
    """Work for a trace within the block, if there is one."""
    if traceparent is None:
        yield
        return
    token = TRACE.set(traceparent)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=trace_id(traceparent)):
            yield
    finally:
        TRACE.reset(token)
