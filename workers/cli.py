"""The console script: `rollcall`. What a command runs on is imported when it runs, not for help and completion."""

import gc
import os
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from workers import outline
from workers.console import speak_utf8, visible

HELP = (
    "Rollcall does the work that follows when something happens on a learning platform: enrolments, mail, seats"
    " and credits, for millions of learners. Every command that prints a result takes --json."
)


class CommandGroup(TyperGroup):
    """The commands, whose usage errors say what is wrong and not which library found it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is named."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as problem:
            problem.message = visible(problem.message.replace("Value error, ", ""))
            raise


HELP_NAMES = ["-h", "--help"]

OPTIONS: dict[str, Any] = {
    "cls": CommandGroup,
    "no_args_is_help": True,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": HELP_NAMES},
}

#: The commands, by the module of `workers.commands` that each is in.
COMMANDS = {
    "up": "system",
    "migrate": "system",
    "demo": "demo",
    "status": "status",
    "wait": "system",
    "reconcile": "reconcile",
    "verify": "verify",
    "restored": "restored",
    "explain": "explain",
    "audit": "audit",
}

#: The groups of commands, each in a module of its own.
GROUPS = (
    "events", "learners", "courses", "announcements", "templates", "mail", "seats", "suppressions", "reports",
    "webhooks", "work", "pools", "run", "tokens", "accounts", "cells",
)  # fmt: skip

#: The environment that a shell asks for completions with.
COMPLETING = ("_ROLLCALL_COMPLETE", "_TYPER_COMPLETE_ARGS")


@cache
def whole(only: str | None = None) -> typer.Typer:
    """The app with every command, or with the one that is named, and what they run on."""
    app = typer.Typer(help=HELP, **OPTIONS)
    for name, module in COMMANDS.items():
        if only in {None, name}:
            app.command(name)(getattr(import_module(f"workers.commands.{module}"), name))
    for name in GROUPS:
        if only in {None, name}:
            app.add_typer(import_module(f"workers.commands.{name}").app, name=name)
    app.callback(help=HELP)(outline.before_any)  # or the only command would need no name
    return app


def __getattr__(name: str) -> typer.Typer:
    if name == "app":
        return whole()
    raise AttributeError(name)


def main() -> None:
    """Run a command; what a user can do something about ends in one line on stderr and exit code 1."""
    words = sys.argv[1:]
    speak_utf8()
    _refuse_odd_bytes(words)
    first = words[0] if words else ""
    known = first in {*COMMANDS, *GROUPS}
    if any(name in os.environ for name in COMPLETING):
        _by_outline(None)
    elif not known or words == [first] or {*HELP_NAMES} & {*words}:
        _by_outline(first)
    else:
        _run(first)


def _refuse_odd_bytes(words: list[str]) -> None:
    """Refuse words in another character set than the terminal's; a file may be called by any bytes."""
    for number, word in enumerate(words, 1):
        if any("\ud800" <= mark <= "\udfff" for mark in word) and not Path(word.removeprefix("@")).exists():
            kept = word.encode(errors="replace").decode()
            _give_up(f"Word {number} of the command, {kept!r}, is not in UTF-8, which your terminal says it writes.", 2)


def _by_outline(first: str | None) -> None:
    """Give help, complete, or refuse what is no command; what turns out to be none of these is run."""
    app = outline.app_of(outline.read(), lambda: _run(sys.argv[1]), first, **OPTIONS)
    *path, last = sys.argv[1:] or [""]
    if first is None or last not in HELP_NAMES or not _help(typer.main.get_command(app), path):
        app()


def _help(command: Any, path: list[str]) -> bool:
    """Print the help of the command with this path, if there is one. What is not read needs no types, nor what knows
    them: that is half the time."""
    context = command.context_class(command, info_name="rollcall", **command.context_settings)
    for word in path:
        if (command := getattr(command, "commands", {}).get(word)) is None:
            return False
        context = command.context_class(command, info_name=word, parent=context)
    typer.echo(command.get_help(context), color=context.color)
    return True


def _run(first: str) -> None:
    try:
        gc.disable()  # what is imported stays: to look for garbage in it takes a sixth of the time
        app = whole(first)
        gc.freeze()
        gc.enable()
        app()
    except Exception as problem:
        if (line := _line_about(problem)) is None:
            raise
        _give_up(line)


def _line_about(problem: Exception) -> str | None:
    """The one line that says what a user can do something about; None where it is a fault of ours."""
    from config.errors import UserError

    return str(problem) if isinstance(problem, UserError) else _line_about_server(problem)


def _line_about_server(problem: Exception) -> str | None:
    import psycopg
    from redis.exceptions import RedisError
    from sqlalchemy.exc import OperationalError, ProgrammingError

    from config.database import QUERY_CANCELED
    from config.outages import why
    from config.pooler import SETTING
    from config.settings import load_settings

    match problem:
        case OperationalError() | psycopg.OperationalError():
            if getattr(getattr(problem, "orig", problem), "sqlstate", None) == QUERY_CANCELED:
                return "The database gave up on it: it took longer than the server's statement_timeout allows."
            notes: list[str] = getattr(getattr(problem, "orig", problem), "__notes__", [])
            named = SETTING if SETTING in notes else "DATABASE_URL"
            return f"The database cannot be used: {why(problem)}. Look at {named} and at its server."
        case ProgrammingError():
            missing = "The database's schema is not the one this code needs: run rollcall migrate."
            said = getattr(getattr(problem.orig, "diag", None), "message_primary", "")
            right = f"The user of DATABASE_URL lacks a right ({said}): let the owner of the database grant it."
            return right if getattr(problem.orig, "sqlstate", None) == "42501" else missing
        case RedisError():
            url = load_settings().redis_url
            reason = why(problem, url.get_secret_value() if url is not None else "")
            return f"Redis cannot be used: {reason}. Look at REDIS_URL and at its server."
        case _:
            return None


def _give_up(why: str, code: int = 1) -> None:
    sys.stderr.write(visible(why) + "\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
