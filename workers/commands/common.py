"""What every command shares: opening the servers, refusing with one clear line, printing for people or for programs."""

import getpass
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, ProgrammingError

import migrations
from config import clock, services
from config.database import enter_tenant_role, scoped, transaction
from config.errors import UserError
from config.log import configure_logging
from config.phrases import typed
from config.runtime import Runtime
from config.settings import load_settings
from config.words import as_json
from tasks import organisations
from tasks.accounts import Caller, Door, Role
from tasks.acts.acting import Act, Answer, Asked, Nothing, perform
from tasks.acts.paging import MOST, Item, Page
from tasks.reports import Format
from workers.console import WIDE, CleanConsole, visible, visible_rows

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

    from workers.remote import RemoteServer

#: People who are mailed at most by a command that does not ask first.
UNASKED = 1000

#: Lines of one table where there may be very many.
PAGE = 200

out = CleanConsole(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = CleanConsole(stderr=True, highlight=False, soft_wrap=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Lines = Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")]
Written = Annotated[
    Format, typer.Option("--format", help="csv is safe to open in a spreadsheet; jsonl is one JSON document a line.")
]
Org = Annotated[str, typer.Option("--organisation", "-o", metavar="ORG", help="The organisation's id.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides; the user of this machine otherwise.")]


#: How a time in the past is written.
PAST = "a time with an offset (2026-11-24T03:00:00Z), or how long ago (90m, 2h, 3d)"

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Doer(Protocol):
    """What does acts."""

    def __call__(self, act: Act[Asked, Answer], asked: Asked, organisation: str | None = None) -> Answer:
        """Do one."""


Shape = TypeVar("Shape")


class Refused(UserError):
    """What was asked for cannot be done; the message says what, to what, and what to do."""


def who(by: str | None) -> str:
    """Who decides: whom `--by` names, or the user of this machine, who need not have a name there."""
    try:
        return by or getpass.getuser().encode(errors="replace").decode()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def past(text: str, option: str, reads: str = PAST) -> datetime:
    """What is meant by a time, or by a span until now, in UTC. `reads` says what the option takes."""
    return _moment(text, option, reads, -1)


#: How a time in the future is written.
FUTURE = "a time with an offset (2026-11-24T03:00:00Z), or a span from now on (12h, 90d)"


def future(text: str, option: str) -> datetime:
    """What is meant by a time, or by a span from now on, in UTC."""
    return _moment(text, option, FUTURE, 1)


def _moment(text: str, option: str, reads: str, sign: int) -> datetime:
    try:
        if span := re.fullmatch(r"(\d{1,9})([smhdw])", text):
            return clock.now() + sign * timedelta(**{_UNITS[span[2]]: int(span[1])})
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{option} {text}: it is {reads}") from None
    raise typer.BadParameter(f"{option} {text}: say in which time zone, as in {moment.isoformat()}Z")


def progress_bar(*columns: "ProgressColumn", quiet: bool = False) -> "Progress":
    """A bar for a person who waits, which leaves nothing behind."""
    from rich.progress import Progress

    return Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal)


def at_a_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def document(result: object) -> None:
    """Print a result as one JSON document."""
    write_blocks([as_json(result) + b"\n"])  # UTF-8, whatever the terminal's (RFC 8259, 8.1)


def write_blocks(blocks: Iterable[bytes], advance: Callable[[int], None] = lambda _: None) -> None:
    """Print what is made block by block, and say how many bytes each had: as it is to a file or a program, and to a
    person so that no character of it steers the terminal."""
    sys.stdout.flush()
    try:
        for block in visible_rows(blocks) if sys.stdout.isatty() else blocks:
            sys.stdout.buffer.write(block)
            advance(len(block))
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # whoever read has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(result: object, *lines: str, json_: bool) -> None:
    """Print a result: for a program as one JSON document, for a person in these lines."""
    if json_:
        document(result)
    else:
        for line in lines:
            out.print(line, markup=False)


def only(shape: type[Shape], result: object) -> Shape:
    """Of a result that says more, what a shape has."""
    return shape(**{name: getattr(result, name) for name in shape.__match_args__})  # type: ignore[attr-defined]


def documents(results: Iterable[object]) -> None:
    """Print results, however many, as one JSON document: a list."""
    write_blocks(as_list(map(as_json, results)))


def as_list(parts: Iterable[bytes]) -> Iterator[bytes]:
    """JSON documents as one that is a list of them; a part may hold several, with commas between."""
    before = b"["
    for part in parts:
        yield before + part
        before = b",\n"
    yield b"]\n" if before != b"[" else b"[]\n"


def say_if_paused(do: Doer) -> None:
    """Tell a person who sends something that no mail leaves now, and what to do, on stderr."""
    from tasks.acts.mail import show

    stopped = do(show, Nothing()).paused
    if stopped is not None:
        err.print(stopped.in_words, style="yellow", markup=False)


@contextmanager
def readable(file: str) -> Iterator[IO[bytes]]:
    """A file that can be read more than once, or a refusal; what cannot, such as standard input, is kept for that."""
    with ExitStack() as stack:
        try:
            source = sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))
            if file == "-" or not source.seekable():
                kept = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(source, kept)
                source = kept
        except OSError as problem:
            raise Refused(f"{file} cannot be read: {problem.strerror}.") from None
        yield source


def tables(columns: Sequence[str], lines: Iterator[Sequence[object]], empty: str) -> None:
    """Print lines for a person, however many, in tables of a few hundred; or say that there are none."""
    while page := list(islice(lines, PAGE)):
        table(columns, page, empty)
        empty = ""
    if empty:
        out.print(empty, style="dim")


def say_table(
    result: object, columns: Sequence[str], lines: Sequence[Sequence[object]], empty: str, *, json_: bool
) -> None:
    """Print a result: for a program as one JSON document, for a person in these lines of a table."""
    if json_:
        document(result)
    else:
        table(columns, lines, empty)


def table(columns: Sequence[str], lines: Sequence[Sequence[object]], empty: str) -> None:
    """Print lines for a person, or say that there are none."""
    if not lines:
        out.print(empty, style="dim")
        return
    shown = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for line in lines:
        shown.add_row(*(escape(cell(value)) for value in line))
    out.print(shown)


def cell(value: object) -> str:
    """A value as a person reads it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, list):
        return visible(", ".join(map(str, value))) or "–"
    return visible(str(value))


@contextmanager
def opened(
    role: str,
    need: frozenset[str] = services.DATABASE,
    *,
    make: bool = False,
    process: bool = False,
    sees_restores: bool = False,
) -> Iterator[Runtime]:
    """The servers a command needs; embedded ones that never were are made only if it is one that begins with nothing.
    One that needs the database refuses to run on a schema that is not this code's. One that `sees_restores` is given an
    embedded Redis, too, if there is one that starts.

    A command tells a person itself what it has done: unless it is a `process`, or its log is for a program, the log has
    only what is amiss.
    """
    if not process:
        refuse_remote()
    settings = load_settings()
    level, style = settings.rollcall_log_level, settings.rollcall_log
    quiet = style == "console" and level == "info" and not process
    configure_logging(style, "warning" if quiet else level, role)
    if sees_restores:
        need |= services.embedded_redis(settings)
    with services.runtime(settings, role, need=need, make=make) as runtime:
        if "database" in need:
            if settings.database_url is None:
                _bring_up_to_date(runtime)
            check_schema(runtime)
        yield runtime


def _bring_up_to_date(runtime: Runtime) -> None:
    with runtime.engine.connect() as connection:
        behind = (migrations.current(connection) or "") < migrations.head()
    if behind:
        migrations.bring_up_to_date(runtime.engine)


def check_schema(runtime: Runtime) -> None:
    """Refuse to go on where this code cannot work with the schema."""
    with runtime.engine.connect() as connection:
        if (misfit := migrations.misfit(connection)) is not None:
            raise Refused(misfit)


@contextmanager
def acting(
    role: str, need: frozenset[str] = services.DATABASE, *, by: str | None = None, sees_restores: bool = False
) -> Iterator[Doer]:
    """What does the acts of a command: as the user of this machine, who may do everything; or at the server that
    ROLLCALL_URL names, as whoever ROLLCALL_TOKEN is of."""
    try:
        if is_remote():
            with closing(_remote(by)) as server:
                yield server
            return
        with opened(role, need, sees_restores=sees_restores) as runtime:
            caller = Caller(who(by), Door.COMMAND, Role.OPERATOR)
            yield lambda act, asked, organisation=None: perform(runtime, caller, act, asked, organisation)
    except UserError as problem:
        problem.args = (typed(str(problem)),)
        raise


def is_remote() -> bool:
    """Whether acts are done at a server far away."""
    return load_settings().rollcall_url is not None


def _remote(by: str | None) -> "RemoteServer":
    from workers.remote import RemoteServer

    settings = load_settings()
    if settings.rollcall_token is None:
        raise Refused("ROLLCALL_URL is set, and ROLLCALL_TOKEN is not: rollcall tokens add makes one, at the server.")
    if by is not None:
        raise Refused("--by cannot be given with ROLLCALL_URL: whoever the token is of decides.")
    return RemoteServer(settings.rollcall_url or "", settings.rollcall_token.get_secret_value())


def refuse_remote() -> None:
    """Refuse to do at this machine what somebody believes to be done far away."""
    if is_remote():
        raise Refused("This command is one of the server's own: run it there, or unset ROLLCALL_URL.")


def done(act: Act[Asked, Answer], asked: Asked, organisation: str | None = None, *, by: str | None = None) -> Answer:
    """Do one act, and nothing else."""
    with acting(act.name.partition(".")[0], by=by) as do:
        return do(act, asked, organisation)


class Listing(Protocol):
    """What is asked of an act that lists."""

    @property
    def limit(self) -> int: ...

    @property
    def after(self) -> str | None: ...


Listed = TypeVar("Listed", bound=Listing)


def items(
    do: Doer, act: Act[Listed, Page[Item]], asked: Listed, organisation: str | None = None, most: int | None = None
) -> Iterator[Item]:
    """What an act lists, page by page: all of it, or so many at most."""
    while most is None or most > 0:
        limit = MOST if most is None else min(most, MOST)
        page = do(act, replace(asked, limit=limit), organisation)  # type: ignore[type-var]
        yield from page.items
        if page.next is None:
            return
        most = None if most is None else most - len(page.items)
        asked = replace(asked, after=page.next)  # type: ignore[type-var]


def walked(act: Act[Listed, Page[Item]], asked: Listed, organisation: str | None = None) -> Iterator[Item]:
    """All that an act lists, page by page, and nothing else is done."""
    with acting(act.name.partition(".")[0]) as do:
        yield from items(do, act, asked, organisation)


def chosen(connection: Connection, only: str | None) -> list[organisations.Organisation]:
    """All organisations, or the one that is named; a refusal where it is not known."""
    found = [one for one in organisations.every(connection) if only in {None, one.id}]
    if not found and only is not None:
        raise Refused(f"There is no organisation {only!r}.")
    return found


@contextmanager
def asked(runtime: Runtime, organisation: str) -> Iterator[tuple[Connection, organisations.Organisation]]:
    """A transaction about one organisation, with the rights of its people (R31); a refusal where it is not known."""
    with transaction(runtime.engine) as connection:
        found = organisations.find(connection, [organisation]).get(organisation)
        if found is None:
            raise Refused(f"There is no organisation {organisation!r}.")
        with scoped(connection, found.organisation):
            try:
                enter_tenant_role(connection, found.organisation)
            except (DataError, ProgrammingError):
                raise Refused(
                    "The database lacks the role of an organisation's people: run rollcall migrate."
                ) from None
            yield connection, found
