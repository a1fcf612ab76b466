"""The end of a process: none lives on with a part of it dead, and none stays because a part of it does not end."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from config.log import without_data
from config.runtime import Runtime

log = structlog.get_logger()

#: Seconds that a process which ends itself has beyond its drain time; then it ends whatever still runs in it.
PATIENCE_SECONDS = 5.0


@contextmanager
def ending_with_its_threads(runtime: Runtime) -> Iterator[None]:
    """Tell a process to stop if one of its threads dies of an error, and end it with exit code 1 then; as well if the
    block itself fails. What is logged quotes nobody's data, as a traceback might."""
    died: list[str] = []

    def thread_died(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "?"
        problem = args.exc_value or args.exc_type()
        log.critical("process.thread_died", thread=name, **without_data(problem))
        died.append(name)
        runtime.stopping.set()
        _end_soon(runtime)

    before, threading.excepthook = threading.excepthook, thread_died
    try:
        yield
    except Exception as problem:  # noqa: BLE001 - whatever it was, the process ends of it
        log.critical("process.failed", **without_data(problem))
        _end_soon(runtime)
        raise SystemExit(1) from None
    finally:
        threading.excepthook = before
    if died:
        raise SystemExit(1)


def _end_soon(runtime: Runtime) -> None:
    """See to it that the process ends, also where something in it never does."""
    last = threading.Timer(runtime.settings.rollcall_drain_seconds + PATIENCE_SECONDS, os._exit, (1,))
    last.daemon = True
    last.start()
