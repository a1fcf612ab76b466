"""Log lines: structured, on stderr, one a line; never a secret, never personal data."""

import json
import logging
import os
import socket
import sys
from datetime import UTC, datetime
from traceback import extract_tb
from typing import Literal

import structlog

from config.words import rfc3339


def without_data(problem: BaseException) -> dict[str, object]:
    """What may be logged of a problem: where, and of what kind; its message, which may quote people's data, only where
    the database separates it from them."""
    origin = getattr(problem, "orig", None)
    return {
        "problem": type(problem).__name__,
        "says": getattr(getattr(origin, "diag", None), "message_primary", None),
        "where": [f"{frame.filename}:{frame.lineno}" for frame in extract_tb(problem.__traceback__)][-12:],
    }


def configure_logging(style: Literal["console", "json"], level: str, process: str = "rollcall") -> None:
    """Send structlog's and the standard library's records through the same chain to stderr. As JSON, each line says
    which process wrote it, its pid, and on which host."""
    where = {"process": process, "pid": os.getpid(), "host": socket.gethostname()} if style == "json" else {}

    def add_where(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {**where, **line}

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_where,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    last: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if style == "json":
        last.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*last, renderer]))
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for ours in ("config", "tasks", "workers"):
        logging.getLogger(ours).setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def as_json(line: str, process: str, pid: int | None) -> str:
    """A line that a process wrote, as JSON that says which process wrote it: one that is JSON already, as it is."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        found = {"event": line, "level": "info", "timestamp": rfc3339(datetime.now(UTC))}
    return json.dumps({"pid": pid, "host": socket.gethostname(), **found, "process": process})
