"""What an import does: a line that says something new is what an event that describes the learner would be (R2, R6)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO
from uuid import uuid4

import structlog
from sqlalchemy import Connection, Engine
from tenacity import retry_if_exception

from config import clock
from config.database import committing, is_connection_problem, is_retryable, lock_organisations, retrying, scoped
from config.pooler import session_engine
from config.settings import Settings
from tasks import enrolments, intake, learners, organisations
from tasks.events import KnownCause
from tasks.imports import judging, store
from tasks.imports.reader import Layout, LineBatch, batches
from tasks.imports.refusals import write_refused
from tasks.imports.rules import Field, Refusal
from tasks.imports.staging import Staging
from tasks.organisations import Organisation

log = structlog.get_logger()

#: Pages of lines (8 kB each) that are taken in one transaction: some 25,000 learners, within a second or so. Events of
#: the organisation wait that long, not until a million learners are imported.
SLICE_PAGES = 500

#: What the log says of an import besides its numbers; the rest of the result may name people.
COUNTED = {"encoding", "refused", "emptied", "cleaned"}

#: Time zones that are none, named in the result, at most.
ODD_ZONES = 20

#: Statuses that nobody knows, named in the result, at most.
ODD_STATUSES = 50


@dataclass(slots=True)
class Imported:
    """What was taken of a file and what was not: read = new + changed + unchanged + refused.

    `inactive`: taken lines that mean inactive. `activated`, `deactivated`: learners who were known and stood otherwise;
    `deactivated_by_refused` of these because a line said so that is refused otherwise.
    `known_unread`: known learners who stay active, though a line of theirs cannot be split into its cells.
    `notices`: how many learners are told by mail of what they have access to. `encoding`, `sample`: how the file was
    read, and names as they were.
    `columns`: which column holds a field; `status_columns`: those that say who is inactive; `unused`: those of which
    nothing was taken. `cleaned`: cells that invisible characters were taken off, and `emptied`: what was known and is
    not any more, both by field. `unknown_time_zones` and `unknown_statuses`: what stands for one, with the number of
    lines.
    """

    organisation: str
    dry_run: bool
    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    inactive: int = 0
    activated: int = 0
    deactivated: int = 0
    deactivated_by_refused: int = 0
    known_unread: int = 0
    notices: int = 0
    encoding: str = ""
    encoding_guessed: bool = False
    delimiter: str = ""
    sample: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    status_columns: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    cleaned: dict[str, int] = field(default_factory=dict)
    emptied: dict[str, int] = field(default_factory=dict)
    unknown_time_zones: dict[str, int] = field(default_factory=dict)
    unknown_statuses: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    refused_file: str | None = None


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How an import is to be done. `refused`: where refused lines are written. `notify`: whether newcomers are told of
    what they are enrolled in. `keep_empty`: an empty cell leaves what is known alone."""

    refused: Path
    notify: bool = True
    keep_empty: bool = False
    dry_run: bool = False


def import_file(
    engine: Engine,
    settings: Settings,
    organisation: Organisation,
    source: IO[bytes],
    layout: Layout,
    options: ImportOptions,
    *,
    approve: Callable[[Imported], None] = lambda _: None,
    on_batch: Callable[[], None] = lambda: None,
    on_slice: Callable[[int, int], None] = lambda _done, _of: None,
) -> Imported:
    """Import a file in constant memory. Nothing is taken before all of it is read and judged; then it is taken in
    slices, each in a transaction of its own. One that is interrupted is finished by importing the same file again.

    `approve` is told what was judged before anything is taken, unless it is a dry run, and raises if it is not to be.
    `on_batch` is told of each batch that is read, `on_slice` how much is taken, of how much.
    Raises OSError where `options.refused` cannot be written, and `NotReadable`; nothing is taken then.
    """
    number, id_ = organisation.organisation, f"import-{uuid4()}"
    with session_engine(engine).connect() as connection, scoped(connection, number):
        connection.detach()  # its temporary tables end with it
        with connection.begin():
            staging = Staging(layout, clock.now().date(), store.uncomposed(connection, number))
            judging.stage(
                connection,
                layout.fields,
                layout.texts,
                staging.copied(_with_progress(batches(source, layout), on_batch)),
            )
        with connection.begin():
            organisation = organisations.numbered(connection, number)
            expected = organisation.learners
            judging.arrange(connection, number, layout.fields, keep_empty=options.keep_empty)
            result, known = _judged(connection, organisation, layout, staging, options)
            if result.refused:
                write_refused(options.refused, source, layout, judging.refused_lines(connection))
            pages = judging.pages(connection)
        if not options.dry_run:
            approve(result)
        for low in range(0, pages, SLICE_PAGES):
            for attempt in retrying().copy(retry=retry_if_exception(_is_lost_race)):
                with attempt, committing(connection) as transaction:
                    lock_organisations(connection, [number])
                    context = intake.EventContext(connection, settings, organisations.numbered(connection, number))
                    moved = context.organisation.learners != expected
                    part = store.Slice(low, low + SLICE_PAGES, known=known or moved, moved=moved)
                    cause = KnownCause(("rollcall:cli", f"{id_}-{low}"), clock.now())
                    done = _import_slice(context, part, cause, layout.fields, options)
                    if options.dry_run:
                        transaction.rollback()
            expected += 0 if options.dry_run else done.new
            result.new += done.new + done.arrived
            result.changed += done.changed - done.arrived
            result.activated += done.activated
            result.deactivated += done.deactivated
            result.deactivated_by_refused += done.by_refused
            on_slice(min(low + SLICE_PAGES, pages), pages)
    result.unchanged = result.read - result.new - result.changed - sum(result.refused.values())
    counts = {name: n for name, n in asdict(result).items() if name in COUNTED or isinstance(n, int)}
    log.info("import.finished", organisation=number, **counts)
    return result


def _with_progress(read: Iterator[LineBatch], on_batch: Callable[[], None]) -> Iterator[LineBatch]:
    for batch in read:
        yield batch
        on_batch()


def _is_lost_race(problem: BaseException) -> bool:
    """Not a lost connection: the lines are lost with it."""
    return is_retryable(problem) and not is_connection_problem(problem)


def _judged(
    connection: Connection, organisation: Organisation, layout: Layout, staging: Staging, options: ImportOptions
) -> tuple[Imported, bool]:
    """What the lines came to before any is taken, and whether any is about a learner who is known."""
    result, known, odd_zones = Imported(organisation.id, options.dry_run), 0, 0
    for count in judging.judged(connection, ours=layout.columns.ours):
        result.read += count.n
        known += count.known
        odd_zones += count.odd_zones
        if count.reason is None:
            result.inactive = count.inactive
        elif count.reason != judging.AGAIN:
            result.refused[count.reason] = count.n
    if result.refused.keys() & {Refusal.CELLS, Refusal.QUOTES}:
        result.known_unread = judging.known_unread(connection)
    result.refused_file = str(options.refused) if result.refused else None
    result.encoding, result.encoding_guessed = layout.encoding.removesuffix("-sig"), layout.guessed
    result.delimiter, result.sample = layout.delimiter, staging.sample
    result.columns = {field: layout.header[place].strip() for field, place in layout.columns.places.items()}
    result.status_columns = [column.name for column in layout.status]
    result.unused = list(layout.columns.unused)
    result.cleaned = dict(sorted(staging.cleaned.items()))
    if odd_zones:
        result.unknown_time_zones = judging.odd_zones(connection, ODD_ZONES)
    if Refusal.UNKNOWN_STATUS in result.refused:
        result.unknown_statuses = judging.odd_statuses(connection, ODD_STATUSES)
    if known and not options.keep_empty:
        result.emptied = {field: n for field, n in asdict(judging.emptied(connection)).items() if n}
    digests = known > 0 and organisation.reactivation_digest
    if options.notify or digests:
        result.notices = judging.notices(connection, organisation.organisation, notify=options.notify, digests=digests)
    return result, known > 0


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of a slice. `changed`: of learners who had a number; `arrived`: those of them who were not saved;
    `by_refused`: those who were made inactive by a line that is refused otherwise."""

    new: int
    changed: int
    arrived: int
    activated: int
    deactivated: int
    by_refused: int


def _import_slice(
    context: intake.EventContext, part: store.Slice, cause: KnownCause, fields: Sequence[Field], options: ImportOptions
) -> _Done:
    """Take the lines of a slice, and all that follows from them, under the organisation's lock."""
    connection, number, before = context.connection, context.number, context.organisation.learners
    described = (
        store.describe_known(connection, number, part, fields, cause.time, keep_empty=options.keep_empty)
        if part.known
        else []
    )
    changes = [one.change for one in described if one.before != one.after]
    new = store.add_new(connection, number, part, before, cause.time)
    if Field.STATUS in fields:
        learners.begin_history(connection, number, before + 1, before + new)
    arrived = [change.learner for change in changes if change.arrived]
    enrolments.many_arrived(
        connection,
        context.settings,
        context.organisation,
        cause,
        [*range(before + 1, before + new + 1), *arrived],
        notify=options.notify,
    )
    intake.follow(
        context,
        [change for change in changes if not change.arrived],
        {one.learner: KnownCause((cause.key[0], f"{cause.key[1]}-known"), one.time) for one in described},
    )
    intake.judge_again(context, {one.learner: one.time for one in described if one.said})
    intake.mail_admins(connection, context.effects)
    context.know(*store.awaited(connection, number, part))  # a start of theirs waits for them, not for an enrolment
    intake.apply_waiting(connection, context.settings, context.effects)
    return _Done(
        new,
        sum(not one.refused for one in described),
        sum(change.arrived or change.returned for change in changes),
        sum(change.reactivated and not change.returned for change in changes),
        sum(change.suspended for change in changes),
        sum(one.refused for one in described),
    )
